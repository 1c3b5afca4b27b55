"""Find the executions that ended badly and that nobody looks after, and start resolve for them.

Step Functions tells EventBridge of an execution's end, and EventBridge starts resolve; but the telling is best effort.
So nobody relies on it: who ended badly, and was not seen by resolve's first look, is not looked after.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from functions.shared.domain.shapes import is_id
from functions.shared.ports import Attendance, Executions, ExecutionSummary, StateMachine

ENDED_BADLY = ("FAILED", "TIMED_OUT", "ABORTED")

# What the event and resolve's first look may take; mostly it is a second.
GRACE = timedelta(minutes=2)

# Lists are eventually consistent. What they don't show after so long, reconciliation finds in the night.
SHOWN_WITHIN = timedelta(minutes=15)

# The first time, and after an outage of ours. Attendance is kept for longer.
LOOKED_BACK = timedelta(days=7)

# The ended come in the order of their ends. If they came in that of their starts, one could have begun so much earlier.
LONGEST = timedelta(hours=1)

# What fits into one run, of each list; and what leaves Step Functions time for new payments.
PAGES_READ = 100
STARTED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Checked:
    """How many executions of resolve were started, and until when all that ended has been checked now (ISO 8601)."""

    started: int
    until: str | None


def look_after_unattended(
    machines: Mapping[str, Executions], *, attendance: Attendance, resolve: StateMachine, now: str
) -> Checked:
    """Start resolve for the executions that nobody looks after, the longest over first.

    `machines` are `payment` and `operation`. A run goes on where the last one ended; what is too much for one run is
    left to the next. Safe to repeat, and to run twice at once. Raises ExecutionsUnavailable, LedgerUnavailable.
    """
    moment, checked_until = _time(now), attendance.checked_until()
    since, until = moment - LOOKED_BACK, moment - GRACE
    if checked_until:
        since = max(since, _time(checked_until) - SHOWN_WITHIN)
    unattended: list[tuple[datetime, str, str]] = []
    is_all = True
    for machine, executions in machines.items():
        for status in ENDED_BADLY:
            pages = _pages(executions, status, since)
            for page in islice(pages, PAGES_READ):
                # Who was started by hand, under a name that is no id, was rejected: no money moved.
                ended = {each.name: _ended(each) for each in page if is_id(each.name)}
                of_these = [name for name, at in ended.items() if since <= at <= until]
                unattended += [(ended[name], machine, name) for name in attendance.unattended(machine, of_these)]
            is_all &= next(pages, None) is None
    unattended.sort()
    started = 0
    for _, machine, name in unattended[:STARTED_AT_ONCE]:
        request = {"payment_id": None, "operation_id": None} | {f"{machine}_id": name}
        # Each time the same name, so that it is started once.
        started += resolve.start(f"{machine}-{name}", request)
    if left := unattended[STARTED_AT_ONCE:]:
        until = left[0][0]
    if is_all:
        checked_until = until.isoformat(timespec="milliseconds")
        attendance.check_until(checked_until)
    return Checked(started, checked_until)


def _pages(executions: Executions, status: str, since: datetime) -> Iterator[list[ExecutionSummary]]:
    """Those of the status, the last to end first, as long as one may have ended since then."""
    token: str | None = None
    while True:
        page, token = executions.page(token, status)
        yield page
        if token is None or any(max(_ended(each), _time(each.started_at) + LONGEST) < since for each in page):
            return


def _ended(execution: ExecutionSummary) -> datetime:
    assert execution.stopped_at
    return _time(execution.stopped_at)


def _time(moment: str) -> datetime:
    return datetime.fromisoformat(moment)
