"""A state machine as a graph: its states and the transitions between them, read from its ASL.

Templates with `${…}` placeholders, such as statemachine/*.asl.json, can be read as well as deployed definitions. A
Parallel or Map state counts as one state; its inner states are not read.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

START, END = "(start)", "(end)"
"""The two circles of a diagram; they are not states."""

_COMPARISONS = {
    "Equals": "=",
    "LessThan": "<",
    "LessThanEquals": "≤",
    "GreaterThan": ">",
    "GreaterThanEquals": "≥",
    "Matches": "matches",
}
_ANY_ERROR = "States.ALL"


class Kind(StrEnum):
    """What causes a transition."""

    NEXT = "next"
    CHOICE = "choice"
    CATCH = "catch"


@dataclass(frozen=True, slots=True)
class State:
    """One state. `comment` is its purpose, `is_terminal` whether it ends the execution, `seconds` a Wait's length."""

    name: str
    type: str
    comment: str
    is_terminal: bool
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """A transition between two states. `labels` holds the conditions of a choice or the errors of a catch."""

    source: str
    target: str
    kind: Kind
    labels: tuple[str, ...] = ()

    @property
    def catches_all(self) -> bool:
        return _ANY_ERROR in self.labels

    @property
    def label(self) -> str:
        """A short text that says when the transition is taken; empty if it catches all errors."""
        if self.catches_all:
            return ""
        first, *others = self.labels or ("",)
        variable, equals, _ = first.partition(" = ")
        same = f"{variable}{equals}"
        return " or ".join([first, *(other.removeprefix(same) if equals else other for other in others)])


@dataclass(frozen=True, eq=False)
class Definition:
    """A state machine. Between two states there is at most one transition of each kind."""

    start: str
    states: Mapping[str, State]
    transitions: tuple[Transition, ...]

    @classmethod
    def from_asl(cls, asl: str) -> "Definition":
        """Parse a definition in JSON, from Step Functions or from a file."""
        machine = json.loads(asl)
        states = {
            name: State(name, state["Type"], state.get("Comment", ""), _is_terminal(state), state.get("Seconds"))
            for name, state in machine["States"].items()
        }
        transitions = (each for name, state in machine["States"].items() for each in _transitions(name, state))
        return cls(machine["StartAt"], states, tuple(_merged(transitions)))


def _is_terminal(state: Mapping[str, Any]) -> bool:
    return state["Type"] in ("Succeed", "Fail") or bool(state.get("End"))


def _merged(transitions: Iterator[Transition]) -> Iterator[Transition]:
    """Merge the transitions of the same kind between the same two states into one."""
    labels: dict[tuple[str, str, Kind], tuple[str, ...]] = {}
    for each in transitions:
        key = (each.source, each.target, each.kind)
        labels[key] = labels.get(key, ()) + each.labels
    for (source, target, kind), all_labels in labels.items():
        yield Transition(source, target, kind, all_labels)


def _transitions(name: str, state: Mapping[str, Any]) -> Iterator[Transition]:
    if "Next" in state:
        yield Transition(name, state["Next"], Kind.NEXT)
    for rule in state.get("Choices", ()):
        yield Transition(name, rule["Next"], Kind.CHOICE, (condition(rule),))
    if "Default" in state:
        yield Transition(name, state["Default"], Kind.CHOICE, ("otherwise",))
    for catcher in state.get("Catch", ()):
        yield Transition(name, catcher["Next"], Kind.CATCH, tuple(catcher["ErrorEquals"]))


def condition(rule: Mapping[str, Any]) -> str:
    """Describe a choice rule briefly: `StringEquals` `store` on `$.payment.operation` becomes `operation = store`."""
    for word in ("And", "Or"):
        if word in rule:
            return f" {word.lower()} ".join(map(condition, rule[word]))
    if "Not" in rule:
        return f"not {condition(rule['Not'])}"
    if "Condition" in rule:  # JSONata
        return str(rule["Condition"]).removeprefix("{%").removesuffix("%}").strip()
    variable = str(rule["Variable"]).rpartition(".")[2]
    operator, value = next(
        (name, value) for name, value in rule.items() if name not in ("Variable", "Next", "Comment", "Assign", "Output")
    )
    if operator.startswith("Is"):
        return f"{variable} is {'' if value else 'not '}{operator[2:].lower()}"
    comparison = re.sub("^(String|Numeric|Boolean|Timestamp)", "", operator.removesuffix("Path"))
    value_text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"{variable} {_COMPARISONS.get(comparison, comparison)} {value_text}"
