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

FAILED_STATUSES = ("FAILED", "TIMED_OUT", "ABORTED")

# The time allowed for the event and resolve's first look, which mostly take a second.
GRACE_PERIOD = timedelta(minutes=2)

# Lists are eventually consistent. Reconciliation at night finds an execution that appears in them later than this.
LISTED_WITHIN = timedelta(minutes=15)

# How far the first run looks back, and any run after a long outage. Attendance is kept for longer.
MAX_LOOKBACK = timedelta(days=7)

# Lists are sorted by the ends of executions. Should they ever be sorted by the starts, this is the longest time that an
# execution may take.
LONGEST_EXECUTION = timedelta(minutes=90)

# At most this many pages of each list fit into one run, and starting more at once would slow down new payments.
MAX_PAGES = 100
MAX_STARTS = 500


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The number of executions of resolve started, and the time until which all ends are now checked (ISO 8601)."""

    started: int
    until: str | None


def look_after_unattended(
    machines: Mapping[str, Executions], *, attendance: Attendance, resolve: StateMachine, now: str
) -> CheckResult:
    """Start resolve for the failed executions that nobody looks after, in the order of their ends.

    The keys of `machines` are `payment` and `operation`. A run continues where the last one ended, and leaves the rest
    to the next run. Runs may be repeated and may overlap. Raises ExecutionsUnavailable, LedgerUnavailable.
    """
    moment, checked_until = datetime.fromisoformat(now), attendance.checked_until()
    since, until = moment - MAX_LOOKBACK, moment - GRACE_PERIOD
    if checked_until:
        since = max(since, datetime.fromisoformat(checked_until) - LISTED_WITHIN)
    unattended: list[tuple[datetime, str, str]] = []
    is_complete = True
    for machine, executions in machines.items():
        for status in FAILED_STATUSES:
            pages = _pages(executions, status, since)
            for page in islice(pages, MAX_PAGES):
                # An execution whose name is no id was started by hand and rejected: no money moved.
                ended = {execution.name: _stopped_at(execution) for execution in page if is_id(execution.name)}
                names = [name for name, at in ended.items() if since <= at <= until]
                unattended += [(ended[name], machine, name) for name in attendance.unattended(machine, names)]
            is_complete &= next(pages, None) is None
    unattended.sort()
    started = 0
    for _, machine, name in unattended[:MAX_STARTS]:
        request = {"payment_id": None, "operation_id": None} | {f"{machine}_id": name}
        # The name is always the same, so resolve is started only once.
        started += resolve.start(f"{machine}-{name}", request)
    if not_started := unattended[MAX_STARTS:]:
        until = not_started[0][0]
    if is_complete:
        checked_until = iso(until)
        attendance.check_until(checked_until)
    return CheckResult(started, checked_until)


def _pages(executions: Executions, status: str, since: datetime) -> Iterator[list[ExecutionSummary]]:
    """Pages of the executions with this status, latest end first, as long as any may have ended after `since`."""
    token: str | None = None
    while True:
        page, token = executions.page(token, status)
        yield page
        if token is None or any(
            max(_stopped_at(execution), datetime.fromisoformat(execution.started_at) + LONGEST_EXECUTION) < since
            for execution in page
        ):
            return


def _stopped_at(execution: ExecutionSummary) -> datetime:
    assert execution.stopped_at
    return datetime.fromisoformat(execution.stopped_at)
