"""A card number in place of an id appears in no log, answer or error of any function."""

import contextlib
import json
import re
import traceback
from typing import Any

import pytest

from functions.shared import runtime
from functions.shared.domain.errors import PaymentError
from tests.fakes import FakeCardCipher
from tests.samples import UNLISTED_PAN
from tests.unit.functions.conftest import Output, World
from tests.unit.functions.events import HANDLERS, OF_NO_PAYMENT, event_for

CIPHER = FakeCardCipher()

Path = tuple[str, ...]

PLACES: dict[str, list[Path]] = {
    "tokenize": [("payment_id",)],
    "screen": [("payment_id",), ("started_at",)],
    "encrypt": [("payment_id",), ("token",)],
    "charge": [("payment_id",), ("token",)],
    "issue_key": [("headers", "Idempotency-Key"), ("headers",), ("body",)],
    "verify": [("payment_id",), ("started_at",), ("card", "token"), ("encrypted", "ciphertext")],
    "keep": [("payment_id",), ("card", "token")],
    "await_customer": [("payment_id",), ("action",), ("task_token",)],
    "confirm": [("payment_id",), ("action",), ("transaction_id",), ("started_at",)],
    "resume": [("payment_id",)],
    "persist": [
        ("payment_id",),
        ("started_at",),
        ("card", "token"),
        ("card", "brand"),
        ("charge", "gateway"),
        ("charge", "decline_code"),
    ],
    "compensate": [("payment_id",), ("transaction_id",), ("error",)],
    "reserve": [("operation_id",), ("request", "payment_id"), ("request",), ("requested_at",)],
    "perform": [("payment_id",), ("operation_id",)],
    "settle": [("payment_id",), ("operation_id",), ("performed", "reason"), ("performed", "charge")],
    "resolve": [("payment_id",), ("operation_id",)],
    "reconcile": [("run",), ("day",), ("started_at",)],
    "status": [("pathParameters", "payment_id"), ("pathParameters",)],
    "search": [
        ("queryStringParameters", "merchant_reference"),
        ("queryStringParameters", "cursor"),
        ("queryStringParameters",),
    ],
    "cards": [("pathParameters", "token"), ("pathParameters",)],
    "doubts": [("payment_id",)],
    "anchor": [("day",)],
    "receive_event": [("pathParameters", "gateway"), ("headers", "Sparkle-Signature"), ("body",)],
    "follow_event": [("Records",)],
    "publish": [("Records",)],
    "deliver": [("Records",)],
}
"""The fields of each function's event that get a card number."""

HOSTILE: list[Any] = [
    UNLISTED_PAN,
    f"x{UNLISTED_PAN}",
    f"order-{UNLISTED_PAN}",
    f"{UNLISTED_PAN}_retry_1",
    "4000-0566-5566-5556",
    "4000_0566_5566_5556",
    "4-0-0-0-0-5-6-6-5-5-6-6-5-5-5-6",
    "4000.0566/5566 5556",
    UNLISTED_PAN.translate({ord("0") + digit: 0x09E6 + digit for digit in range(10)}),
    int(UNLISTED_PAN),
    float(UNLISTED_PAN),
    [UNLISTED_PAN],
    {UNLISTED_PAN: UNLISTED_PAN},
    {"payment_id": UNLISTED_PAN},
    [{"token": [UNLISTED_PAN]}],
]


def changed(event: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    name, *inner = path
    return event | {name: changed(event.get(name, {}), tuple(inner), value) if inner else value}


def digits_in(text: str) -> str:
    """The text's digits of any script, escaped ones included, without anything in between."""
    unescaped = re.sub(r"\\u([0-9a-f]{4})", lambda escaped: chr(int(escaped[1], 16)), text)
    return "".join(str(int(digit)) for digit in re.findall(r"\d", unescaped))


def test_every_function_is_tried() -> None:
    assert set(PLACES) == set(HANDLERS)


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value)[:24])
@pytest.mark.parametrize("function", HANDLERS)
def test_a_card_number_for_an_id_is_told_nowhere(function: str, value: Any, world: World, output: Output) -> None:
    handler, event = HANDLERS[function], event_for(function, CIPHER)
    for path in PLACES[function]:
        text = ""
        try:
            text = json.dumps(handler(changed(event, path, value), None))
        except PaymentError as error:
            text = "".join(traceback.format_exception(error, chain=True)[-1:]) + repr(error.args)
        output.lines()
        assert UNLISTED_PAN not in digits_in(text), path
        assert UNLISTED_PAN not in digits_in(output.text), path


@pytest.mark.parametrize("function", [name for name in HANDLERS if name not in OF_NO_PAYMENT])
def test_an_id_that_passed_is_logged_whole(function: str, world: World, output: Output) -> None:
    handler, event = HANDLERS[function], event_for(function, CIPHER)
    payment_id = "49291234-5678-4015-8000-123456789012"
    path = next(path for path in PLACES[function] if path[-1] in ("payment_id", "Idempotency-Key"))
    with contextlib.suppress(PaymentError):
        handler(changed(event, path, payment_id), None)
    assert {line["payment_id"] for line in output.logs()} == {payment_id}


@pytest.mark.parametrize(("function", "code"), [("status", "payment_not_found"), ("cards", "card_not_found")])
@pytest.mark.parametrize("value", [value for value in HOSTILE if isinstance(value, str)], ids=ascii)
def test_what_can_be_no_id_is_not_found_and_not_looked_for(
    function: str, code: str, value: str, world: World, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    for port in vars(world):
        monkeypatch.setattr(runtime, port, None)
    answer = HANDLERS[function](changed(event_for(function, CIPHER), PLACES[function][0], value), None)
    assert (answer["statusCode"], json.loads(answer["body"])["error"]["code"]) == (404, code)
