from itertools import combinations, pairwise

import pytest

from tests.unit.tools.console.machines import ASL, MACHINE
from tools.console.definition import END, START, Definition
from tools.console.layout import Box, Picture, lay_out
from tools.deployment.definitions import MACHINES, definition

ALL = {machine: Definition.from_asl(definition(machine)) for machine in MACHINES} | {"small": MACHINE}


def boxes(picture: Picture) -> dict[str, Box]:
    return {box.name: box for box in picture.boxes}


def overlap(one: Box, other: Box, room: float = 0) -> bool:
    return (
        abs(one.x - other.x) < (one.width + other.width) / 2 + room
        and abs(one.y - other.y) < (one.height + other.height) / 2 + room
    )


def inside(x: float, y: float, box: Box) -> bool:
    return abs(x - box.x) < box.width / 2 and abs(y - box.y) < box.height / 2


def reached_from(name: str, definition: Definition) -> set[str]:
    reached, more = set[str](), {name}
    while more:
        reached |= more
        more = {each.target for each in definition.transitions if each.source in more} - reached
    return reached


@pytest.mark.parametrize("machine", ALL)
def test_no_two_boxes_touch_and_all_are_in_the_picture(machine: str) -> None:
    picture = lay_out(ALL[machine])
    assert not [pair for pair in combinations(picture.boxes, 2) if overlap(*pair, room=5)]
    assert all(box.width / 2 < box.x < picture.width - box.width / 2 for box in picture.boxes)
    assert all(box.height / 2 < box.y < picture.height - box.height / 2 for box in picture.boxes)
    assert all(0 < x < picture.width for line in picture.lines for x, _ in line.points)


@pytest.mark.parametrize("machine", ALL)
def test_no_line_goes_through_a_box(machine: str) -> None:
    picture = lay_out(ALL[machine])
    through = [
        (line.transition, box.name)
        for line in picture.lines
        for (x, y), (to_x, to_y) in pairwise(line.points)
        if x == to_x  # where a line crosses a layer; there are no boxes between layers
        for box in picture.boxes
        if any(inside(x, y + part * (to_y - y) / 20, box) for part in range(1, 20))
    ]
    assert through == []


@pytest.mark.parametrize("machine", ALL)
def test_every_transition_has_a_line_from_its_source_to_its_target(machine: str) -> None:
    definition, picture = ALL[machine], lay_out(ALL[machine])
    at = boxes(picture)
    assert {line.transition for line in picture.lines} > set(definition.transitions)
    for line in picture.lines:
        for (x, y), box in (
            (line.points[0], at[line.transition.source]),
            (line.points[-1], at[line.transition.target]),
        ):
            assert abs(x - box.x) <= box.width / 2
            assert abs(y - box.y) == pytest.approx(box.height / 2)


@pytest.mark.parametrize("machine", ALL)
def test_it_goes_down_from_the_start_to_the_end_and_up_only_to_where_it_came_from(machine: str) -> None:
    picture = lay_out(ALL[machine])
    at = boxes(picture)
    assert min(at.values(), key=lambda box: box.y).name == START
    assert max(at.values(), key=lambda box: box.y).name == END
    for line in picture.lines:
        source, target = line.transition.source, line.transition.target
        if at[source].y > at[target].y:
            assert source in reached_from(target, ALL[machine])
    for line in picture.lines:
        ys = [y for _, y in line.points]
        assert ys in (sorted(ys), sorted(ys, reverse=True))


def test_failures_stand_below_successes() -> None:
    at = boxes(lay_out(MACHINE))
    assert at["Reversed"].y > at["Done"].y


def test_a_loop_goes_back_up() -> None:
    at = boxes(lay_out(ALL["resolve"]))
    assert at["HowLongToWait"].y < at["Resolve"].y < at["AskAgain"].y


def test_no_lines_down_cross_where_none_has_to() -> None:
    spans: dict[float, list[tuple[float, float]]] = {}
    for line in lay_out(MACHINE).lines:
        for (x, y), (to_x, to_y) in pairwise(line.points):
            if y < to_y:
                spans.setdefault(y, []).append((x, to_x))
    crossing = [
        pair
        for lines in spans.values()
        for pair in combinations(lines, 2)
        if (pair[0][0] - pair[1][0]) * (pair[0][1] - pair[1][1]) < 0
    ]
    assert crossing == []


def test_the_same_state_machine_has_the_same_picture() -> None:
    again = Definition.from_asl(ASL)
    assert again is not MACHINE
    assert lay_out(again) == lay_out(MACHINE)
