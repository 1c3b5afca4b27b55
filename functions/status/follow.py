"""Following what the ledger has of a payment or an operation until it has ended, or for so many seconds.

The ledger is read strongly consistently, and may be read often. DescribeExecution may not: an account has 15 a second
("Service quotas", Step Functions developer guide), and what it tells is a moment old. So whoever waits reads the ledger
alone at first, where most payments end within a second or two. Step Functions is asked only for what the ledger doesn't
know by then: that a payment was rejected, or that there is none. It is asked twice for a request at most, and where it
does not answer, the ledger may yet.
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
"""API Gateway waits 29 s for a function's answer."""

# An execution that was just started may not be seen yet. So nobody is told "none" before so long has gone by.
SEEN_WITHIN_SECONDS = 1.0

# A look comes late by a tenth of the time at most, and the longest wait takes some sixty.
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
    """What is recorded once it has ended, or that and the execution once this has; else both when the wait is over.

    `recorded` looks into the ledger. `find` asks for the execution, which alone knows what is not recorded, and whether
    somebody is at work on what `is_in_doubt`. It is asked for after the first of so many seconds, and after the second
    if it runs then; without a wait at once. Raises Unavailable.
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
            asks[0] = elapsed  # nobody is at work on most doubts, and time would not tell
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
                    return recorded(), execution  # it may have been recorded, and have ended, since the last look
        if elapsed >= until:
            break
        pause = min(max(_SHARE_OF_THE_TIME * elapsed, _SHORTEST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS, until - elapsed)
        sleep(pause)
        elapsed = max(elapsed + pause, monotonic() - began)
    if trouble and execution is None:
        raise trouble
    return record, execution
