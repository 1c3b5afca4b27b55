"""An execution's visits on one scale of time, for the terminal and for pages."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from tools.console.history import History, Visit, spans

SAID = {
    "attempt": "called",
    "failed": "called, and it failed",
    "retry": "waits before it is called again",
    "wait": "waits",
    "step": "passes",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of a row: where it begins and how long it is, as parts of the whole time, and what it says."""

    kind: str
    start: float
    length: float
    seconds: float

    @property
    def said(self) -> str:
        return SAID[self.kind]


@dataclass(frozen=True, slots=True)
class Row:
    """A visit: seconds after the execution's start, how long it took, and its bars."""

    visit: Visit
    after_seconds: float
    seconds: float
    bars: tuple[Bar, ...]


def rows(history: History, now: datetime) -> Iterator[Row]:
    """A row for each visit, in order."""
    until = history.ended_at or now
    whole = max(history.duration(now).total_seconds(), 0.001)

    def after(moment: datetime) -> float:
        # What was under way when its execution was stopped ends later, or never.
        return max((min(moment, until) - history.started_at).total_seconds(), 0.0)

    for visit in history.visits:
        bars = []
        for span in spans(visit, until):
            start, seconds = after(span.start), after(span.end) - after(span.start)
            bars.append(Bar(span.kind, start / whole, seconds / whole, seconds))
        seconds = after(visit.exited_at or until) - after(visit.entered_at)
        yield Row(visit, after(visit.entered_at), seconds, tuple(bars))
