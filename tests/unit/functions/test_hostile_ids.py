"""Every function, given a card number where an id belongs: it is in no log, no answer and no error."""

import contextlib
import json
import re
import traceback
from typing import Any

import pytest

from functions.anchor.handler import handler as anchor
from functions.cards.handler import handler as cards
from functions.charge.handler import handler as charge
from functions.compensate.handler import handler as compensate
from functions.doubts.handler import handler as doubts
from functions.encrypt.handler import handler as encrypt
from functions.perform.handler import handler as perform
from functions.persist.handler import handler as persist
from functions.reconcile.handler import handler as reconcile
from functions.reserve.handler import handler as reserve
from functions.resolve.handler import handler as resolve
from functions.screen.handler import handler as screen
from functions.settle.handler import handler as settle
from functions.shared import runtime
from functions.shared.domain.errors import PaymentError
from functions.status.handler import handler as status
from functions.tokenize.handler import handler as tokenize
from tests.fakes import FakeBooks, FakeBreaks, FakeCardCipher
from tests.samples import STARTED_AT, UNLISTED_PAN
from tests.unit.functions.conftest import Output, World
from tests.unit.functions.events import event_for

OURS = {"payment_id": "payment-of-ours-1", "operation_id": "operation-of-ours-1"}
CIPHER = FakeCardCipher()

Path = tuple[str, ...]

FUNCTIONS: dict[str, tuple[runtime.Handler, dict[str, Any], list[Path]]] = {
    "tokenize": (tokenize, event_for("tokenize", CIPHER), [("payment_id",)]),
    "screen": (screen, event_for("screen", CIPHER), [("payment_id",), ("started_at",)]),
    "encrypt": (encrypt, event_for("encrypt", CIPHER), [("payment_id",), ("token",)]),
    "charge": (charge, event_for("charge", CIPHER), [("payment_id",), ("token",)]),
    "persist": (
        persist,
        event_for("persist", CIPHER),
        [
            ("payment_id",),
            ("started_at",),
            ("card", "token"),
            ("card", "brand"),
            ("charge", "gateway"),
            ("charge", "decline_code"),
        ],
    ),
    "compensate": (compensate, event_for("compensate", CIPHER), [("payment_id",), ("transaction_id",), ("error",)]),
    "reserve": (
        reserve,
        {
            "operation_id": OURS["operation_id"],
            "requested_at": STARTED_AT,
            "request": {"operation": "refund", "payment_id": OURS["payment_id"]},
        },
        [("operation_id",), ("request", "payment_id"), ("request",), ("requested_at",)],
    ),
    "perform": (
        perform,
        OURS | {"type": "void", "amount_minor": 1, "currency": "USD", "charge_id": "ch_1"},
        [("payment_id",), ("operation_id",)],
    ),
    "settle": (
        settle,
        OURS | {"performed": {"outcome": "unknown", "gateway": None, "reason": "States.Timeout"}},
        [("payment_id",), ("operation_id",), ("performed", "reason"), ("performed", "gateway")],
    ),
    "resolve": (
        resolve,
        {"payment_id": OURS["payment_id"], "operation_id": None, "ask_gateway": True},
        [("payment_id",), ("operation_id",)],
    ),
    "reconcile": (
        reconcile,
        {"day": "2026-11-23", "run": "run-1", "started_at": STARTED_AT, "cursor": None},
        [("run",), ("day",), ("started_at",)],
    ),
    "status": (status, event_for("status", CIPHER), [("pathParameters", "payment_id"), ("pathParameters",)]),
    "cards": (cards, event_for("cards", CIPHER), [("pathParameters", "token"), ("pathParameters",)]),
    "doubts": (doubts, {}, [("payment_id",)]),
    "anchor": (anchor, {"day": "2026-11-23"}, [("day",)]),
}

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
    """The text's digits of any script, whatever is between them, and those that JSON has escaped."""
    shown = re.sub(r"\\u([0-9a-f]{4})", lambda escaped: chr(int(escaped[1], 16)), text)
    return "".join(str(int(digit)) for digit in re.findall(r"\d", shown))


def test_every_function_is_tried() -> None:
    assert len(FUNCTIONS) == 15


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value)[:24])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_card_number_for_an_id_is_told_nowhere(
    function: str, value: Any, world: World, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "books", lambda: FakeBooks(world.ledger))
    monkeypatch.setattr(runtime, "breaks", FakeBreaks)
    handler, event, paths = FUNCTIONS[function]
    for path in paths:
        told = ""
        try:
            told = json.dumps(handler(changed(event, path, value), None))
        except PaymentError as error:
            told = "".join(traceback.format_exception(error, chain=True)[-1:]) + repr(error.args)
        output.lines()
        assert UNLISTED_PAN not in digits_in(told), path
        assert UNLISTED_PAN not in digits_in(output.text), path


@pytest.mark.parametrize(
    "function", [name for name in FUNCTIONS if name not in ("reconcile", "cards", "doubts", "anchor")]
)
def test_an_id_that_passed_is_logged_whole(
    function: str, world: World, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler, event, paths = FUNCTIONS[function]
    payment_id = "49291234-5678-4015-8000-123456789012"
    path = next(path for path in paths if path[-1] == "payment_id")
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
    handler, event, [path, *_] = FUNCTIONS[function]
    answer = handler(changed(event, path, value), None)
    assert (answer["statusCode"], json.loads(answer["body"])["error"]["code"]) == (404, code)
