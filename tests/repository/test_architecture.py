"""The diagrams in docs/architecture.md match the code, and so does what it says of the gateways' names."""

import ast
import re
from typing import get_args

from functions.shared.domain.operation import OperationStatus
from functions.shared.domain.payment import NEXT_STATUSES
from tests.documents import document
from tests.workflow.definition import DEFINITIONS, PAYMENT
from tools.deployment.paths import ROOT

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


def test_nothing_but_its_own_folders_knows_a_gateway_by_name() -> None:
    adapters, doubles = ROOT / "functions/shared/adapters/gateways", ROOT / "tools/local"
    names = {file.parent.name for file in adapters.glob("*/__init__.py")}
    own = {folder / name for folder in (adapters, doubles) for name in names}
    mentions = {
        (file.relative_to(ROOT).as_posix(), word)
        for folder in ("bench", "client", "examples", "functions", "tools")
        for file in (ROOT / folder).rglob("*.py")
        if own.isdisjoint(file.parents)
        for node in ast.walk(ast.parse(file.read_text()))
        for word in names.intersection(_words(node))
    }
    # The sandbox that runs if none is named.
    assert mentions == {("tools/local/machine.py", "sparkle")}


def _words(node: ast.AST) -> list[str]:
    """The words of what a program compares, looks up or imports; a sentence is for people."""
    match node:
        case ast.Constant(value=str(text)) if " " not in text:
            return re.split(r"\W", text)
        case ast.Import(names=aliases):
            return [part for alias in aliases for part in alias.name.split(".")]
        case ast.ImportFrom(module=module, names=aliases):
            return [*(module or "").split("."), *(alias.name for alias in aliases)]
    return []
