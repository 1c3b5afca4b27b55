"""An execution's visits on a common time scale, for the terminal and the pages."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from tools.console.history import History, Visit, spans

SPAN_TEXTS = {
    "attempt": "called",
    "failed": "called, and it failed",
    "retry": "waits before it is called again",
    "wait": "waits",
    "step": "passes",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of a row. `start` and `length` are fractions of the execution's whole duration."""

    kind: str
    start: float
    length: float
    seconds: float

    @property
    def description(self) -> str:
        return SPAN_TEXTS[self.kind]


@dataclass(frozen=True, slots=True)
class Row:
    """A visit with its bars. It began `after_seconds` after the execution's start and took `seconds`."""

    visit: Visit
    after_seconds: float
    seconds: float
    bars: tuple[Bar, ...]


def rows(history: History, now: datetime) -> Iterator[Row]:
    """Yield a row for each visit, in order."""
    until = history.ended_at or now
    total = max(history.duration(now).total_seconds(), 0.001)

    def offset(moment: datetime) -> float:
        # A call that was running when the execution was stopped may end later, or never.
        return max((min(moment, until) - history.started_at).total_seconds(), 0.0)

    for visit in history.visits:
        bars = []
        for span in spans(visit, until):
            start, seconds = offset(span.start), offset(span.end) - offset(span.start)
            bars.append(Bar(span.kind, start / total, seconds / total, seconds))
        seconds = offset(visit.exited_at or until) - offset(visit.entered_at)
        yield Row(visit, offset(visit.entered_at), seconds, tuple(bars))
