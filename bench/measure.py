"""Measurements, their floors and their targets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Samples:
    """The measured values in the order in which they were taken, at least one."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def minimum(self) -> float:
        return min(self.values)

    @property
    def maximum(self) -> float:
        return max(self.values)

    def percentile(self, percent: float) -> float:
        """Return the percentile by nearest rank: the least value that `percent` % of all values don't exceed."""
        ordered = sorted(self.values)
        return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)]

    def to_dict(self) -> dict[str, Any]:
        return {"median": self.median, "min": self.minimum, "max": self.maximum, "samples": list(self.values)}


@dataclass(frozen=True, slots=True)
class Target:
    """A limit on the measured value: its ratio to the floor, its difference from the floor, or the value itself."""

    compares: Literal["ratio", "difference", "value"]
    limit: float
    at_least: bool = False

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        if self.compares == "difference":
            return f"{sign} {self.limit:+g}"
        return f"{sign} {self.limit:g}" + (" ×" if self.compares == "ratio" else "")

    def figure(self, measured: float, floor: float | None) -> float:
        if self.compares == "value" or floor is None:
            return measured
        return measured / floor if self.compares == "ratio" else measured - floor

    def holds(self, figure: float) -> bool:
        return figure >= self.limit if self.at_least else figure <= self.limit


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement, its floor, and its target. A row without a target is there to explain another."""

    what: str
    unit: str
    measured: Samples
    floor: Samples | None = None
    target: Target | None = None

    @property
    def figure(self) -> float | None:
        """The value to compare with the target, computed from the medians."""
        if self.target is None:
            return None
        return self.target.figure(self.measured.median, self.floor.median if self.floor else None)

    @property
    def holds(self) -> bool | None:
        return None if self.target is None or self.figure is None else self.target.holds(self.figure)

    def to_dict(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "unit": self.unit,
            "measured": self.measured.to_dict(),
            "floor": self.floor and self.floor.to_dict(),
            "figure": self.figure,
            "target": self.target and str(self.target),
            "holds": self.holds,
        }


@dataclass(frozen=True, slots=True)
class Count:
    """A counted number, and the number expected. Neither depends on how fast or busy the machine is."""

    what: str
    counted: float
    expected: float
    why: str = ""

    @property
    def holds(self) -> bool:
        return self.counted == self.expected

    def to_dict(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "counted": self.counted,
            "expected": self.expected,
            "why": self.why,
            "holds": self.holds,
        }


@dataclass(frozen=True, slots=True)
class Curve:
    """A line of a chart: y over x."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of one or more curves; `file` is its name without a suffix."""

    file: str
    title: str
    x: str
    y: str
    curves: Sequence[Curve]
    log_x: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the benchmark. `against` says what the floor is, and `notes` explain how to read the results."""

    name: str
    against: str
    rows: Sequence[Row] = ()
    counts: Sequence[Count] = ()
    notes: Sequence[str] = ()
    charts: Sequence[Chart] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "against": self.against,
            "rows": [row.to_dict() for row in self.rows],
            "counts": [count.to_dict() for count in self.counts],
            "notes": list(self.notes),
        }


def interleaved(rounds: int, *measures: Callable[[], float], warm_up: int = 0) -> tuple[Samples, ...]:
    """Take the measurements in turn, again and again, so that a busy moment of the machine affects all of them equally.

    The results of the first `warm_up` rounds are discarded.
    """
    measurements = [[measure() for measure in measures] for _ in range(warm_up + rounds)][warm_up:]
    return tuple(Samples(values) for values in zip(*measurements, strict=True))
