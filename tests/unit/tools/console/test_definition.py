from typing import Any

import pytest

from tests.unit.tools.console.machines import MACHINE
from tools.console.definition import Definition, Kind, Transition, condition
from tools.deployment.definitions import MACHINES, definition


def test_states_know_what_they_are_for_and_whether_they_are_an_end() -> None:
    assert MACHINE.start == "Charge"
    assert MACHINE.states["Charge"].comment == "Asks for the money."
    assert {name for name, state in MACHINE.states.items() if state.is_terminal} == {"Done", "Reversed"}


def test_there_is_one_transition_between_two_states_for_each_way_that_it_comes_about() -> None:
    assert set(MACHINE.transitions) == {
        Transition("Charge", "Outcome", Kind.NEXT),
        Transition("Charge", "Wait", Kind.CATCH, ("Unknown",)),
        Transition("Charge", "Compensate", Kind.CATCH, ("Refused", "States.ALL")),
        Transition("Outcome", "Done", Kind.CHOICE, ("status = captured", "status = authorized")),
        Transition("Outcome", "Compensate", Kind.CHOICE, ("otherwise",)),
        Transition("Wait", "Charge", Kind.NEXT),
        Transition("Compensate", "Reversed", Kind.NEXT),
    }


@pytest.mark.parametrize(
    ("target", "label"), [("Done", "status = captured or authorized"), ("Wait", "Unknown"), ("Reversed", "")]
)
def test_a_label_says_each_thing_once(target: str, label: str) -> None:
    assert [each.label for each in MACHINE.transitions if each.target == target] == [label]


def test_an_error_like_any_other_has_no_label() -> None:
    caught = [each for each in MACHINE.transitions if each.target == "Compensate" and each.kind is Kind.CATCH]
    assert [each.label for each in caught] == [""]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"Variable": "$.asked", "NumericGreaterThanEquals": 3}, "asked ≥ 3"),
        ({"Variable": "$.a.ok", "BooleanEquals": True}, "ok = true"),
        ({"Variable": "$.a", "StringEqualsPath": "$.b"}, "a = $.b"),
        ({"Variable": "$.a", "IsPresent": False}, "a is not present"),
        ({"Not": {"Variable": "$.a", "IsNull": True}}, "not a is null"),
        (
            {"And": [{"Variable": "$.a", "IsPresent": True}, {"Variable": "$.b", "NumericLessThan": 1}]},
            "a is present and b < 1",
        ),
        ({"Condition": "{% $states.input.ok %}"}, "$states.input.ok"),
    ],
)
def test_a_condition_is_said_in_a_few_words(rule: dict[str, Any], words: str) -> None:
    assert condition(rule | {"Next": "Done"}) == words


@pytest.mark.parametrize("machine", MACHINES)
def test_every_state_machine_can_be_read_with_its_placeholders(machine: str) -> None:
    read = Definition.from_asl(definition(machine))
    reached = {read.start, *(transition.target for transition in read.transitions)}
    assert reached == set(read.states)
