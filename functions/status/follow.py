"""Waiting until the ledger shows that a payment or an operation has ended, or until the given time is over.

Ledger reads are strongly consistent and may be frequent. DescribeExecution is limited to 15 calls a second per account
("Service quotas", Step Functions developer guide), and its data is a moment old. So a waiting request at first reads
only the ledger, where most payments end within a second or two. It asks Step Functions only for what the ledger doesn't
know by then: that a payment was rejected, or that it does not exist. A request asks Step Functions at most twice, and
goes on reading the ledger if Step Functions does not answer.
"""

from collections.abc import Callable
from time import monotonic
from typing import TypeVar

from functions.shared.domain.errors import Unavailable
from functions.shared.domain.operation import Operation
from functions.shared.domain.payment import Payment
from functions.shared.ports import Execution

Record = TypeVar("Record", Payment, Operation)

LONGEST_WAIT_SECONDS = 25
"""The longest wait, in seconds. API Gateway waits at most 29 s for a function's response."""

# A new execution may not be visible yet, so a request waits at least this long before it reports that there is none.
EXECUTION_VISIBLE_WITHIN_SECONDS = 1.0

# What has not ended at the first look has most likely just begun, and needs at least this long: five states with their
# functions, and a call to the gateway.
_FIRST_PAUSE_SECONDS = 0.25

# Later pauses are a tenth of the elapsed time within these bounds, so the longest wait needs some sixty reads.
_PAUSE_SHARE, _SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 0.05, 1.0


def follow(
    read_record: Callable[[], Record | None],
    find_execution: Callable[[], Execution | None],
    *,
    has_ended: Callable[[Record], bool],
    is_in_doubt: Callable[[Record], bool],
    lookup_after_seconds: tuple[float, float],
    wait_seconds: int,
    sleep: Callable[[float], None],
) -> tuple[Record | None, Execution | None]:
    """Return the record and None once the record has ended, the record and the execution once the execution has ended,
    or both when the wait is over.

    `read_record` reads the ledger. `find_execution` looks up the execution, which is needed if nothing is recorded, and
    to learn whether a record that `is_in_doubt` is still being worked on. The lookup happens after the first number of
    seconds in `lookup_after_seconds`, and after the second if the execution is still running then; without a wait, it
    happens at once. Raises Unavailable.
    """
    start, elapsed, until = monotonic(), 0.0, float(wait_seconds)
    lookups = [min(seconds, until) for seconds in lookup_after_seconds]
    execution: Execution | None = None
    lookup_error: Unavailable | None = None
    while True:
        record = read_record()
        if record is not None and has_ended(record):
            return record, None
        if record is not None and is_in_doubt(record) and len(lookups) == len(lookup_after_seconds):
            lookups[0] = elapsed  # waiting would not help: most doubts have no running execution
        if lookups and elapsed >= lookups[0] and (record is None or is_in_doubt(record)):
            del lookups[0]
            try:
                execution, lookup_error = find_execution(), None
            except Unavailable as error:
                lookup_error = error
            else:
                if execution is None and elapsed < EXECUTION_VISIBLE_WITHIN_SECONDS:
                    lookups, until = [EXECUTION_VISIBLE_WITHIN_SECONDS], max(until, EXECUTION_VISIBLE_WITHIN_SECONDS)
                elif execution is None or not execution.running:
                    return read_record(), execution  # the record may have been written or ended since the last read
        if elapsed >= until:
            break
        pause = max(_PAUSE_SHARE * elapsed, _SHORTEST_PAUSE_SECONDS) if elapsed else _FIRST_PAUSE_SECONDS
        pause = min(pause, _LONGEST_PAUSE_SECONDS, until - elapsed)
        sleep(pause)
        elapsed = max(elapsed + pause, monotonic() - start)
    if lookup_error and execution is None:
        raise lookup_error
    return record, execution
