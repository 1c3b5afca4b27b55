"""Find the failed executions that nobody looks after, and start resolve for them.

Step Functions reports an execution's end to EventBridge, and EventBridge starts resolve. These events are best effort,
so nothing relies on them: this module finds each failed execution that has had no first look by resolve.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from functions.shared.domain.shapes import is_id
from functions.shared.domain.times import iso
from functions.shared.ports import Attendance, Executions, ExecutionSummary, StateMachine

ENDED_BADLY = ("FAILED", "TIMED_OUT", "ABORTED")

# The time allowed for the event and resolve's first look, which mostly take a second.
GRACE = timedelta(minutes=2)

# Lists are eventually consistent. Reconciliation at night finds an execution that appears in them later than this.
SHOWN_WITHIN = timedelta(minutes=15)

# How far the first run looks back, and any run after a long outage. Attendance is kept for longer.
LOOKED_BACK = timedelta(days=7)

# Lists are sorted by the ends of executions. Should they ever be sorted by the starts, this is the longest time that an
# execution may take.
LONGEST = timedelta(hours=1)

# At most this many pages of each list fit into one run, and starting more at once would slow down new payments.
PAGES_READ = 100
STARTED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Checked:
    """The number of executions of resolve started, and the time until which all ends are now checked (ISO 8601)."""

    started: int
    until: str | None


def look_after_unattended(
    machines: Mapping[str, Executions], *, attendance: Attendance, resolve: StateMachine, now: str
) -> Checked:
    """Start resolve for the failed executions that nobody looks after, in the order of their ends.

    The keys of `machines` are `payment` and `operation`. A run continues where the last one ended, and leaves the rest
    to the next run. Runs may be repeated and may overlap. Raises ExecutionsUnavailable, LedgerUnavailable.
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
                # An execution whose name is no id was started by hand and rejected: no money moved.
                ended = {each.name: _ended(each) for each in page if is_id(each.name)}
                of_these = [name for name, at in ended.items() if since <= at <= until]
                unattended += [(ended[name], machine, name) for name in attendance.unattended(machine, of_these)]
            is_all &= next(pages, None) is None
    unattended.sort()
    started = 0
    for _, machine, name in unattended[:STARTED_AT_ONCE]:
        request = {"payment_id": None, "operation_id": None} | {f"{machine}_id": name}
        # The name is always the same, so resolve is started only once.
        started += resolve.start(f"{machine}-{name}", request)
    if not_started := unattended[STARTED_AT_ONCE:]:
        until = not_started[0][0]
    if is_all:
        checked_until = iso(until)
        attendance.check_until(checked_until)
    return Checked(started, checked_until)


def _pages(executions: Executions, status: str, since: datetime) -> Iterator[list[ExecutionSummary]]:
    """Pages of the executions with this status, latest end first, as long as any may have ended after `since`."""
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
