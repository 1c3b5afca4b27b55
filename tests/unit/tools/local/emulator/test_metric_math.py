"""Metric math does what its page in CloudWatch's user guide says."""

import pytest

from tests.aws_facts import facts
from tools.local.emulator.metric_math import Interpretation, Series, evaluate

PERIODS = range(5)
KIND = Interpretation(fill_fills_nothing=True, arithmetic_takes_missing_for_zero=True)


def series(values: list[float | None]) -> Series:
    return {period: float(value) for period, value in enumerate(values) if value is not None}


SERIES = {
    "some": series([1, None, 3, None, 5]),
    "others": series([10, 20, None, None, 0]),
    "none": {},
}


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("some + others", [11, None, None, None, 5]),
        ("2 * some - 1", [1, None, 5, None, 9]),
        ("some / others", [0.1, None, None, None, None]),
        ("(some + 1) * 2", [4, None, 8, None, 12]),
        ("some > 2", [0, None, 1, None, 1]),
        ("some >= others", [0, 0, 1, None, 1]),
        ("FILL(some, 0)", [1, 0, 3, 0, 5]),
        ("FILL(none, 0)", [None, None, None, None, None]),
        ("SUM([some, others, none])", [11, 20, 3, None, 5]),
        ("MAX([some, others])", [10, 20, 3, None, 5]),
        ("MIN([some, others])", [1, 20, 3, None, 0]),
        ("100 * FILL(some, 0) / IF(others > 10, others, 10)", [10, 0, None, None, 50]),
    ],
)
def test_an_expression_has_the_values_of_the_harshest_reading(expression: str, values: list[float | None]) -> None:
    assert evaluate(expression, SERIES, PERIODS) == series(values)


@pytest.mark.parametrize(
    ("expression", "values"), [("some + others", [11, 20, 3, None, 5]), ("FILL(none, 0)", [0, 0, 0, 0, 0])]
)
def test_another_reading_has_more_of_them(expression: str, values: list[float | None]) -> None:
    assert evaluate(expression, SERIES, PERIODS, KIND) == series(values)


@pytest.mark.parametrize("case", facts("alarms")["if"])
def test_if_is_as_the_page_s_tables_have_it(case: dict[str, list[float | None]]) -> None:
    inputs = {"condition": series(case["condition"]), "chosen": series(case["then"])}
    assert evaluate(f"IF(condition, chosen, {case['else']})", inputs, PERIODS) == series(case["is"])


@pytest.mark.parametrize("expression", ["1 + 1", "SUM(some)", "some +", "some others", "FILL(some", "some & others"])
def test_what_is_no_expression_of_one_time_series_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        evaluate(expression, SERIES, PERIODS)
