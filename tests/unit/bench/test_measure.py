from collections.abc import Callable
from itertools import count

import pytest

from bench.measure import Count, Row, Samples, Target, interleaved


def samples(*values: float) -> Samples:
    return Samples(values)


def test_samples_have_a_median_a_minimum_and_a_maximum() -> None:
    measured = samples(3, 1, 2, 10)
    assert (measured.median, measured.minimum, measured.maximum) == (2.5, 1, 10)


@pytest.mark.parametrize(("percent", "value"), [(1, 1), (50, 50), (99, 99), (100, 100)])
def test_a_percentile_is_the_nearest_rank(percent: float, value: float) -> None:
    assert Samples(tuple(range(100, 0, -1))).percentile(percent) == value


@pytest.mark.parametrize(
    ("target", "figure", "holds", "text"),
    [
        (Target("ratio", 1.5), 1.5, True, "≤ 1.5 ×"),
        (Target("ratio", 1.4), 1.5, False, "≤ 1.4 ×"),
        (Target("difference", 1), 1.0, True, "≤ +1"),
        (Target("difference", 0.5), 1.0, False, "≤ +0.5"),
        (Target("value", 3), 3.0, True, "≤ 3"),
        (Target("ratio", 1.5, at_least=True), 1.5, True, "≥ 1.5 ×"),
        (Target("ratio", 1.6, at_least=True), 1.5, False, "≥ 1.6 ×"),
    ],
)
def test_a_row_compares_its_medians_with_its_target(target: Target, figure: float, holds: bool, text: str) -> None:
    row = Row("start", "ms", samples(1, 3, 9), samples(1, 2, 30), target)
    assert (row.figure, row.holds, str(target)) == (figure, holds, text)


def test_a_row_without_a_target_is_never_missed() -> None:
    row = Row("start", "ms", samples(1), samples(2))
    assert (row.figure, row.holds) == (None, None)


def test_a_count_must_be_exact() -> None:
    assert Count("calls", 13, 13).holds
    assert not Count("calls", 12, 13).holds


def test_measurements_take_turns_and_the_warm_up_rounds_are_discarded() -> None:
    turn = count()
    order: list[str] = []

    def measure(name: str) -> Callable[[], float]:
        def take() -> float:
            order.append(name)
            return next(turn)

        return take

    ours, floor = interleaved(2, measure("ours"), measure("floor"), warm_up=1)
    assert order == ["ours", "floor"] * 3
    assert (ours.values, floor.values) == ((2, 4), (3, 5))
