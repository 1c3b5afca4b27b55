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
SEEN_WITHIN_SECONDS = 1.0

# Pauses are a tenth of the elapsed time within these bounds, so the longest wait needs some sixty reads.
_SHARE_OF_THE_TIME, _SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 0.05, 1.0


def follow(
    recorded: Callable[[], Record | None],
    find: Callable[[], Execution | None],
    *,
    has_ended: Callable[[Record], bool],
    is_in_doubt: Callable[[Record], bool],
    asked_after: tuple[float, float],
    wait_seconds: int,
    sleep: Callable[[float], None],
) -> tuple[Record | None, Execution | None]:
    """Return the record and None once the record has ended, the record and the execution once the execution has ended,
    or both when the wait is over.

    `recorded` reads the ledger. `find` looks up the execution, which is needed if nothing is recorded, and to learn
    whether a record that `is_in_doubt` is still being worked on. The lookup happens after the first number of seconds
    in `asked_after`, and after the second if the execution is still running then; without a wait, it happens at once.
    Raises Unavailable.
    """
    began, elapsed, until = monotonic(), 0.0, float(wait_seconds)
    asks = [min(seconds, until) for seconds in asked_after]
    execution: Execution | None = None
    trouble: Unavailable | None = None
    while True:
        record = recorded()
        if record is not None and has_ended(record):
            return record, None
        if record is not None and is_in_doubt(record) and len(asks) == len(asked_after):
            asks[0] = elapsed  # waiting would not help: most doubts have no running execution
        if asks and elapsed >= asks[0] and (record is None or is_in_doubt(record)):
            del asks[0]
            try:
                execution, trouble = find(), None
            except Unavailable as error:
                trouble = error
            else:
                if execution is None and elapsed < SEEN_WITHIN_SECONDS:
                    asks, until = [SEEN_WITHIN_SECONDS], max(until, SEEN_WITHIN_SECONDS)
                elif execution is None or not execution.running:
                    return recorded(), execution  # the record may have been written or ended since the last read
        if elapsed >= until:
            break
        pause = min(max(_SHARE_OF_THE_TIME * elapsed, _SHORTEST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS, until - elapsed)
        sleep(pause)
        elapsed = max(elapsed + pause, monotonic() - began)
    if trouble and execution is None:
        raise trouble
    return record, execution
