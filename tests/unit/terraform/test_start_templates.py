"""The templates turn requests into requests to Step Functions."""

import json
import re
from typing import Any

import pytest

from functions.shared.domain.shapes import canonical_id
from tests.mapping_templates import (
    KEY,
    OPERATIONS,
    PAYMENT_ID,
    READINGS,
    STARTS,
    STATE_MACHINE_ARN,
    TEMPLATES,
    Message,
    answering,
    hostile,
    starting,
)
from tests.samples import CARD_DATA, PAN, TOKEN, UNLISTED_PAN
from tools.local.emulator import vtl

BODIES: dict[str, dict[str, Any]] = {
    "payments": {"amount_minor": 1, "currency": "USD", "card_data": CARD_DATA},
    "cards": {"card_data": CARD_DATA},
}
INPUTS: dict[str, dict[str, Any]] = {
    "payments": BODIES["payments"],
    "cards": BODIES["cards"],
}

CALLED = {"caller": "arn:aws:sts::123456789012:assumed-role/shop"}

both_readings = pytest.mark.parametrize("absent", READINGS)


def start(route: str, message: Message, absent: str | None = "") -> dict[str, Any]:
    """The request to Step Functions."""
    rendered: dict[str, Any] = json.loads(message.rendered(starting(route), absent)[0])
    return rendered


def sent(body: Any, key: str = KEY) -> Message:
    return Message(body if isinstance(body, str) else json.dumps(body), {"idempotency-key": key})


@both_readings
@pytest.mark.parametrize("route", BODIES)
def test_a_test_card_is_passed_on_unchanged(route: str, absent: str | None) -> None:
    started = start(route, sent(BODIES[route]), absent)
    assert started["name"] == KEY
    assert json.loads(started["input"]) == INPUTS[route] | CALLED


@both_readings
@pytest.mark.parametrize("route", BODIES)
def test_a_sealed_card_is_passed_on_unchanged(route: str, absent: str | None) -> None:
    started = start(route, sent(BODIES[route] | {"card_data": "a.b.c.d.e"}), absent)
    assert json.loads(started["input"])["card_data"] == "a.b.c.d.e"


@both_readings
@pytest.mark.parametrize(
    ("arn", "caller"),
    [
        ("arn:aws:iam::123456789012:user/shop", "arn:aws:iam::123456789012:user/shop"),
        ("arn:aws:iam::123456789012:root", "arn:aws:iam::123456789012:root"),
        (f"arn:aws:sts::123456789012:assumed-role/shop/{UNLISTED_PAN}", "arn:aws:sts::123456789012:assumed-role/shop"),
        ('arn:aws:iam::1:user/"},"x":"', "arn:aws:iam::1:user/,x:"),
        (None, ""),
    ],
)
@pytest.mark.parametrize("route", STARTS)
def test_the_caller_is_passed_on_without_its_session_name(
    route: str, arn: str | None, caller: str, absent: str | None
) -> None:
    body = json.dumps(BODIES.get(route, {}))
    text, _ = Message(body, caller_arn=arn).rendered(starting(route), absent)
    assert json.loads(json.loads(text)["input"])["caller"] == caller


@both_readings
def test_a_token_is_passed_on_unchanged(absent: str | None) -> None:
    body = {"amount_minor": 1, "currency": "USD", "token": TOKEN}
    assert json.loads(start("payments", sent(body), absent)["input"]) == body | CALLED


@both_readings
@pytest.mark.parametrize("verify", [True, False, None])
def test_a_card_is_verified_only_if_that_is_asked_for(absent: str | None, verify: bool | None) -> None:
    body = BODIES["cards"] | {"verify": verify}
    passed_on = json.loads(start("cards", sent(body), absent)["input"])
    assert passed_on == BODIES["cards"] | CALLED | ({"verify": True} if verify else {})


@both_readings
def test_who_makes_the_payment_is_passed_on(absent: str | None) -> None:
    body = {"initiator": "merchant", "reason": "recurring", "amount_minor": 1, "currency": "USD", "token": TOKEN}
    assert json.loads(start("payments", sent(body), absent)["input"]) == body | CALLED


METADATA = {"z": "last", "basket": "b-17", "Z_1": 'a "quoted"\\ text', "b": "it's 😀"}


@both_readings
def test_metadata_is_passed_on_in_one_order_whatever_order_it_came_in(absent: str | None) -> None:
    turned = dict(reversed(METADATA.items()))
    inputs = {
        start("payments", sent(BODIES["payments"] | {"metadata": each}), absent)["input"] for each in (METADATA, turned)
    }
    [passed_on] = map(json.loads, inputs)
    assert passed_on["metadata"] == METADATA
    assert list(passed_on["metadata"]) == sorted(METADATA)


@both_readings
@pytest.mark.parametrize("nothing", [{}, None])
def test_empty_metadata_is_none(nothing: object, absent: str | None) -> None:
    assert "metadata" not in start("payments", sent(BODIES["payments"] | {"metadata": nothing}), absent)["input"]


@both_readings
@pytest.mark.parametrize("route", BODIES)
@pytest.mark.parametrize(
    "number", [UNLISTED_PAN, int(UNLISTED_PAN), int(PAN), f"{PAN} ", [UNLISTED_PAN], {"a": PAN}, [PAN], True, "", None]
)
def test_a_number_that_is_no_test_cards_is_not_passed_on(route: str, number: Any, absent: str | None) -> None:
    started = start(route, sent(BODIES[route] | {"card_data": CARD_DATA | {"card_number": number}}), absent)
    assert started["input"] == "seal_this_card"


@both_readings
@pytest.mark.parametrize("route", BODIES)
@pytest.mark.parametrize("field", ["expiry_date", "card_holder"])
def test_a_number_in_another_field_is_not_passed_on_without_one_in_its_own(
    route: str, field: str, absent: str | None
) -> None:
    for card_data in (dict.fromkeys(CARD_DATA, "") | {field: UNLISTED_PAN}, {field: UNLISTED_PAN}):
        started = start(route, sent(BODIES[route] | {"card_data": card_data}), absent)
        assert started["input"] == "seal_this_card"


@both_readings
@pytest.mark.parametrize("route", BODIES)
def test_of_two_numbers_the_one_that_would_be_passed_on_is_checked(route: str, absent: str | None) -> None:
    def body(*numbers: str) -> str:
        members = ", ".join(f'"card_number": "{number}"' for number in numbers)
        rest = json.dumps({name: value for name, value in CARD_DATA.items() if name != "card_number"})[1:]
        return f'{{"amount_minor": 1, "currency": "USD", "card_data": {{{members}, {rest}}}'

    assert start(route, sent(body(PAN, UNLISTED_PAN)), absent)["input"] == "seal_this_card"
    passed_on = start(route, sent(body(UNLISTED_PAN, PAN)), absent)["input"]
    assert json.loads(passed_on)["card_data"] == CARD_DATA


WRONG_AMOUNTS: list[Any] = [0, -1, 10**12, 19.99, "1999", "", None, [1], True, "１９", {}]
WRONG_CURRENCIES: list[Any] = ["usd", "US", "USDX", "", None, "USD\n", "ＵＳＤ", ["USD"], 840, {"a": "USD"}]
WRONG: dict[str, list[dict[str, Any]]] = {
    "amount_minor": [{"amount_minor": value} for value in WRONG_AMOUNTS],
    "currency": [{"currency": value} for value in WRONG_CURRENCIES],
    "token": [
        {"card_data": None, "token": value} for value in ("", "tok_a", "x", UNLISTED_PAN, TOKEN + "\n", TOKEN.upper())
    ],
    "merchant_reference": [{"merchant_reference": "x" * 65}, {"merchant_reference": "😀" * 65}],
    "description": [{"description": "x" * 141}],
    "metadata": [
        {"metadata": {name: text}}
        for name, text in (
            ("", "x"),
            ("a b", "x"),
            ("a.b", "x"),
            ("1a", "x"),
            ("a[", "x"),
            ("ä", "x"),
            ("a" * 41, "x"),
            ("a", "x" * 81),
        )
    ],
    "expiry_date": [
        {"card_data": CARD_DATA | {"expiry_date": value}}
        for value in ("13/30", "1/30", "", None, "12/2030", PAN, "12/30\n")
    ],
    "card_holder": [
        {"card_data": CARD_DATA | {"card_holder": value}}
        for value in ("", " ", None, "\u00a0\t", "\u200b\u3164", "x" * 65)
    ],
}
"""Bodies that break a field's rule."""


@both_readings
@pytest.mark.parametrize(
    ("field", "changes"), [(field, changes) for field, bodies in WRONG.items() for changes in bodies], ids=repr
)
def test_a_broken_rule_is_refused_by_the_fields_name_without_its_value(
    field: str, changes: dict[str, Any], absent: str | None
) -> None:
    routes = ["payments", "cards"] if field in CARD_DATA else ["payments"]
    for route in routes:
        code_word = start(route, sent(BODIES[route] | changes), absent)["input"]
        assert code_word == f"wrong_{field}"
        assert refusal(code_word, absent).startswith(f"{field} must ")


@both_readings
def test_the_answer_to_a_real_card_in_the_clear_says_to_seal_it(absent: str | None) -> None:
    assert refusal("seal_this_card", absent).startswith("Seal this card.")


def refusal(code_word: str, absent: str | None) -> str:
    """The answer to the caller if Step Functions rejects this input and quotes it."""
    quoted = f"Invalid State Machine Execution Input: 'Unrecognized token '{code_word}': was expecting JSON'"
    answer = Message(json.dumps({"__type": "a.b#InvalidExecutionInput", "message": quoted}))
    text, override = answer.rendered(answering("payments", "refused"), absent)
    error = json.loads(text)["error"]
    assert (override["status"], error["code"]) == (400, "invalid_request")
    return str(error["message"])


@both_readings
@pytest.mark.parametrize(
    "changes",
    [
        *({"amount_minor": value} for value in (1, 999_999_999_999)),
        *({"merchant_reference": value} for value in (64 * "x", 64 * "😀", "a")),
        {"card_data": CARD_DATA | {"card_holder": 64 * "漢"}},
        {"card_data": CARD_DATA | {"card_holder": "."}},
    ],
    ids=repr,
)
def test_a_valid_field_is_passed_on(changes: dict[str, Any], absent: str | None) -> None:
    assert json.loads(start("payments", sent(BODIES["payments"] | changes), absent)["input"]).items() >= changes.items()


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
        "-4000056655665556_",
        "x4000056655665556",
        "order-4000056655665556",
        "4000056655665556_retry_1",
        "4000-0566-5566-5556-again",
        "1" * 16,
        "20261123-0900-0000",
        "0123456789012345",
    ],
)
def test_a_key_that_may_contain_a_card_number_is_no_execution_name(key: str) -> None:
    assert start("payments", sent(BODIES["payments"], key))["name"] == "invalid key"


@pytest.mark.parametrize(
    "key",
    [
        "order-40000566556",
        "2026-11-23-1-of-us",
        "c56a4180-65aa-42ec-a945-5fd21dec0538",
        "12345678-1234-1234-1234-123456789012",
        "An-Order-Of-Ours-1",
    ],
)
def test_a_uuid_or_a_key_with_few_digits_is_the_execution_name(key: str) -> None:
    assert start("payments", sent(BODIES["payments"], key))["name"] == key


UUID = "c56a4180-65aa-42ec-a945-5fd21dec0538"
HEX = UUID.replace("-", "")
SPELLINGS = [UUID, UUID.upper(), "c56a4180-65AA-42ec-a945-5fd21dec0538", HEX, HEX.upper()]


@both_readings
@pytest.mark.parametrize("key", SPELLINGS)
@pytest.mark.parametrize("route", STARTS)
def test_every_spelling_of_a_uuid_gives_the_same_name(route: str, key: str, absent: str | None) -> None:
    message = Message(json.dumps(BODIES.get(route, {})), {"Idempotency-Key": key}, {"payment_id": key})
    started = start(route, message, absent)
    assert started["name"] == SPELLINGS[0] == canonical_id(key)
    assert route not in OPERATIONS or json.loads(started["input"])["payment_id"] == SPELLINGS[0]


def test_a_key_that_only_resembles_a_uuid_keeps_its_spelling() -> None:
    for key in (f"{HEX[:8]}-{HEX[8:]}".upper(), HEX[:31].upper(), "C56A-xyz-" * 3):
        assert start("payments", sent(BODIES["payments"], key))["name"] == key == canonical_id(key)


@both_readings
@pytest.mark.parametrize("name", ["Idempotency-Key", "idempotency-key", "IDEMPOTENCY-KEY", "iDEMPOTENCY-kEY"])
@pytest.mark.parametrize("route", STARTS)
def test_the_keys_header_may_be_written_in_any_case(route: str, name: str, absent: str | None) -> None:
    message = Message("{}", {"Host": "x", name: KEY, "X-Idempotency-Key": "another-key-of-ours"})
    assert start(route, message, absent)["name"] == KEY


@both_readings
@pytest.mark.parametrize("route", STARTS)
def test_only_the_header_sets_the_key(route: str, absent: str | None) -> None:
    elsewhere = {"Idempotency-Key": KEY, "idempotency-key": KEY}
    message = Message("{}", {}, {"payment_id": PAYMENT_ID} | elsewhere, elsewhere)
    assert start(route, message, absent)["name"] == "missing key"


@both_readings
@pytest.mark.parametrize(("route", "operation"), OPERATIONS.items())
@pytest.mark.parametrize("body", [None, {}, {"amount_minor": 500}, {"amount_minor": 999_999_999_999}])
def test_an_operation_is_passed_on_with_its_payment_and_its_amount_if_it_has_one(
    route: str, operation: str, body: Any, absent: str | None
) -> None:
    started = start(route, sent("" if body is None else body), absent)
    assert started["name"] == KEY
    assert json.loads(started["input"]) == {"operation": operation, "payment_id": PAYMENT_ID} | (body or {}) | CALLED


@both_readings
def test_null_is_absent(absent: str | None) -> None:
    nothing = dict.fromkeys(("token", "merchant_reference", "description", "capture", "save_card"))
    started = start("payments", sent(BODIES["payments"] | nothing), absent)
    assert json.loads(started["input"]) == BODIES["payments"] | CALLED


@both_readings
def test_an_amount_of_null_is_absent(absent: str | None) -> None:
    started = start("refunds", sent({"amount_minor": None}), absent)
    assert json.loads(started["input"]) == {"operation": "refund", "payment_id": PAYMENT_ID} | CALLED


@both_readings
@pytest.mark.parametrize("written", ["500.0", "5e2", "5E+2", "1e7", "12345678.0", "9.99999999999e11"])
def test_an_amount_may_be_any_notation_of_an_integer(written: str, absent: str | None) -> None:
    started = start("refunds", sent(f'{{"amount_minor": {written}}}'), absent)
    assert json.loads(started["input"])["amount_minor"] == float(written)


@both_readings
@pytest.mark.parametrize(
    "amount",
    [
        0,
        -1,
        5.5,
        1e12,
        10**12,
        4000056655665556,
        1e-7,
        True,
        False,
        [],
        [500],
        {},
        {"a": 1},
        "007",
        '1,\\"operation\\":\\"void\\"',
    ],
)
def test_an_amount_that_the_model_did_not_see_starts_nothing(amount: Any, absent: str | None) -> None:
    assert start("refunds", sent({"amount_minor": amount}), absent)["input"] == "wrong_amount_minor"


@both_readings
@pytest.mark.parametrize(
    "payment_id", ["", "x" * 15, "x" * 65, '","amount_minor":"1', "4000056655665556", "a b c d e f g h i", None]
)
def test_a_payment_id_that_no_payment_can_have_starts_nothing(payment_id: str | None, absent: str | None) -> None:
    path = {} if payment_id is None else {"payment_id": payment_id}
    message = Message("{}", path=path, querystring={"payment_id": PAYMENT_ID})
    assert start("refunds", message, absent)["input"] == "refused"


@both_readings
@pytest.mark.parametrize("route", STARTS)
def test_any_request_gives_a_valid_request_to_step_functions(route: str, absent: str | None) -> None:
    not_json = 0
    for message in hostile():
        try:
            started = start(route, message, absent)
        except vtl.BodyNotJson:
            not_json += 1
            continue
        assert set(started) == {"stateMachineArn", "name", "input"}
        assert started["stateMachineArn"] == STATE_MACHINE_ARN
        name = started["name"]
        assert name in ("missing key", "invalid key") or (
            name in map(canonical_id, message.header.values()) and re.fullmatch("[A-Za-z0-9_-]{16,64}", name)
        )
        if not re.fullmatch("[a-z_]+", started["input"]):
            assert UNLISTED_PAN not in started["input"]
            assert route not in OPERATIONS or json.loads(started["input"])["operation"] == OPERATIONS[route]
    assert not_json == 8


@both_readings
def test_the_same_json_in_another_order_is_the_same_input(absent: str | None) -> None:
    body = BODIES["payments"] | {
        "currency": "USD",
        "capture": False,
        "save_card": False,
        "merchant_reference": "order-1001",
        "description": 'of "two"',
    }
    turned = dict(reversed(body.items())) | {"card_data": dict(reversed(CARD_DATA.items()))}
    spread = json.dumps(turned, indent=4)
    inputs = {start("payments", sent(each), absent)["input"] for each in (body, turned, spread)}
    assert [json.loads(each) for each in inputs] == [body | CALLED]
    cards = {start("cards", sent({"card_data": each}), absent)["input"] for each in (CARD_DATA, turned["card_data"])}
    assert len(cards) == 1


@both_readings
def test_another_request_is_another_input(absent: str | None) -> None:
    body = BODIES["payments"] | {"currency": "USD"}
    others = ({"amount_minor": 2}, {"currency": "EUR"}, {"capture": True}, {"save_card": True}, {"description": "x"})
    inputs = {start("payments", sent(body | change), absent)["input"] for change in ({}, *others)}
    assert len(inputs) == 1 + len(others)


@both_readings
def test_null_fields_are_not_passed_on(absent: str | None) -> None:
    body = BODIES["payments"] | {"description": None, "token": None, "capture": None}
    assert json.loads(start("payments", sent(body), absent)["input"]) == BODIES["payments"] | CALLED


def test_every_field_of_the_model_is_passed_on() -> None:
    models = ((TEMPLATES.parent / "models" / f"{name}.json.tftpl").read_text() for name in ("payment_request", "order"))
    fields = {field for model in models for field in re.findall(r'^(?: {8})?"(\w+)": ', model, re.MULTILINE)}
    member = re.search(r'\$member in (\["amount_minor".*?\])', (TEMPLATES / "members.vtl").read_text())
    assert member
    assert {*json.loads(member[1]), "card_data", "metadata"} == fields
