"""What an execution made of its state machine: its visits to the states, and each visit's attempts.

A function that a Task names by its ARN leaves LambdaFunction… events on AWS, and Task… events in the emulator, as the
optimised integration does everywhere. Both are read.
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

from tools.console.definition import END, START, Definition, How, Transition
from tools.console.masking import masked

_ATTEMPT = re.compile(
    "(?:Task|LambdaFunction|Activity)"
    "(?:(?P<begins>Scheduled)|(?P<ends>Succeeded|Failed|TimedOut|(?:Schedule|Start|Submit)Failed))"
)
_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


class Outcome(StrEnum):
    """How a visit to a state went."""

    SUCCEEDED = "succeeded"
    CAUGHT = "caught"  # it gave up, and the state machine went on elsewhere
    FAILED = "failed"
    STOPPED = "stopped"  # the execution was stopped, or ran out of time
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the history. `details` are as JSON says them, with nested JSON read, and card numbers masked."""

    id: int
    type: str
    at: datetime
    details: Mapping[str, Any]

    @property
    def error(self) -> str | None:
        """The error that it tells of."""
        if "error" in self.details:
            return str(self.details["error"])
        return "States.Timeout" if self.type.endswith("TimedOut") else None


@dataclass(slots=True)
class Attempt:
    """One call of a Task's function. `ended` is the event that ended it, None while it runs."""

    started_at: datetime
    ended: Event | None = None

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
        """The errors of its attempts, in order."""
        return [attempt.error for attempt in self.attempts if attempt.error]


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a visit's time: `kind` is `attempt`, `failed`, `retry` (the pause before one), `wait`, or `step`."""

    kind: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class History:
    """An execution so far. `events` has those that belong to no state, such as its beginning and its end."""

    started_at: datetime
    ended_at: datetime | None
    visits: tuple[Visit, ...]
    events: tuple[Event, ...]

    def duration(self, now: datetime) -> timedelta:
        return (self.ended_at or now) - self.started_at

    def outcomes(self) -> dict[str, Outcome]:
        """How the latest visit to each state went."""
        return {visit.state: visit.outcome for visit in self.visits}

    def taken(self, definition: Definition) -> Counter[Transition]:
        """How often each transition was taken, those from the start and to the end included."""
        taken: Counter[Transition] = Counter()
        if self.visits:
            taken[Transition(START, self.visits[0].state, How.NEXT)] += 1
        for visit, following in pairwise(self.visits):
            ways = [t for t in definition.transitions if (t.source, t.target) == (visit.state, following.state)]
            # A caught error's way may lead to where the planned way leads to.
            ways.sort(key=lambda way: (way.how is How.CATCH) != (visit.outcome is Outcome.CAUGHT))
            taken.update(ways[:1])
        for last in self.visits[-1:]:
            if self.ended_at and last.outcome in (Outcome.SUCCEEDED, Outcome.FAILED):
                taken[Transition(last.state, END, How.NEXT)] += 1
        return taken


def read(events: Iterable[Mapping[str, Any]], execution: Mapping[str, Any]) -> History:
    """Read the events of GetExecutionHistory, and the execution as DescribeExecution has it."""
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
        visit.events.append(event)
    for visit in visits:
        visit.outcome = _outcome(visit, execution["status"])
    return History(execution["startDate"], execution.get("stopDate"), tuple(visits), tuple(outside))


def spans(visit: Visit, until: datetime) -> Iterator[Span]:
    """A visit's time in parts, up to now where it is not over."""
    over = visit.exited_at or until
    if not visit.attempts:
        yield Span("wait" if visit.type == "Wait" else "step", visit.entered_at, over)
    moment = None
    for attempt in visit.attempts:
        if moment:
            yield Span("retry", moment, attempt.started_at)
        moment = attempt.ended.at if attempt.ended else over
        yield Span("failed" if attempt.error else "attempt", attempt.started_at, moment)
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
    """What a text says in JSON, if it does."""
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text


def seconds_text(seconds: float) -> str:
    """A duration as short as it can be understood: `0.121 s`, `12.3 s`, `5 min 3 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 60:
        return f"{seconds:.{3 if seconds < 1 else 1}f} s"
    size, unit, part, part_unit = next(row for row in _UNITS if seconds >= row[0])
    more = int(seconds % size // part)
    return f"{int(seconds // size)} {unit}" + (f" {more} {part_unit}" if more else "")
