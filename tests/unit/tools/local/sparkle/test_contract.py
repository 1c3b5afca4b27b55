"""The contract matches the sandbox and is consistent."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tools.deployment.paths import ROOT
from tools.local.sparkle.app import create_app
from tools.local.sparkle.contract import contract, validator
from tools.local.sparkle.errors import GatewayError


def media_types(node: Any) -> Iterator[dict[str, Any]]:
    """Every media type in the document that has examples."""
    if isinstance(node, dict):
        if "schema" in node and "examples" in node:
            yield node
        for child in node.values():
            yield from media_types(child)


def examples() -> Iterator[Any]:
    for media_type in media_types(contract()["paths"]):
        schema = media_type["schema"]["$ref"].rpartition("/")[2]
        for name, example in media_type["examples"].items():
            if "$ref" in example:
                example = contract()["components"]["examples"][example["$ref"].rpartition("/")[2]]
            yield pytest.param(schema, example["value"], id=f"{schema}-{name}")


@pytest.mark.parametrize(("schema", "example"), list(examples()))
def test_every_example_fits_its_schema(schema: str, example: Any) -> None:
    validator(schema).validate(example)


def test_every_route_is_described_and_everything_described_is_a_route() -> None:
    routes = {
        (str(rule).translate(str.maketrans("<>", "{}")), method.lower())
        for rule in create_app("k").url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.endpoint != "static"
    }
    described = {
        (path, method)
        for path, operations in contract()["paths"].items()
        for method in operations
        if method != "parameters"
    }
    assert routes == described


def test_every_refusal_has_its_code_in_the_contract() -> None:
    codes = {error.code() for error in GatewayError.__subclasses__()}
    of_http_itself = {"forbidden", "not_found", "method_not_allowed", "internal_server_error"}
    assert codes | of_http_itself == set(contract()["components"]["schemas"]["ErrorCode"]["enum"])


def test_the_decline_codes_are_those_of_the_test_cards_of_a_wrong_security_code_and_of_authentication() -> None:
    cards = json.loads((ROOT / "functions" / "shared" / "contracts" / "test_cards.json").read_text())
    codes = {card["decline_code"] for card in cards.values() if card["outcome"] == "declined"}
    codes |= {f"authentication_{end}" for end in ("required", "failed", "expired")}
    assert codes | {"incorrect_cvc"} == set(contract()["components"]["schemas"]["DeclineCode"]["enum"])
