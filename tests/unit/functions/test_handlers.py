"""What all handlers have in common: their logs and their errors."""

import copy
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.shared import contracts, runtime
from functions.shared.domain.errors import GatewayOutcomeUnknown, InternalError, InvalidInput, PaymentError
from functions.shared.redaction import MASK
from tests.fakes import FakeCardCipher
from tests.samples import HOLDER, PAN
from tests.unit.functions.conftest import Output, World
from tests.unit.functions.events import HANDLERS, OF_NO_PAYMENT, event_for, prepare

OF_A_PAYMENT = [name for name in HANDLERS if name not in OF_NO_PAYMENT]
CLOSED = [name for name in OF_A_PAYMENT if contracts.load(name).get("additionalProperties") is False]
"""The functions whose contract lists all fields. The others read only a part of API Gateway's event."""

CANARY = "4000056655665556"
"""A card number where none should be."""

Path = tuple[str, ...]

every_function = pytest.mark.parametrize("function", HANDLERS)


@every_function
def test_there_is_an_event_for_every_handler(function: str, world: World) -> None:
    assert event_for(function, world.card_cipher, held_cards=world.held_cards) is not None


def places(event: dict[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every path in the event, nested ones included, that its contract describes."""
    for name, value in event.items():
        if name != "httpMethod":
            yield (*path, name), value
        if isinstance(value, dict):
            yield from places(value, (*path, name))


def put(event: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(event)
    parent = changed
    for name in path[:-1]:
        parent = parent[name]
    parent[path[-1]] = value
    return changed


@st.composite
def broken_events(draw: st.DrawFn, function: str) -> Any:
    """Events that break the function's contract, with the canary at that place."""
    event = event_for(function, FakeCardCipher())
    path, value = draw(st.sampled_from(list(places(event)) or [((), event)]))
    canary: Any = draw(st.sampled_from([CANARY, int(CANARY), f"Card {CANARY}!"]))
    ways = ["structure", "no object"] if path else ["no object"]
    if function in CLOSED and isinstance(value, dict):
        ways.append("unknown field")
    match draw(st.sampled_from(ways)):
        case "unknown field":
            return put(event, (*path, str(canary)), canary)
        case "no object":
            return draw(st.sampled_from([canary, [canary], [event], {str(canary): canary}]))
        case _:
            # Text in place of an object; an object or a list in place of text or a number.
            return put(
                event, path, [canary] if draw(st.booleans()) else canary if _object(value) else {str(canary): value}
            )


def _object(value: Any) -> bool:
    return isinstance(value, dict)


@every_function
def test_input_that_breaks_its_contract_is_refused_without_a_word_of_it(
    function: str, world: World, output: Output
) -> None:
    @settings(max_examples=60)
    @given(broken_events(function))
    def refuses(event: Any) -> None:
        with pytest.raises(InvalidInput) as refused:
            HANDLERS[function](event, None)
        text = "".join(traceback.format_exception(refused.value))
        assert not any(secret in text for secret in (CANARY, PAN, HOLDER))

    refuses()
    output.lines()
    assert '"error":"InvalidInput"' in output.text
    assert not any(secret in output.text for secret in (CANARY, PAN, HOLDER))
    assert world.gateway.calls == []
    assert world.ledger.records == {}
    assert world.card_vault.cards == {}


@pytest.mark.parametrize("function", CLOSED)
def test_a_missing_field_is_named(function: str, world: World) -> None:
    event = event_for(function, world.card_cipher, held_cards=world.held_cards)
    for name in event:
        with pytest.raises(InvalidInput, match=f"^Missing {name.replace('_', ' ')}\\.$"):
            HANDLERS[function]({other: value for other, value in event.items() if other != name}, None)


@every_function
def test_every_log_line_has_the_payments_id_and_none_the_card(function: str, world: World, output: Output) -> None:
    prepare(function, world)
    HANDLERS[function](event_for(function, world.card_cipher, held_cards=world.held_cards), None)
    logs = output.logs()
    assert [(line["level"], line["message"]) for line in logs] == [("INFO", f"{function} done")]
    assert [line.get("payment_id") for line in logs] == ["payment-of-ours-1" if function in OF_A_PAYMENT else None]
    assert not any(secret in output.text for secret in (PAN, HOLDER))


@pytest.mark.parametrize("function", CLOSED)
def test_a_refusal_is_logged_under_the_payments_id(function: str, world: World, output: Output) -> None:
    with pytest.raises(InvalidInput):
        HANDLERS[function](event_for(function, world.card_cipher, held_cards=world.held_cards) | {CANARY: CANARY}, None)
    (line,) = output.logs()
    assert (line["level"], line["payment_id"]) == ("WARNING", "payment-of-ours-1")
    assert line["reason"] == "the input has a field that the contract does not know."


@every_function
def test_an_unforeseen_error_leaves_without_its_data(
    function: str, world: World, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = event_for(function, world.card_cipher, held_cards=world.held_cards)

    def fail() -> None:
        try:
            raise KeyError(PAN)
        except KeyError as cause:
            raise RuntimeError(f"{HOLDER} paid with {PAN}", event) from cause

    for port in vars(world):
        monkeypatch.setattr(runtime, port, fail)
    with pytest.raises(InternalError) as raised:
        HANDLERS[function](event, None)
    assert str(raised.value) == "RuntimeError"
    text = "".join(traceback.format_exception(raised.value))
    (line,) = output.logs()
    assert (line["level"], line["error"]) == ("ERROR", "RuntimeError")
    assert any("test_handlers.py:" in place for place in line["where"])
    for secret in (PAN, HOLDER, "KeyError"):
        assert secret not in text
        assert secret not in output.text
    assert line.get("payment_id") == ("payment-of-ours-1" if function in OF_A_PAYMENT else None)


@pytest.mark.parametrize("foreseen", [True, False])
@pytest.mark.parametrize(
    ("function", "port"),
    [
        ("tokenize", "token_mac"),
        ("encrypt", "card_cipher"),
        ("charge", "card_cipher"),
        ("charge", "gateways"),
        ("persist", "card_vault"),
        ("persist", "ledger"),
        ("compensate", "gateways"),
        ("compensate", "ledger"),
    ],
)
def test_whatever_goes_wrong_with_the_card_in_hand_what_leaves_has_no_digits_of_it_and_nothing_behind_it(
    function: str,
    port: str,
    foreseen: bool,
    world: World,
    output: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`from None` is not enough: it hides the context in tracebacks but keeps it."""
    event = event_for(function, world.card_cipher, held_cards=world.held_cards)
    if port == "card_vault":
        event["payment"]["card_on_file"] = True

    class Failing:
        def __getattr__(self, method: str) -> Any:
            def fail(*arguments: object) -> None:
                try:
                    raise KeyError(PAN, arguments)
                except KeyError as cause:
                    raise (GatewayOutcomeUnknown if foreseen else RuntimeError)(f"{method} of {PAN}") from cause

            return fail

    monkeypatch.setattr(runtime, port, Failing)
    with pytest.raises(PaymentError) as raised:
        HANDLERS[function](event, None)
    assert isinstance(raised.value, InternalError) is not foreseen
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)
    output.lines()
    for text in (str(raised.value), repr(raised.value), output.text):
        assert PAN not in text
    if foreseen:
        assert MASK in str(raised.value)
        assert MASK in output.text


def test_what_one_invocation_logs_does_not_carry_over_to_the_next(world: World, output: Output) -> None:
    HANDLERS["tokenize"](event_for("tokenize", world.card_cipher), None)
    HANDLERS["cards"](event_for("cards", world.card_cipher), None)
    HANDLERS["status"](
        event_for("status", world.card_cipher) | {"pathParameters": {"payment_id": "payment-of-ours-2"}}, None
    )
    assert [line.get("payment_id") for line in output.logs()] == ["payment-of-ours-1", None, "payment-of-ours-2"]
