"""Events are validated against the function's contract, and errors repeat no values."""

import copy
import json
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.shared.adapters.json_schema import validate
from functions.shared.adapters.json_schema_errors import validator
from functions.shared.domain.errors import InvalidInput
from tests.samples import CARD_DATA, REQUEST, STARTED_AT, SUMMARY, TOKEN, TRANSACTION_ID, charge_of, payment

PAYMENT: dict[str, Any] = {"payment_id": "payment-of-ours-1", "payment": REQUEST.to_dict()}

VALID: dict[str, dict[str, Any]] = {
    "tokenize": {
        "payment_id": "payment-of-ours-1",
        "request": {
            "amount_minor": 1999,
            "currency": "USD",
            "card_data": CARD_DATA,
            "merchant_reference": "order-1001",
            "description": "socks",
            "capture": True,
        },
    },
    "encrypt": {
        "payment_id": "payment-of-ours-1",
        "card": SUMMARY.to_dict(),
        "request": {"amount_minor": 1999, "currency": "USD", "card_data": CARD_DATA},
    },
    "charge": PAYMENT
    | {
        "card": SUMMARY.to_dict(),
        "transaction_id": TRANSACTION_ID,
        "gateway": "sparkle",
        "started_at": STARTED_AT,
        "three_d_secure": "automatic",
    },
    "await_customer": {"payment_id": "payment-of-ours-1", "action": "{}", "task_token": "AQB4"},
    "confirm": PAYMENT
    | {
        "card": SUMMARY.to_dict(),
        "started_at": STARTED_AT,
        "action": "{}",
    },
    "persist": PAYMENT
    | {
        "started_at": STARTED_AT,
        "card": SUMMARY.to_dict(),
        "transaction_id": TRANSACTION_ID,
        "charge": {
            "outcome": "captured",
            "gateway": "sparkle",
            "charge_id": "ch_1",
            "decline_code": None,
            "shown": charge_of(payment("payment-of-ours-1")).to_dict(),
        },
        "flags": ["large_amount"],
    },
    "compensate": PAYMENT
    | {
        "started_at": STARTED_AT,
        "card": SUMMARY.to_dict(),
        "transaction_id": TRANSACTION_ID,
        "charge": {"outcome": "unknown"},
        "gateway": "sparkle",
        "flags": [],
        "error": "GatewayOutcomeUnknown",
    },
    "reserve": {
        "operation_id": "operation-of-ours-1",
        "requested_at": STARTED_AT,
        "request": {"operation": "refund", "payment_id": "payment-of-ours-1", "amount_minor": 500},
    },
    "perform": {
        "payment_id": "payment-of-ours-1",
        "operation_id": "operation-of-ours-1",
        "type": "refund",
        "amount_minor": 500,
        "currency": "USD",
        "charge_id": "ch_1",
    },
    "settle": {
        "payment_id": "payment-of-ours-1",
        "operation_id": "operation-of-ours-1",
        "performed": {"charge": charge_of(payment("payment-of-ours-1")).to_dict(), "reason": None},
    },
    "resolve": {"payment_id": "payment-of-ours-1", "operation_id": None, "ask_gateway": True},
    "status": {"pathParameters": {"payment_id": "payment-of-ours-1"}},
    "cards": {"httpMethod": "GET", "pathParameters": {"token": TOKEN}},
}

CANARY = "4111111111111111"
CANARIES: list[Any] = [
    CANARY,
    int(CANARY),
    float(CANARY),
    -int(CANARY),
    [CANARY],
    {CANARY: CANARY},
    {"card_number": CANARY},
    [{"a": {"b": CANARY}}],
    f"{CANARY}\n",
    {"operation": CANARY, "card_data": CARD_DATA | {CANARY: 1}},
]


def places(instance: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to the instance and to everything inside it."""
    yield path
    for name in instance if isinstance(instance, dict) else ():
        yield from places(instance[name], (*path, name))


def spoilt(instance: Any, path: tuple[Any, ...], canary: Any, *, added: bool) -> Any:
    """The instance with a canary at a path: in place of the value, or as an additional property or its name."""
    if added:
        target = copy.deepcopy(instance)
        inside = target
        for name in path:
            inside = inside[name]
        if not isinstance(inside, dict):
            return spoilt(instance, path, canary, added=False)
        inside[CANARY] = canary
        return target
    if not path:
        return copy.deepcopy(canary)
    return {**instance, path[0]: spoilt(instance[path[0]], path[1:], canary, added=False)}


@pytest.mark.parametrize("contract", VALID)
def test_what_keeps_the_contract_passes(contract: str) -> None:
    validate(contract, VALID[contract])


@pytest.mark.parametrize("contract", VALID)
@given(data=st.data())
def test_what_breaks_the_contract_is_named_without_its_value(contract: str, data: st.DataObject) -> None:
    instance = VALID[contract]
    path = data.draw(st.sampled_from(list(places(instance))))
    broken = spoilt(instance, path, data.draw(st.sampled_from(CANARIES)), added=data.draw(st.booleans()))
    if data.draw(st.booleans()) and isinstance(broken, dict) and broken:
        del broken[data.draw(st.sampled_from(sorted(broken)))]
    refusal = refusal_of(contract, broken)
    assert CANARY not in refusal
    assert CARD_DATA["card_holder"] not in refusal


@pytest.mark.parametrize("contract", VALID)
@given(data=st.data())
def test_what_breaks_the_contract_is_what_jsonschema_says_breaks_it(contract: str, data: st.DataObject) -> None:
    instance = VALID[contract]
    path = data.draw(st.sampled_from(list(places(instance))))
    canaries = [canary for canary in CANARIES if not str(canary).endswith("\n")]
    value = data.draw(st.sampled_from([*canaries, None, True, 1, 1.0, "", [], {}, "\u202e", "a" * 9000]))
    changed = spoilt(instance, path, value, added=data.draw(st.booleans()))
    assert (refusal_of(contract, changed) == "") == validator(contract).is_valid(changed)


def test_a_pattern_ends_where_the_text_does_and_not_at_its_last_line_break_as_python_s_do() -> None:
    changed = spoilt(VALID["persist"], ("transaction_id",), f"{TRANSACTION_ID}\n", added=False)
    assert validator("persist").is_valid(changed)
    assert "the input breaks the contract." in refusal_of("persist", changed)


def refusal_of(contract: str, instance: object) -> str:
    """The traceback for an invalid instance; empty for a valid one."""
    try:
        validate(contract, instance)
    except InvalidInput as error:
        return "".join(traceback.format_exception_only(error)) + repr(error.__cause__)
    return ""


@pytest.mark.parametrize("contract", [contract for contract in VALID if contract not in ("status", "cards")])
@given(data=st.data())
def test_a_field_that_the_contract_does_not_know_breaks_it(contract: str, data: st.DataObject) -> None:
    instance = VALID[contract]
    objects = [path for path in places(instance) if isinstance(_at(instance, path), dict)]
    broken = spoilt(instance, data.draw(st.sampled_from(objects)), "x", added=True)
    with pytest.raises(InvalidInput, match="has a field that the contract does not know"):
        validate(contract, broken)


def _at(instance: Any, path: tuple[Any, ...]) -> Any:
    for name in path:
        instance = instance[name]
    return instance


@pytest.mark.parametrize("contract", VALID)
@pytest.mark.parametrize("instance", [None, [], "text", 1, {}], ids=json.dumps)
def test_what_is_not_even_the_right_kind_of_thing_breaks_every_contract(contract: str, instance: object) -> None:
    with pytest.raises(InvalidInput):
        validate(contract, instance)


def tokenize_with(**changes: Any) -> dict[str, Any]:
    request = VALID["tokenize"]["request"] | changes
    return {
        "payment_id": "payment-of-ours-1",
        "request": {name: value for name, value in request.items() if value is not ...},
    }


@pytest.mark.parametrize(
    "event",
    [
        {"request": {"amount_minor": 1999, "currency": "USD"}},
        {"store_request": {"caller": None, "verify": None}},
    ],
)
def test_without_card_data_the_message_says_so(event: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        validate("tokenize", {"payment_id": "payment-of-ours-1"} | event)
    assert str(refused.value) == "Missing card data."


def test_with_nothing_in_the_request_the_message_is_about_card_data() -> None:
    with pytest.raises(InvalidInput, match=r"^Missing card data\.$"):
        validate("tokenize", {"payment_id": "payment-of-ours-1", "request": {}})


def test_a_card_and_the_token_of_one_are_one_too_many() -> None:
    validate("tokenize", tokenize_with(card_data=..., token=TOKEN))
    with pytest.raises(InvalidInput, match=r"^request/token breaks the contract: type 'null'"):
        validate("tokenize", tokenize_with(token=TOKEN))


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "merchant_reference",
        "description",
        "capture",
        "save_card",
        "initiator",
        "reason",
    ],
)
def test_null_means_absent(name: str) -> None:
    validate("tokenize", tokenize_with(**{name: None}))


def test_of_card_and_token_null_is_none() -> None:
    validate("tokenize", tokenize_with(card_data=None, token=TOKEN))
    with pytest.raises(InvalidInput):
        validate("tokenize", tokenize_with(card_data=None, token=None))


@pytest.mark.parametrize(
    "by",
    [
        {"initiator": "customer"},
        {"initiator": "customer", "reason": None},
        *({"initiator": "merchant", "reason": reason} for reason in ("recurring", "installment", "unscheduled")),
    ],
)
def test_who_makes_a_payment_is_said_of_a_stored_card_alone(by: dict[str, Any]) -> None:
    validate("tokenize", tokenize_with(card_data=..., token=TOKEN, **by))
    with pytest.raises(InvalidInput):
        validate("tokenize", tokenize_with(**by))


@pytest.mark.parametrize(
    "by",
    [
        {"initiator": "merchant"},
        {"initiator": "merchant", "reason": None},
        {"initiator": "merchant", "reason": "habit"},
        {"initiator": "customer", "reason": "recurring"},
        {"reason": "recurring"},
        {"initiator": "shop", "reason": "recurring"},
    ],
)
def test_a_merchant_has_a_reason_and_nobody_else_has(by: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        validate("tokenize", tokenize_with(card_data=..., token=TOKEN, **by))


def test_a_card_is_not_stored_by_its_token() -> None:
    with pytest.raises(InvalidInput):
        validate("tokenize", {"payment_id": "payment-of-ours-1", "store_request": {"token": TOKEN}})


@pytest.mark.parametrize(
    "changes", [{"operation": "void", "amount_minor": 1}, {"amount_minor": 0}, {"operation": "charge"}]
)
def test_a_void_has_no_amount_and_no_operation_is_of_nothing(changes: dict[str, Any]) -> None:
    request = VALID["reserve"]["request"] | changes
    with pytest.raises(InvalidInput):
        validate("reserve", VALID["reserve"] | {"request": request})


def test_what_is_to_be_resolved_is_a_payment_or_an_operation() -> None:
    validate("resolve", {"payment_id": None, "operation_id": "operation-of-ours-1", "ask_gateway": False})
    with pytest.raises(InvalidInput):
        validate("resolve", {"payment_id": None, "operation_id": None, "ask_gateway": False})


@pytest.mark.parametrize("amount", [0, -1, 19.99, "1999", True, False, None, 10**12, [], ...])
def test_an_amount_is_a_positive_integer_in_minor_units(amount: Any) -> None:
    with pytest.raises(InvalidInput):
        validate("tokenize", tokenize_with(amount_minor=amount))


@pytest.mark.parametrize("amount", [1, 999_999_999_999, 1999.0, 1e3])
def test_the_smallest_and_the_largest_amount_pass_and_integers_that_are_written_as_floats(amount: float) -> None:
    validate("tokenize", tokenize_with(amount_minor=amount))


@pytest.mark.parametrize("currency", ["usd", "US", "USDX", "", "U$D", 840, None, ...])
def test_a_currency_is_three_capitals(currency: Any) -> None:
    with pytest.raises(InvalidInput):
        validate("tokenize", tokenize_with(currency=currency))


def test_a_card_is_stored_without_an_amount_and_not_charged_without_one() -> None:
    validate("tokenize", {"payment_id": "payment-of-ours-1", "store_request": {"card_data": CARD_DATA}})
    with pytest.raises(InvalidInput):
        validate("tokenize", tokenize_with(amount_minor=..., currency=...))


def test_the_security_code_has_no_place_in_a_card() -> None:
    with pytest.raises(InvalidInput, match="request/card_data has a field"):
        validate("tokenize", tokenize_with(card_data=CARD_DATA | {"cvv": "123"}))
