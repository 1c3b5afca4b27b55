import json
import string
from dataclasses import replace
from typing import Any

import pytest

from functions.screen.handler import handler
from functions.screen.rules import Rules, Screening, load_rules
from functions.shared import runtime
from functions.shared.domain.errors import AuthenticationNotSupported, InvalidInput, LedgerUnavailable, PaymentDenied
from tests.fakes import LEDGER_DOWN
from tests.samples import ABLE, FINGERPRINT, REQUEST, STARTED_AT, SUMMARY, TOKEN
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
    nothing: dict[str, Any] = {"rule": None, "decline_code": None, "flags": [], "challenges": []}
    allowed = nothing | {"action": "allow", "gateway": "sparkle", "three_d_secure": "automatic"}
    assert handler(event(), None) == allowed
    assert list(world.velocity_counter.attempts) == [("payment-of-ours-1", STARTED_AT, FINGERPRINT)]
    assert output.metrics() == {}
    assert [line["message"] for line in output.logs()] == ["screen done"]


def test_a_denied_payment_is_logged_with_the_rules_and_without_the_card(world: World, output: Output) -> None:
    denied = verdict_on(event(currency="KPW"))
    assert (denied["action"], denied["decline_code"]) == ("deny", "screened:currency_not_accepted")
    assert output.metrics() == {"PaymentScreened": [1.0]}
    screened, failed = output.logs()
    assert (failed["message"], failed["error"]) == ("screen failed", "PaymentDenied")
    assert (screened["message"], screened["payment_id"]) == ("screened", "payment-of-ours-1")
    assert (screened["rule"], screened["flags"]) == ("currency_not_accepted", [])
    assert screened["rules_version"] == load_rules().version
    assert not any(secret in output.text for secret in (TOKEN, FINGERPRINT, "400005", "5556"))


def test_a_flagged_payment_is_logged_too(world: World, output: Output) -> None:
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
    assert list(world.velocity_counter.attempts) == [("payment-of-ours-1", STARTED_AT, FINGERPRINT)]


def test_who_tries_many_cards_of_a_bin_is_flagged_and_wakes_somebody(world: World, output: Output) -> None:
    for n, letter in enumerate(string.ascii_lowercase[:20]):
        other = REAL_CARD | {"fingerprint": f"fp_{52 * letter}", "last4": f"{n:04}"}
        assert handler(event(other, merchant_reference=f"order-{n}"), None)["flags"] == []
    assert output.metrics() == {}
    last_card = REAL_CARD | {"fingerprint": f"fp_{52 * 'z'}"}
    assert handler(event(last_card, merchant_reference="order-20"), None)["flags"] == ["bin_cards"]
    assert output.metrics() == {"PaymentFlagged": [1.0], "ScreeningAlarm": [1.0]}


def test_a_counter_that_does_not_answer_counts_in_no_metric(world: World, output: Output) -> None:
    world.velocity_counter.faults.arm("count", LEDGER_DOWN)
    with pytest.raises(LedgerUnavailable):
        handler(event(currency="KPW"), None)
    assert output.metrics() == {}


def test_the_card_itself_has_no_place_in_the_event(world: World) -> None:
    with pytest.raises(InvalidInput, match="has a field that the contract does not know"):
        handler(event() | {"card_data": "sealed"}, None)


def challenging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a rule challenge every customer."""
    challenged = Screening(challenges=("large_amount",))
    monkeypatch.setattr(Rules, "screen", lambda rules, facts: challenged)


def able(monkeypatch: pytest.MonkeyPatch, three_d_secure: bool) -> None:
    abilities = replace(ABLE, three_d_secure=three_d_secure)
    monkeypatch.setattr(runtime, "gateway_abilities", lambda gateway: abilities)


def test_a_rule_may_have_the_customer_challenged(world: World, output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    challenging(monkeypatch)
    able(monkeypatch, True)
    verdict = handler(event(), None)
    assert (verdict["action"], verdict["three_d_secure"], verdict["flags"]) == ("allow", "required", [])
    assert output.logs()[0]["challenges"] == ["large_amount"]


def test_where_no_customer_is_there_nobody_is_challenged(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    challenging(monkeypatch)
    by_merchant = event(card_on_file=True, initiator="merchant", reason="recurring")
    assert handler(by_merchant, None)["three_d_secure"] == "automatic"


@pytest.mark.parametrize("asked_by", ["request", "rule"])
def test_a_gateway_that_authenticates_nobody_takes_no_payment_that_needs_it(
    world: World, monkeypatch: pytest.MonkeyPatch, asked_by: str
) -> None:
    able(monkeypatch, False)
    if asked_by == "rule":
        challenging(monkeypatch)
    with pytest.raises(AuthenticationNotSupported):
        handler(event(three_d_secure="required" if asked_by == "request" else "none"), None)
    assert world.gateway.calls == []
