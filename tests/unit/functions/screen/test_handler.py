import json
import string
from typing import Any

import pytest

from functions.screen.handler import handler
from functions.screen.rules import load_rules
from functions.shared.domain.errors import InvalidInput, LedgerUnavailable, PaymentDenied
from tests.fakes import LEDGER_DOWN
from tests.samples import FINGERPRINT, REQUEST, STARTED_AT, SUMMARY, TOKEN
from tests.unit.functions.conftest import Output, World

REAL_CARD: dict[str, Any] = SUMMARY.to_dict() | {"bin": "400005", "last4": "5556"}


def event(card: dict[str, Any] = REAL_CARD, test_card: bool = False, **payment: Any) -> dict[str, Any]:
    return {
        "payment_id": "payment-of-ours-1",
        "started_at": STARTED_AT,
        "payment": REQUEST.to_dict() | payment,
        "card": card,
        "test_card": test_card,
    }


def verdict_on(denied: dict[str, Any]) -> dict[str, Any]:
    """The verdict on a payment that a rule denies."""
    with pytest.raises(PaymentDenied) as error:
        handler(denied, None)
    return json.loads(str(error.value))  # type: ignore[no-any-return]


def test_a_payment_that_is_allowed_is_counted_for_its_card_and_in_no_metric(world: World, output: Output) -> None:
    assert handler(event(), None) == {"action": "allow", "rule": None, "decline_code": None, "flags": []}
    assert list(world.velocity_counter.payments[SUMMARY.fingerprint]) == ["payment-of-ours-1"]
    assert output.metrics() == {}
    assert [line["message"] for line in output.logs()] == ["screen done"]


def test_a_payment_that_is_denied_is_told_with_the_rules_and_not_the_card(world: World, output: Output) -> None:
    denied = verdict_on(event(currency="KPW"))
    assert (denied["action"], denied["decline_code"]) == ("deny", "screened:currency_not_accepted")
    assert output.metrics() == {"PaymentScreened": [1.0]}
    told, failed = output.logs()
    assert (failed["message"], failed["error"]) == ("screen failed", "PaymentDenied")
    assert (told["message"], told["payment_id"]) == ("screened", "payment-of-ours-1")
    assert (told["rule"], told["flags"]) == ("currency_not_accepted", [])
    assert told["rules_version"] == load_rules().version
    assert not any(secret in output.text for secret in (TOKEN, FINGERPRINT, "400005", "5556"))


def test_a_payment_that_is_flagged_is_told_too(world: World, output: Output) -> None:
    assert handler(event(amount_minor=600_000), None)["flags"] == ["amount_high"]
    assert output.metrics() == {"PaymentFlagged": [1.0]}
    assert output.logs()[0]["flags"] == ["amount_high"]


def test_a_payment_that_is_denied_and_flagged_counts_as_both(world: World, output: Output) -> None:
    assert verdict_on(event(amount_minor=2_000_000))["flags"] == ["amount_high"]
    assert output.metrics() == {"PaymentScreened": [1.0], "PaymentFlagged": [1.0]}


def test_a_test_card_may_pay_as_much_as_the_api_takes(world: World) -> None:
    assert handler(event(test_card=True, amount_minor=999_999_999_999), None)["action"] == "allow"


def test_a_card_that_is_only_stored_is_counted_too(world: World) -> None:
    storing = event() | {"store_request": {"caller": None, "verify": False}}
    del storing["payment"]
    assert handler(storing, None)["action"] == "allow"
    assert list(world.velocity_counter.payments[SUMMARY.fingerprint]) == ["payment-of-ours-1"]


def test_who_tries_many_cards_of_a_bin_is_flagged_and_wakes_somebody(world: World, output: Output) -> None:
    for n, letter in enumerate(string.ascii_lowercase[:20]):
        other = REAL_CARD | {"fingerprint": f"fp_{52 * letter}", "last4": f"{n:04}"}
        assert handler(event(other, merchant_reference=f"order-{n}"), None)["flags"] == []
    assert output.metrics() == {}
    another = REAL_CARD | {"fingerprint": f"fp_{52 * 'z'}"}
    assert handler(event(another, merchant_reference="order-20"), None)["flags"] == ["bin_cards"]
    assert output.metrics() == {"PaymentFlagged": [1.0], "ScreeningAlarm": [1.0]}


def test_a_counter_that_does_not_answer_counts_in_no_metric(world: World, output: Output) -> None:
    world.velocity_counter.faults.arm("count", LEDGER_DOWN)
    with pytest.raises(LedgerUnavailable):
        handler(event(currency="KPW"), None)
    assert output.metrics() == {}


def test_the_card_itself_has_no_place_in_the_event(world: World) -> None:
    with pytest.raises(InvalidInput, match="has a field that the contract does not know"):
        handler(event() | {"card_data": "sealed"}, None)
