"""The diagrams in docs/architecture.md match the code."""

import re
from typing import get_args

from functions.shared.domain.operation import OperationStatus
from functions.shared.domain.payment import NEXT_STATUSES
from tests.documents import document
from tests.workflow.definition import DEFINITIONS, PAYMENT

ARCHITECTURE = document("architecture")
ARROW = re.compile(r"^\s*(\[\*\]|\w+) --> (\w+)", re.MULTILINE)


def drawing(heading: str) -> str:
    (text,) = (block.text for block in ARCHITECTURE.blocks_of(heading) if block.language == "mermaid")
    return text


def test_a_payments_statuses_are_drawn_with_every_transition() -> None:
    drawn = set(ARROW.findall(drawing("Statuses")))
    assert {way for way in drawn if way[0] != "[*]"} == {
        (status, after) for status, others in NEXT_STATUSES.items() for after in others
    }
    assert {status for way in drawn for status in way} - {"[*]"} == set(NEXT_STATUSES)


def test_an_operations_statuses_are_all_drawn() -> None:
    drawn = ARROW.findall(drawing("Operations"))
    assert {status for way in drawn for status in way} - {"[*]"} == set(get_args(OperationStatus))


def test_a_payments_tasks_are_drawn_in_their_order() -> None:
    order, name = [], PAYMENT["StartAt"]
    while name:
        state = PAYMENT["States"][name]
        if state["Type"] == "Task":
            order.append(name)
        name = state.get("Next") or state.get("Default")
    assert [task for task in re.findall(r": (\w+):", drawing("A payment")) if task in PAYMENT["States"]] == order


def test_every_state_machine_is_drawn() -> None:
    assert set(re.findall(r"\[\[(\w+)\]\]", drawing("The parts"))) == set(DEFINITIONS)
