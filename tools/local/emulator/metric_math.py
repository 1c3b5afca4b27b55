"""The part of metric math that our alarms use ("Math expressions with metrics", CloudWatch user guide).

It has arithmetic, comparisons, arrays, FILL, IF, MAX, MIN and SUM. The periods are numbered; a time series has a value
for some of them. `Interpretation` chooses one where the guide does not say how missing values are treated.
"""

import operator
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

Series = dict[int, float]
Value = float | Series | list[Series]

_TOKEN = re.compile(r"\s*(\d+(?:\.\d+)?|[A-Za-z_]\w*|[<>=!]=|[-+*/<>(),\[\]])")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CALCULATE: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
_AGGREGATE: dict[str, Callable[[list[float]], float]] = {"SUM": sum, "MAX": max, "MIN": min}


@dataclass(frozen=True, slots=True)
class Interpretation:
    """An interpretation of what AWS's documentation leaves open. The default is the worst for an alarm that should
    return to OK.

    `dynamodb_missing` says how an alarm on AWS/DynamoDB treats missing data. "ignored": it ignores them regardless of
    its TreatMissingData, as the API reference says. "as_told": it ignores them only by default, as the user guide says.
    "ignored_in_each_metric": it ignores every period in which one of its DynamoDB metrics has no data, so that no
    expression helps. `periods_beyond` is the number of periods that CloudWatch looks at beyond the alarm's
    EvaluationPeriods.
    """

    dynamodb_missing: Literal["ignored", "as_told", "ignored_in_each_metric"] = "ignored"
    periods_beyond: int = 0
    fill_fills_nothing: bool = False
    arithmetic_takes_missing_for_zero: bool = False


WORST_CASE = Interpretation()


def evaluate(
    expression: str,
    series: Mapping[str, Series],
    periods: range,
    interpretation: Interpretation = WORST_CASE,
) -> Series:
    """Return the expression's values in those periods that have one. Raises ValueError if it can't parse it."""
    parser = _Parser(_tokens(expression), series, periods, interpretation)
    value = parser.comparison()
    if parser.tokens or not isinstance(value, dict):
        raise ValueError(f"{expression} is not one time series")
    return value


def _tokens(expression: str) -> list[str]:
    tokens, position = [], 0
    while position < len(expression.rstrip()):
        match = _TOKEN.match(expression, position)
        if not match:
            raise ValueError(f"{expression[position:]} can't be read")
        tokens.append(match[1])
        position = match.end()
    return tokens


@dataclass(slots=True)
class _Parser:
    """A recursive-descent parser: each rule returns the value of what it parsed."""

    tokens: list[str]
    series: Mapping[str, Series]
    periods: range
    interpretation: Interpretation

    def comparison(self) -> Value:
        value = self.sum()
        while self._next in _COMPARE:
            value = self._combine(_COMPARE[self._take()], value, self.sum(), missing_is_zero=True)
        return value

    def sum(self) -> Value:
        return self._calculated(self.product, "+-")

    def product(self) -> Value:
        return self._calculated(self.atom, "*/")

    def atom(self) -> Value:
        symbol = self._take()
        if symbol == "(":
            (value,) = self._listed(")")
            return value
        if symbol == "[":
            return [each for each in self._listed("]") if isinstance(each, dict)]
        if symbol[0].isdigit():
            return float(symbol)
        if self._next == "(":
            self._take()
            return self._call(symbol, self._listed(")"))
        return self.series[symbol]

    @property
    def _next(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def _take(self, expected: str | None = None) -> str:
        if not self.tokens or (expected and self.tokens[0] != expected):
            raise ValueError(f"{expected or 'more'} is missing before {self.tokens}")
        return self.tokens.pop(0)

    def _listed(self, end: str) -> list[Value]:
        values = [self.comparison()]
        while self._next == ",":
            self._take()
            values.append(self.comparison())
        self._take(end)
        return values

    def _calculated(self, operand: Callable[[], Value], operators: str) -> Value:
        value, zero = operand(), self.interpretation.arithmetic_takes_missing_for_zero
        while self._next and self._next in operators:
            value = self._combine(_CALCULATE[self._take()], value, operand(), missing_is_zero=zero)
        return value

    def _combine(
        self, calculate: Callable[[float, float], float], left: Value, right: Value, *, missing_is_zero: bool
    ) -> Value:
        if isinstance(left, float) and isinstance(right, float):
            return calculate(left, right)
        assert not isinstance(left, list)
        assert not isinstance(right, list)
        series_list: list[Series] = [each for each in (left, right) if isinstance(each, dict)]
        has = any if missing_is_zero else all
        combined = {}
        for period in self.periods:
            if has(period in series for series in series_list):
                a, b = (each if isinstance(each, float) else each.get(period, 0.0) for each in (left, right))
                with suppress(ZeroDivisionError):  # "the data point is dropped"
                    combined[period] = float(calculate(a, b))
        return combined

    def _call(self, function: str, arguments: list[Value]) -> Value:
        match function, arguments:
            case "FILL", [dict() as series, float() as filler]:
                if series or self.interpretation.fill_fills_nothing:
                    return {period: series.get(period, filler) for period in self.periods}
                return {}
            case "IF", [dict() as condition, chosen, other]:
                return {period: self._at(period, chosen if true else other) for period, true in condition.items()}
            case (("SUM" | "MAX" | "MIN"), [list() as array]):
                present = {period: [each[period] for each in array if period in each] for period in self.periods}
                return {period: _AGGREGATE[function](values) for period, values in present.items() if values}
        raise ValueError(f"{function} of {arguments} is not known here")

    def _at(self, period: int, value: Value) -> float:
        assert not isinstance(value, list)
        return value if isinstance(value, float) else value.get(period, 0.0)
