"""The API description is consistent, and uses the code's names."""

import re
import time
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator

from client import models
from functions.shared.contracts import load
from functions.shared.domain.card_number import _BRANDS
from functions.shared.domain.errors import GatewayMismatch, Rejection
from functions.shared.domain.operation import OperationStatus, OperationType, Refusal
from functions.shared.domain.payment import Status
from functions.shared.ports import Execution
from functions.status.payment_status import payment_status
from tests import samples
from tests.documents import document
from tests.fakes import FakeCardVault, FakeCustomerWaits, FakeExecutions, FakeLedger
from tools.local.sparkle.contract import contract
from tools.trials.acceptance.openapi import DOCUMENT, OPERATIONS, SCHEMAS, examples


def examples_with_schemas(node: Any, where: str = "") -> Iterator[Any]:
    """Every example in the document, with its schema."""
    if isinstance(node, dict):
        if "schema" in node:
            for name, example in examples(node).items():
                yield pytest.param(node["schema"], example, id=f"{where} {name}")
        for name, child in node.items():
            yield from examples_with_schemas(child, f"{where}/{name}")
    elif isinstance(node, list):
        for child in node:
            yield from examples_with_schemas(child, where)


@pytest.mark.parametrize(("schema", "example"), list(examples_with_schemas([DOCUMENT["paths"], DOCUMENT["webhooks"]])))
def test_every_example_fits_its_schema(schema: dict[str, Any], example: Any) -> None:
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    assert [error.message for error in validator.iter_errors(example)] == []


def bodies() -> Iterator[Any]:
    """The description of every request and response body, with the response's status."""
    for (method, path), operation in OPERATIONS.items():
        described = {"": operation.get("requestBody", {})} | operation["responses"]
        for status, body in described.items():
            for content in body.get("content", {}).values():
                yield pytest.param(status, content, id=f"{method} {path} {status}")


@pytest.mark.parametrize(("status", "content"), list(bodies()))
def test_every_body_has_an_example_and_all_errors_have_the_same_schema(status: str, content: dict[str, Any]) -> None:
    assert examples(content)
    assert (content["schema"] == SCHEMAS["Error"]) == (status >= "400")


def test_the_error_codes_are_those_of_the_examples() -> None:
    responses = DOCUMENT["components"]["responses"].values()
    all_examples = [examples(content) for response in responses for content in response["content"].values()]
    codes = {example["error"]["code"] for each in all_examples for example in each.values() if "error" in example}
    assert known(SCHEMAS["ErrorCode"]) == [codes]


def test_no_answer_may_be_cached() -> None:
    for operation in OPERATIONS.values():
        for response in operation["responses"].values():
            assert response["headers"]["Cache-Control"]["schema"]["const"] == "no-store"


def known(schema: dict[str, Any]) -> list[set[str]]:
    """The values of an extensible list, by alternative."""
    return [set(alternative["enum"]) for alternative in schema["anyOf"] if "enum" in alternative]


@pytest.mark.parametrize(
    ("heading", "schema", "column"),
    [
        ("The call was refused", "ErrorCode", 1),
        ("The payment is rejected", "PaymentError", 0),
        ("The operation is rejected", "OperationError", 0),
    ],
)
def test_the_page_of_errors_has_every_code(heading: str, schema: str, column: int) -> None:
    codes = [row[column].strip("`") for row in document("errors").table(heading)]
    assert len(codes) == len(set(codes))
    assert [set(codes)] == known(SCHEMAS[schema])


def test_the_statuses_are_those_of_the_code_and_the_client() -> None:
    statuses = set(SCHEMAS["PaymentStatus"]["enum"])
    unrecorded = {"processing", "action_required", "rejected"}
    assert statuses == {*get_args(Status), *unrecorded} == set(get_args(models.PaymentStatus))
    assert re.findall(r"^\| `(\w+)` \|", SCHEMAS["PaymentStatus"]["description"], re.MULTILINE) == list(
        SCHEMAS["PaymentStatus"]["enum"]
    )
    properties = SCHEMAS["Operation"]["properties"]
    assert set(properties["type"]["enum"]) == set(get_args(OperationType))
    assert set(properties["status"]["enum"]) == set(get_args(OperationStatus))


def test_the_codes_of_payments_and_operations_are_those_of_the_code() -> None:
    assert known(SCHEMAS["PaymentError"]) == [{error.code() for error in Rejection.__subclasses__()}]
    assert known(SCHEMAS["OperationError"]) == [
        {
            *get_args(Refusal),
            "expired",
            "not_supported_by_gateway",
            "payment_not_found",
            "refund_failed",
            GatewayMismatch.code(),
        }
    ]
    assert known(SCHEMAS["DeclineCode"]) == [set(contract()["components"]["schemas"]["DeclineCode"]["enum"])]
    assert set(SCHEMAS["Card"]["properties"]["brand"]["enum"]) == {brand for brand, *_ in _BRANDS}


def test_the_table_of_test_cards_is_the_codes_list() -> None:
    table = re.findall(r"^\| (\d+) \| (\w+) \|", SCHEMAS["TestCard"]["description"], re.MULTILINE)
    cards = {pan: card.get("decline_code", card["outcome"]) for pan, card in load("test_cards").items()}
    assert dict(table) == cards
    assert set(SCHEMAS["TestCard"]["properties"]["card_number"]["enum"]) == set(cards)


def fields(schema: dict[str, Any]) -> set[str]:
    assert set(schema["properties"]) == set(schema["required"])
    return set(schema["properties"])


def test_a_payment_has_the_fields_that_are_shown() -> None:
    ledger, payment = FakeLedger(), samples.payment("pay")
    ledger.record(payment)
    ledger.record(payment.reserve(samples.refund_request(payment), samples.LATER))
    others: Any = {
        "customer_waits": FakeCustomerWaits(),
        "card_vault": FakeCardVault(),
        "now": lambda: samples.NOW,
        "sleep": time.sleep,
    }
    recorded = payment_status("pay", ledger=ledger, executions=FakeExecutions(), **others)
    running = Execution(True, None, None, samples.REQUEST.to_dict(), samples.STARTED_AT, None)
    not_recorded = payment_status("pay", ledger=FakeLedger(), executions=FakeExecutions(pay=running), **others)
    assert recorded
    assert not_recorded
    assert set(recorded) == set(not_recorded) == fields(SCHEMAS["Payment"])
    assert set(recorded["operations"][0]) == set(SCHEMAS["Operation"]["required"])
    assert set(SCHEMAS["Operation"]["properties"]) == {*SCHEMAS["Operation"]["required"], "charge_id"}
    assert set(recorded["card"]) == fields(SCHEMAS["Card"])
