"""The course of an execution: its visits to the states, and the attempts of each visit.

If a Task names its function by ARN, AWS records LambdaFunction… events, but the emulator records Task… events. The
optimised integration produces Task… events in both. This module reads both kinds.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any

from tools.console.definition import END, START, Definition, Kind, Transition
from tools.console.masking import masked

_ATTEMPT = re.compile(
    "(?:Task|LambdaFunction|Activity)"
    "(?:(?P<begins>Scheduled)|(?P<ends>Succeeded|Failed|TimedOut|(?:Schedule|Start|Submit)Failed))"
)
_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


AWAIT_CUSTOMER = "AwaitCustomer"
"""The state in which a payment waits for the customer, whom the bank asks."""


class Outcome(StrEnum):
    """How a visit to a state went."""

    SUCCEEDED = "succeeded"
    CAUGHT = "caught"  # it gave up, and a catch transition was taken
    FAILED = "failed"
    STOPPED = "stopped"  # the execution was stopped or timed out
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the history. `details` is plain JSON data with nested JSON parsed and card numbers masked."""

    id: int
    type: str
    at: datetime
    details: Mapping[str, Any]

    @property
    def error(self) -> str | None:
        """The name of the error that the event reports, or None."""
        if "error" in self.details:
            return str(self.details["error"])
        return "States.Timeout" if self.type.endswith("TimedOut") else None


@dataclass(slots=True)
class Attempt:
    """One call of a Task's function. `ended` is the event that ended the call, or None while it runs. `waits_since` is
    the time at which the function had been called, and the Task began to wait for somebody to resume it.
    """

    started_at: datetime
    ended: Event | None = None
    waits_since: datetime | None = None

    @property
    def error(self) -> str | None:
        return self.ended.error if self.ended else None


@dataclass(slots=True)
class Visit:
    """One pass through a state; the first visit of an execution is number 1."""

    number: int
    state: str
    type: str
    entered_at: datetime
    exited_at: datetime | None = None
    outcome: Outcome = Outcome.RUNNING
    attempts: list[Attempt] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    @property
    def errors(self) -> list[str]:
        """The errors of the attempts, in order."""
        return [attempt.error for attempt in self.attempts if attempt.error]


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a visit's time. `kind` is `attempt`, `failed`, `retry` (the pause before a retry), `wait` or `step`."""

    kind: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class CustomerWait:
    """The wait for a customer whom the bank asks. What the history doesn't say is None. It never says which page the
    bank asks on: the address may contain secrets.
    """

    since: datetime
    until: datetime | None = None
    gateway: str | None = None
    charge_id: str | None = None
    brand: str | None = None
    last4: str | None = None


@dataclass(frozen=True, slots=True)
class History:
    """An execution so far. `events` holds the events outside of any state, such as its start and end."""

    started_at: datetime
    ended_at: datetime | None
    visits: tuple[Visit, ...]
    events: tuple[Event, ...]

    def duration(self, now: datetime) -> timedelta:
        return (self.ended_at or now) - self.started_at

    @property
    def customer_wait(self) -> CustomerWait | None:
        """The wait for the customer, if the execution is in it."""
        visit = self.visits[-1] if self.visits else None
        if visit is None or visit.state != AWAIT_CUSTOMER or visit.outcome is not Outcome.RUNNING:
            return None
        state = visit.events[0].details.get("input")
        card, error = (_member(state, name) for name in ("card", "action"))
        action = parsed(_member(parsed(_member(error, "Cause")), "errorMessage"))
        timeouts = [event.details.get("timeoutInSeconds") for event in visit.events if event.type == "TaskScheduled"]
        seconds = timeouts[-1] if timeouts else None
        return CustomerWait(
            visit.entered_at,
            visit.attempts[-1].started_at + timedelta(seconds=seconds) if seconds else None,
            _member(action, "gateway"),
            _member(action, "charge_id"),
            _member(card, "brand"),
            _member(card, "last4"),
        )

    def taken(self, definition: Definition) -> Counter[Transition]:
        """Count how often each transition was taken, including those from the start and to the end."""
        taken: Counter[Transition] = Counter()
        if self.visits:
            taken[Transition(START, self.visits[0].state, Kind.NEXT)] += 1
        for visit, next_visit in pairwise(self.visits):
            candidates = [t for t in definition.transitions if (t.source, t.target) == (visit.state, next_visit.state)]
            # A catch may lead to the same state as the regular transition; choose the one that fits the outcome.
            candidates.sort(key=lambda transition: (transition.kind is Kind.CATCH) != (visit.outcome is Outcome.CAUGHT))
            taken.update(candidates[:1])
        for last in self.visits[-1:]:
            if self.ended_at and last.outcome in (Outcome.SUCCEEDED, Outcome.FAILED):
                taken[Transition(last.state, END, Kind.NEXT)] += 1
        return taken


def read(events: Iterable[Mapping[str, Any]], execution: Mapping[str, Any]) -> History:
    """Build a History from the events of GetExecutionHistory and the answer of DescribeExecution."""
    visits: list[Visit] = []
    outside: list[Event] = []
    for raw in events:
        event = _event(raw)
        if event.type.endswith("StateEntered"):
            type_ = event.type.removesuffix("StateEntered")
            visits.append(Visit(len(visits) + 1, event.details["name"], type_, event.at))
        elif event.type.startswith("Execution") or not visits:
            outside.append(event)
            continue
        visit = visits[-1]
        if event.type.endswith("StateExited"):
            visit = next((each for each in reversed(visits) if each.state == event.details["name"]), visit)
            visit.exited_at = event.at
        elif attempt := _ATTEMPT.fullmatch(event.type):
            if attempt["begins"]:
                visit.attempts.append(Attempt(event.at))
            elif visit.attempts:
                visit.attempts[-1].ended = event
        elif event.type == "TaskSubmitted" and visit.attempts:
            visit.attempts[-1].waits_since = event.at
        visit.events.append(event)
    for visit in visits:
        visit.outcome = _outcome(visit, execution["status"])
    return History(execution["startDate"], execution.get("stopDate"), tuple(visits), tuple(outside))


def spans(visit: Visit, until: datetime) -> Iterator[Span]:
    """Split a visit's time into spans. If the visit is not over, the last span ends at `until`."""
    end = visit.exited_at or until
    if not visit.attempts:
        yield Span("wait" if visit.type == "Wait" else "step", visit.entered_at, end)
    moment = None
    for attempt in visit.attempts:
        if moment:
            yield Span("retry", moment, attempt.started_at)
        moment = attempt.ended.at if attempt.ended else end
        called_until = attempt.waits_since or moment
        yield Span("failed" if attempt.error else "attempt", attempt.started_at, called_until)
        if attempt.waits_since:
            yield Span("wait", called_until, moment)
    if moment and visit.outcome is Outcome.RUNNING and visit.attempts[-1].error:
        yield Span("retry", moment, until)


def _outcome(visit: Visit, status: str) -> Outcome:
    if visit.type == "Fail":
        return Outcome.FAILED
    if visit.exited_at or (visit.type == "Succeed" and status == "SUCCEEDED"):
        return Outcome.CAUGHT if visit.attempts and visit.attempts[-1].error else Outcome.SUCCEEDED
    if status == "RUNNING":
        return Outcome.RUNNING
    return Outcome.FAILED if status == "FAILED" else Outcome.STOPPED


def _event(raw: Mapping[str, Any]) -> Event:
    details: Mapping[str, Any] = next((value for name, value in raw.items() if name.endswith("EventDetails")), {})
    read = {name: parsed(value) for name, value in details.items() if not name.endswith("Details")}
    return Event(raw["id"], raw["type"], raw["timestamp"], masked(read))


def parsed(text: Any) -> Any:
    """Parse a text as JSON; return the value unchanged if it is not JSON."""
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text


def _member(value: Any, name: str) -> Any:
    """The member of an object; None of anything else."""
    return value.get(name) if isinstance(value, Mapping) else None


def seconds_text(seconds: float) -> str:
    """Format a duration briefly: `0.121 s`, `12.3 s`, `5 min 3 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 60:
        return f"{seconds:.{3 if seconds < 1 else 1}f} s"
    size, unit, part, part_unit = next(row for row in _UNITS if seconds >= row[0])
    remainder = int(seconds % size // part)
    return f"{int(seconds // size)} {unit}" + (f" {remainder} {part_unit}" if remainder else "")
