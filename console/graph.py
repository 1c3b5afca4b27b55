"""A state machine's picture with an execution in it: what templates/_graph.html draws as SVG."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from console.definition import END, START, Definition, State, Transition
from console.history import History, Outcome, Visit
from console.layout import Box, Line, Picture, lay_out

MARKS = {
    Outcome.SUCCEEDED: "✓",
    Outcome.CAUGHT: "!",
    Outcome.FAILED: "✕",
    Outcome.STOPPED: "■",
    Outcome.RUNNING: "…",
}
"""Colours are not seen by all."""

SAID = {
    Outcome.SUCCEEDED: "succeeded",
    Outcome.CAUGHT: "gave up, and its error was caught",
    Outcome.FAILED: "failed",
    Outcome.STOPPED: "was stopped",
    Outcome.RUNNING: "is running",
}

_LABEL_HEIGHT = 12.0
_TURN = 0.36


@dataclass(frozen=True, slots=True)
class DrawnBox:
    """A state as it is drawn. `visit` is its latest, `calls` how often its function was called in all visits."""

    box: Box
    state: State
    visit: Visit | None
    visits: int
    calls: int
    description: str

    @property
    def kind(self) -> str:
        return self.visit.outcome if self.visit else "untaken"

    @property
    def mark(self) -> str:
        return MARKS[self.visit.outcome] if self.visit else ""


@dataclass(frozen=True, slots=True)
class DrawnLine:
    """A transition as it is drawn: an SVG path, and its label, if there is one, in lines from a place up."""

    path: str
    transition: Transition
    taken: int
    label: Sequence[str]
    label_at: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is taken comes last, on top of what is not."""

    width: float
    height: float
    start: Box
    end: Box
    started: bool
    ended: bool
    boxes: list[DrawnBox]
    lines: list[DrawnLine]
    description: str


def draw(definition: Definition, history: History | None = None) -> Drawing:
    """The picture of a state machine, and of an execution of it."""
    picture = lay_out(definition)
    taken = history.taken(definition) if history else Counter[Transition]()
    circles = {box.name: box for box in picture.boxes if box.name in (START, END)}
    states = [box for box in picture.boxes if box.name not in circles]
    way = [f"{visit.state} {SAID[visit.outcome]}" for visit in history.visits] if history else []
    return Drawing(
        picture.width,
        picture.height,
        circles[START],
        circles[END],
        bool(way),
        any(transition.target == END for transition in taken),
        [_box(box, definition.states[box.name], history) for box in states],
        sorted(_lines(picture, taken), key=lambda line: line.taken > 0),
        f"{len(states)} states. " + (f"The way so far: {', '.join(way)}." if way else "Nothing has run."),
    )


def _box(box: Box, state: State, history: History | None) -> DrawnBox:
    visits = [visit for visit in history.visits if visit.state == state.name] if history else []
    calls = sum(len(visit.attempts) for visit in visits)
    errors = [error for visit in visits for error in visit.errors]
    said = [f"{state.name}, {state.type}."]
    if visits:
        said.append(f"It {SAID[visits[-1].outcome]}.")
    if len(visits) > 1:
        said.append(f"Visited {len(visits)} times.")
    if calls > 1:
        said.append(f"Called {calls} times.")
    if errors:
        said.append(f"Errors: {', '.join(errors)}.")
    return DrawnBox(box, state, visits[-1] if visits else None, len(visits), calls, " ".join([*said, state.comment]))


def _lines(picture: Picture, taken: Counter[Transition]) -> Sequence[DrawnLine]:
    drawn: list[DrawnLine] = []
    labelled: set[tuple[float, float]] = set()
    for line in picture.lines:
        label = _label(line.transition)
        # At its end, where the lines of a choice are apart; where another line has its label there, at its beginning.
        at = line.points[-1] if line.points[-1] not in labelled else line.points[1]
        if label:
            labelled.add(at)
        times = taken[line.transition]
        drawn.append(DrawnLine(_path(line), line.transition, times, label, (at[0], at[1] - _LABEL_HEIGHT)))
    return drawn


def _label(transition: Transition) -> list[str]:
    """A label of several conditions is broken before each `or`."""
    first, *others = transition.label.split(" or ")
    return [first, *(f"or {other}" for other in others)] if first else []


def _path(line: Line) -> str:
    """Straight through the layers, and in an S from each to the next: early, as labels stand before a line's end."""
    (x, y), *points = line.points
    path = f"M{x:.1f},{y:.1f}"
    for to_x, to_y in points:
        middle = y + _TURN * (to_y - y)
        path += f"C{x:.1f},{middle:.1f} {to_x:.1f},{middle:.1f} {to_x:.1f},{to_y:.1f}"
        x, y = to_x, to_y
    return path
