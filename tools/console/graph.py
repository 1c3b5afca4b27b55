"""The diagram of a state machine and one execution of it, which templates/_graph.html draws as SVG."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tools.console.definition import END, START, Definition, State, Transition
from tools.console.history import History, Outcome, Visit
from tools.console.layout import Box, Line, Picture, lay_out

MARKS = {
    Outcome.SUCCEEDED: "✓",
    Outcome.CAUGHT: "!",
    Outcome.FAILED: "✕",
    Outcome.STOPPED: "■",
    Outcome.RUNNING: "…",
}
"""Symbols in addition to the colours, because not everybody can tell colours apart."""

OUTCOME_TEXTS = {
    Outcome.SUCCEEDED: "succeeded",
    Outcome.CAUGHT: "gave up, and its error was caught",
    Outcome.FAILED: "failed",
    Outcome.STOPPED: "was stopped",
    Outcome.RUNNING: "is running",
}

# The label font is 12 pixels high; the last line of a label is placed above the arrowhead.
_CHARACTER_WIDTH, _LABEL_LINE, _LABEL_DESCENT, _LABEL_RISE = 6.4, 13.0, 3.0, 12.0
_TURN = 0.36

Area = tuple[float, float, float, float]
"""A rectangle: x and y of its center, width, height."""


@dataclass(frozen=True, slots=True)
class DrawnBox:
    """A drawn state. `visit` is the latest visit; `calls` counts the calls of the state's function over all visits."""

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
    """A drawn transition: an SVG path, and the lines of its label (empty without one), the last at `label_at`."""

    path: str
    transition: Transition
    taken: int
    label: Sequence[str]
    label_at: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A complete diagram. Transitions that were taken come last in `lines`, so they are drawn on top of the others."""

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
    """Draw a state machine and, if a history is given, the path of that execution."""
    picture = lay_out(definition)
    taken = history.taken(definition) if history else Counter[Transition]()
    circles = {box.name: box for box in picture.boxes if box.name in (START, END)}
    states = [box for box in picture.boxes if box.name not in circles]
    steps = [f"{visit.state} {OUTCOME_TEXTS[visit.outcome]}" for visit in history.visits] if history else []
    return Drawing(
        picture.width,
        picture.height,
        circles[START],
        circles[END],
        bool(steps),
        any(transition.target == END for transition in taken),
        [_box(box, definition.states[box.name], history) for box in states],
        sorted(_lines(picture, taken), key=lambda line: line.taken > 0),
        f"{len(states)} states. " + (f"The way so far: {', '.join(steps)}." if steps else "Nothing has run."),
    )


def _box(box: Box, state: State, history: History | None) -> DrawnBox:
    visits = [visit for visit in history.visits if visit.state == state.name] if history else []
    calls = sum(len(visit.attempts) for visit in visits)
    errors = [error for visit in visits for error in visit.errors]
    sentences = [f"{state.name}, {state.type}."]
    if visits:
        sentences.append(f"It {OUTCOME_TEXTS[visits[-1].outcome]}.")
    if len(visits) > 1:
        sentences.append(f"Visited {len(visits)} times.")
    if calls > 1:
        sentences.append(f"Called {calls} times.")
    if errors:
        sentences.append(f"Errors: {', '.join(errors)}.")
    return DrawnBox(
        box, state, visits[-1] if visits else None, len(visits), calls, " ".join([*sentences, state.comment])
    )


def _lines(picture: Picture, taken: Counter[Transition]) -> Sequence[DrawnLine]:
    occupied = [(box.x, box.y, box.width, box.height) for box in picture.boxes]
    drawn: list[DrawnLine] = []
    # A short line has only one place for its label; a long line can have its label at each layer that it crosses.
    for line in sorted(picture.lines, key=lambda line: len(line.points)):
        label = _label(line.transition)
        x, y = _label_place(line, label, occupied) if label else line.points[-1]
        drawn.append(DrawnLine(_path(line), line.transition, taken[line.transition], label, (x, y)))
    return drawn


def _label_place(line: Line, label: Sequence[str], occupied: list[Area]) -> tuple[float, float]:
    """Choose the position of a label's last line: at the line's end, or else at the first free entry into a layer."""
    width, height = _CHARACTER_WIDTH * max(map(len, label)), _LABEL_LINE * len(label)
    upwards = line.points[0][1] > line.points[-1][1]
    rise = -_LABEL_RISE if not upwards else _LABEL_RISE + height - _LABEL_DESCENT
    places = [(x, y + rise) for x, y in [line.points[-1], *line.points[1:-1:2]]]
    areas = [(x, y + _LABEL_DESCENT - height / 2, width, height) for x, y in places]
    free = (each for each, area in enumerate(areas) if not any(_overlap(area, other) for other in occupied))
    best = next(free, 0)
    occupied.append(areas[best])
    return places[best]


def _overlap(one: Area, other: Area) -> bool:
    return abs(one[0] - other[0]) < (one[2] + other[2]) / 2 and abs(one[1] - other[1]) < (one[3] + other[3]) / 2


def _label(transition: Transition) -> list[str]:
    """Split a label before `or` into two lines. With more than two conditions, the second line counts the others."""
    first, *others = transition.label.split(" or ")
    if not first:
        return []
    return [first] if not others else [first, f"or {others[0]}" if len(others) == 1 else f"or {len(others)} others"]


def _path(line: Line) -> str:
    """An SVG path of S curves between the points. The curves bend early, because labels are near the line's end."""
    (x, y), *points = line.points
    path = f"M{x:.1f},{y:.1f}"
    for to_x, to_y in points:
        middle = y + _TURN * (to_y - y)
        path += f"C{x:.1f},{middle:.1f} {to_x:.1f},{middle:.1f} {to_x:.1f},{to_y:.1f}"
        x, y = to_x, to_y
    return path
