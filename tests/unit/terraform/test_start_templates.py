"""What execution_name.vtl and the templates after it make of a request, for Step Functions."""

import json
from typing import Any

import pytest

from cli.paths import TERRAFORM
from local.emulator import vtl
from tests.samples import CARD_DATA, PAN, TEST_CARDS, UNLISTED_PAN

KEY = "a-key-of-ours-123"
BODIES = {"start_payment": {"amount_minor": 1, "card_data": CARD_DATA}, "start_card": {"card_data": CARD_DATA}}
INPUTS = {
    "start_payment": BODIES["start_payment"],
    "start_card": {"operation": "store", "card_data": CARD_DATA},
}


def start(template: str, body: Any, key: str = KEY) -> dict[str, Any]:
    """The request to Step Functions, as terraform/api_gateway.tf puts the templates together."""
    folder = TERRAFORM / "api" / "templates"
    text = "".join((folder / f"{name}.vtl").read_text() for name in ("execution_name", "card_in_the_clear", template))
    text = text.replace("${card_numbers}", json.dumps(list(TEST_CARDS))).replace("${state_machine_arn}", "arn")
    sent = body if isinstance(body, str) else json.dumps(body)
    rendered: dict[str, Any] = json.loads(
        vtl.render(text, vtl.Input(sent, {}, {}, {"idempotency-key": key}), vtl.Record(), {})
    )
    return rendered


@pytest.mark.parametrize("template", BODIES)
def test_a_test_card_is_passed_on_as_it_came(template: str) -> None:
    started = start(template, BODIES[template])
    assert started["name"] == KEY
    assert json.loads(started["input"]) == INPUTS[template]


@pytest.mark.parametrize("template", BODIES)
def test_a_sealed_card_is_passed_on_as_it_came(template: str) -> None:
    assert json.loads(start(template, {"card_data": "a.b.c.d.e"})["input"])["card_data"] == "a.b.c.d.e"


@pytest.mark.parametrize("template", BODIES)
@pytest.mark.parametrize("number", [UNLISTED_PAN, int(UNLISTED_PAN), int(PAN), f"{PAN} ", [UNLISTED_PAN], {"a": PAN}])
def test_a_number_that_the_model_did_not_see_is_not_passed_on(template: str, number: Any) -> None:
    started = start(template, {"card_data": CARD_DATA | {"card_number": number}})
    assert started["input"] == "refused"


@pytest.mark.parametrize("template", BODIES)
def test_of_two_numbers_the_one_that_would_be_passed_on_is_looked_at(template: str) -> None:
    def body(*numbers: str) -> str:
        members = ", ".join(f'"card_number": "{number}"' for number in numbers)
        return f'{{"card_data": {{{members}}}}}'

    assert start(template, body(PAN, UNLISTED_PAN))["input"] == "refused"
    assert UNLISTED_PAN not in start(template, body(UNLISTED_PAN, PAN))["input"]


@pytest.mark.parametrize(
    "key",
    [
        "4000056655665556",
        "5200828282828210",
        "2223003122003222",
        "6205500000000000004",
        "3530111333300000",
        "8100000000000000",
        "4000-0566-5566-5556",
        "3782-822463-10005",
        "4000_0566_5566_5556",
    ],
)
def test_a_key_that_is_a_card_number_is_no_name(key: str) -> None:
    assert start("start_payment", BODIES["start_payment"], key)["name"] == "not a valid name"


@pytest.mark.parametrize(
    "key",
    [
        "1" * 16,
        "2026112309000000",
        "20261123-0900-0000",
        "4" * 20,
        "7" * 16,
        "0123456789012345",
        "x4000056655665556",
        "c56a4180-65aa-42ec-a945-5fd21dec0538",
    ],
)
def test_a_key_of_digits_that_is_no_card_number_is_the_name(key: str) -> None:
    assert start("start_payment", BODIES["start_payment"], key)["name"] == key


def operate(body: Any = None, payment_id: str = KEY, key: str = KEY) -> dict[str, Any]:
    """The request to Step Functions for an operation."""
    folder = TERRAFORM / "api" / "templates"
    text = "".join((folder / f"{name}.vtl").read_text() for name in ("execution_name", "start_operation"))
    text = text.replace("${operation}", "refund").replace("${state_machine_arn}", "arn")
    payload = vtl.Input(
        "" if body is None else json.dumps(body), {"payment_id": payment_id}, {}, {"idempotency-key": key}
    )
    rendered: dict[str, Any] = json.loads(vtl.render(text, payload, vtl.Record(), {}))
    return rendered


@pytest.mark.parametrize("body", [None, {}, {"amount_minor": 500}])
def test_an_operation_is_passed_on_with_its_payment_and_its_amount_if_it_has_one(body: Any) -> None:
    started = operate(body)
    assert started["name"] == KEY
    assert json.loads(started["input"]) == {"operation": "refund", "payment_id": KEY} | (body or {})


@pytest.mark.parametrize(
    "payment_id", ["x" * 15, "x" * 65, '","amount_minor":"1', "4000056655665556", "a b c d e f g h i"]
)
def test_a_payment_id_that_no_payment_can_have_starts_nothing(payment_id: str) -> None:
    assert operate({}, payment_id)["input"] == "refused"


def test_an_operations_key_that_is_a_card_number_is_no_name() -> None:
    assert operate({}, key="4000056655665556")["name"] == "not a valid name"
