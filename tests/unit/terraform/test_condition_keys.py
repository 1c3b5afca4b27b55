"""Conditions in policies use operators that fit the key's type. AWS accepts others, but evaluates them differently."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import yaml

from tests.aws_facts import facts
from tools.deployment.paths import ROOT
from tools.deployment.permissions import PERMISSIONS_FILE

TYPES: dict[str, str] = facts("condition_key_types")
CONDITION = re.compile(r'\btest\s*=\s*"([^"]+)",?\s*variable\s*=\s*"([^"]+)"')
SET_OPERATORS = ("ForAllValues:", "ForAnyValue:")


def conditions() -> Iterator[tuple[str, str]]:
    """`(operator, key)` of every condition in terraform/."""
    for file in sorted((ROOT / "terraform").glob("*.tf")):
        text = file.read_text()
        pairs = CONDITION.findall(text)
        # The parts of a condition in a loop are at the loop's values.
        assert len(pairs) == len(re.findall(r'\bvariable\s*=\s*"', text)), (
            f"{file.name}: a condition's test comes first"
        )
        yield from pairs


def wrong(operator: str, key: str) -> str | None:
    """The mistake in using this operator for this key, or None."""
    of_any_context = re.sub(r"^(kms:EncryptionContext):.*", r"\1:${EncryptionContextKey}", key)
    of_sets = operator.startswith(SET_OPERATORS)
    match TYPES.get(of_any_context):
        case None:
            return f"{key} has no type in tests/aws_facts/condition_key_types.yaml"
        case kind if kind.startswith("ArrayOf") and not of_sets and operator != "Null":
            return f"{key} is {kind}: {operator} never holds"
        case kind if not kind.startswith("ArrayOf") and of_sets:
            return f"{key} is {kind}: {operator} also holds without it"
    return None


def test_every_condition_has_an_operator_that_fits_its_key() -> None:
    assert [problem for condition in conditions() if (problem := wrong(*condition))] == []


@pytest.mark.parametrize(
    ("operator", "key"),
    [
        ("StringEquals", "states:StateMachineQualifier"),
        ("StringLike", "dynamodb:LeadingKeys"),
        ("ForAllValues:StringEquals", "kms:ViaService"),
        ("ForAnyValue:StringEquals", "kms:EncryptionContext:token"),
        ("StringEquals", "kms:RequestAlias"),
    ],
)
def test_an_operator_that_does_not_fit_its_key_is_found(operator: str, key: str) -> None:
    assert wrong(operator, key)


def unguarded(statements: Iterable[dict[str, Any]]) -> list[str]:
    """ForAllValues conditions on keys that may be absent. For an absent key they are true."""
    unguarded_keys = []
    for statement in statements:
        tests = [re.match(r"(\S+) (\S+): (.*)", condition) for condition in statement.get("conditions", [])]
        parts = [match.groups() for match in tests if match]
        present = {key for operator, key, value in parts if (operator, value) == ("Null", "false")}
        unguarded_keys += [
            key for operator, key, _ in parts if operator.startswith("ForAllValues:") and key not in present
        ]
    return unguarded_keys


def allowing_statements(node: Any) -> Iterator[dict[str, Any]]:
    """Every statement in docs/permissions.yaml, which a test compares with what is deployed."""
    if isinstance(node, dict):
        if "actions" in node:
            yield node
        for inner in node.values():
            yield from allowing_statements(inner)


def test_a_condition_on_all_values_also_requires_the_key() -> None:
    statements = list(allowing_statements(yaml.load(PERMISSIONS_FILE.read_text(), yaml.CSafeLoader)))
    assert unguarded(statements) == []
    keys = {text.split(" ")[1].rstrip(":") for statement in statements for text in statement.get("conditions", [])}
    assert {key for operator, key in conditions() if operator.startswith("ForAllValues:")} <= keys


def test_a_condition_on_all_values_without_a_guard_is_found() -> None:
    all_values = "ForAllValues:StringLike dynamodb:LeadingKeys: CARD#*"
    assert unguarded([{"conditions": [all_values]}]) == ["dynamodb:LeadingKeys"]
    assert unguarded([{"conditions": [all_values, "Null dynamodb:LeadingKeys: true"]}]) == ["dynamodb:LeadingKeys"]
    assert unguarded([{"conditions": [all_values, "Null dynamodb:LeadingKeys: false"]}]) == []
