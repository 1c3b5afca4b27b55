from itertools import combinations

import pytest

from tests.unit.tools.console.histories import CAUGHT, history
from tests.unit.tools.console.machines import MACHINE
from tools.console.definition import Definition
from tools.console.graph import draw
from tools.deployment.definitions import MACHINES, definition

ALL = {machine: Definition.from_asl(definition(machine)) for machine in MACHINES} | {"small": MACHINE}
CHARACTER_WIDTH, LINE_HEIGHT = 6.0, 12.0

Area = tuple[float, float, float, float]
"""Left, top, right and bottom."""


def overlap(one: Area, other: Area) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@pytest.mark.parametrize("machine", ALL)
def test_labels_can_be_read(machine: str) -> None:
    drawing = draw(ALL[machine])
    labels = []
    for line in drawing.lines:
        if line.label:
            (x, bottom), width = line.label_at, CHARACTER_WIDTH * max(map(len, line.label))
            labels.append((x - width / 2, bottom - LINE_HEIGHT * len(line.label), x + width / 2, bottom))
    boxes = [
        (box.x - box.width / 2, box.y - box.height / 2, box.x + box.width / 2, box.y + box.height / 2)
        for box in (drawn.box for drawn in drawing.boxes)
    ]
    assert labels
    assert not [pair for pair in combinations(labels, 2) if overlap(*pair)]
    assert not [label for label in labels for box in boxes if overlap(label, box)]


def test_a_label_of_two_conditions_has_two_lines_and_one_of_more_says_how_many() -> None:
    labels = {(line.transition.source, line.transition.target): line.label for line in draw(ALL["payment"]).lines}
    assert labels["Outcome", "PaymentRecorded"] == ["status = captured", "or 5 others"]


def test_a_state_machine_that_has_not_run_has_a_picture_too() -> None:
    drawing = draw(MACHINE)
    assert {drawn.kind for drawn in drawing.boxes} == {"untaken"}
    assert not any(line.taken for line in drawing.lines)
    assert (drawing.started, drawing.ended) == (False, False)
    assert drawing.description == "6 states. Nothing has run."


def test_the_path_is_described_in_words() -> None:
    drawing = draw(MACHINE, history(CAUGHT, "FAILED"))
    assert (drawing.started, drawing.ended) == (True, True)
    assert drawing.description == (
        "6 states. The way so far: Charge gave up, and its error was caught, Compensate succeeded, Reversed failed."
    )
