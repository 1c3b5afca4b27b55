"""Customers are authenticated at the double of Stripe."""

from typing import Any

import pytest
import requests

from tests.unit.tools.local.stripe.conftest import Stripe, card
from tools.local.stripe.account import Account
from tools.local.stripe.cards import Card
from tools.local.stripe.localstripe import running_localstripe

CHALLENGED = "4000002500003155"
CHALLENGED_AND_DECLINED = "4000008260003178"
ON_REQUEST = "4000000000003055"
RETURN_URL = "https://shop.example/orders/1?a=1&b=2"


def waiting(stripe: Stripe, payment: str, number: str = CHALLENGED, **more: Any) -> dict[str, Any]:
    intent: dict[str, Any] = stripe.charge(payment, number, return_url=RETURN_URL, **more)
    assert intent["status"] == "requires_action"
    return intent


def answer(stripe: Stripe, intent: dict[str, Any], outcome: str) -> Any:
    return stripe.sandbox("POST", f"charges/{intent['id']}/challenge", {"outcome": outcome})


def read_intent(stripe: Stripe, intent: dict[str, Any]) -> Any:
    return stripe.get(f"payment_intents/{intent['id']}", expand__0="latest_charge").json()


def test_the_customer_is_sent_to_a_page_and_back(stripe: Stripe, payment: str) -> None:
    intent = waiting(stripe, payment)
    url = f"{stripe.url}/challenge/{intent['id']}"
    redirect = {"type": "redirect_to_url", "redirect_to_url": {"url": url, "return_url": RETURN_URL}}
    assert (intent["next_action"], intent["latest_charge"]) == (redirect, None)
    assert stripe.summary(payment)["next_action"] == {"redirect_url": url}
    assert stripe.summary(payment)["status"] == "action_required"
    page = requests.get(url, timeout=5)
    assert page.status_code == 200
    assert "19.99 USD" in page.text
    assert '<a href="https://shop.example/orders/1?a=1&amp;b=2">Leave</a>' in page.text
    clicked = requests.post(f"{url}/approve", timeout=5, allow_redirects=False)
    assert (clicked.status_code, clicked.headers["Location"]) == (303, RETURN_URL)
    assert read_intent(stripe, intent)["status"] == "succeeded"
    assert requests.post(f"{url}/fail", timeout=5, allow_redirects=False).status_code == 409
    assert read_intent(stripe, intent)["status"] == "succeeded"


def test_without_a_way_back_only_a_script_could_ask(stripe: Stripe, payment: str) -> None:
    assert stripe.charge(payment, CHALLENGED)["next_action"] == {"type": "use_stripe_sdk"}


@pytest.mark.parametrize(("capture_method", "status"), [("automatic", "succeeded"), ("manual", "requires_capture")])
def test_whoever_passes_pays(stripe: Stripe, payment: str, capture_method: str, status: str) -> None:
    intent = waiting(stripe, payment, capture_method=capture_method)
    paid = answer(stripe, intent, "approve")
    assert paid["status"] == ("captured" if status == "succeeded" else "authorized")
    assert paid["authentication"] == {"result": "authenticated", "version": "2.2.0", "liability_shift": True}
    intent = read_intent(stripe, intent)
    assert (intent["status"], intent["next_action"]) == (status, None)
    three_d_secure = intent["latest_charge"]["payment_method_details"]["card"]["three_d_secure"]
    assert (three_d_secure["result"], three_d_secure["version"]) == ("authenticated", "2.2.0")


def test_whoever_fails_may_try_another_card_until_the_intent_is_canceled(stripe: Stripe, payment: str) -> None:
    intent = waiting(stripe, payment)
    assert answer(stripe, intent, "fail")["decline_code"] == "authentication_failed"
    failed = read_intent(stripe, intent)
    assert (failed["status"], failed["latest_charge"]) == ("requires_payment_method", None)
    assert failed["last_payment_error"]["code"] == "payment_intent_authentication_failure"
    with pytest.raises(requests.HTTPError):
        answer(stripe, intent, "approve")
    assert stripe.confirm(intent["id"]).json()["status"] == "succeeded"


def test_whoever_passes_may_lack_the_money(stripe: Stripe, payment: str) -> None:
    intent = waiting(stripe, payment, CHALLENGED_AND_DECLINED)
    assert answer(stripe, intent, "approve")["decline_code"] == "insufficient_funds"
    declined = read_intent(stripe, intent)
    assert (declined["status"], declined["last_payment_error"]["decline_code"]) == (
        "requires_payment_method",
        "insufficient_funds",
    )
    canceled = stripe.post(f"payment_intents/{intent['id']}/cancel", expand__0="latest_charge").json()
    assert (canceled["status"], canceled["last_payment_error"]) == ("canceled", None)
    assert canceled["latest_charge"]["outcome"]["reason"] == "insufficient_funds"
    assert stripe.summary(payment)["status"] == "declined"


def test_nobody_passes_once_the_intent_is_canceled(stripe: Stripe, payment: str) -> None:
    intent = waiting(stripe, payment)
    stripe.sandbox("POST", "faults", {"operation": "cancel_authentication", "fault": "http_500", "reference": payment})
    for status in (500, 200):
        canceled = stripe.post(f"payment_intents/{intent['id']}/cancel", cancellation_reason="abandoned")
        assert canceled.status_code == status
    assert requests.post(f"{stripe.url}/challenge/{intent['id']}/approve", timeout=5).status_code == 409
    assert stripe.confirm(intent["id"]).json()["error"]["code"] == "payment_intent_unexpected_state"
    assert stripe.summary(payment)["decline_code"] == "authentication_expired"


def test_stripe_asks_on_request_where_the_card_can_do_it(stripe: Stripe, payment: str) -> None:
    any_card = {"payment_method_options__card__request_three_d_secure": "any", "return_url": RETURN_URL}
    for number, status in ((ON_REQUEST, "requires_action"), ("4242424242424242", "succeeded")):
        assert stripe.charge(f"{payment}-{number[-4:]}-1", number, **any_card)["status"] == status
        assert stripe.charge(f"{payment}-{number[-4:]}-2", number, return_url=RETURN_URL)["status"] == "succeeded"


@pytest.mark.parametrize("url", ["javascript:alert(1)", "/orders", "ftp://shop.example"])
def test_the_way_back_leads_to_the_web(stripe: Stripe, payment: str, url: str) -> None:
    intent = stripe.create(payment)["id"]
    refused = stripe.post(f"payment_intents/{intent}/confirm", **card(CHALLENGED), return_url=url)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "url_invalid")


def test_only_what_waits_can_be_answered_and_only_so(stripe: Stripe, payment: str) -> None:
    for intent, outcome in ((stripe.charge(payment), "approve"), (waiting(stripe, f"{payment}-2"), "steal")):
        with pytest.raises(requests.HTTPError):
            answer(stripe, intent, outcome)


def test_the_account_reports_what_became_of_the_customer() -> None:
    events: list[dict[str, Any]] = []
    with running_localstripe() as localstripe:
        account = Account(localstripe)
        for number, passed in ((CHALLENGED, True), (CHALLENGED, False), (CHALLENGED_AND_DECLINED, True)):
            intent = account.create(1999, "usd")["id"]
            account.confirm(intent, Card.of(number, 12, 2030, None), return_url=RETURN_URL)
            account.report = events.append
            account.authenticate(intent, passed=passed)
            account.report = None
    assert [each["type"].partition(".")[2] for each in events] == ["succeeded", "payment_failed", "payment_failed"]
