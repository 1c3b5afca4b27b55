"""Payments at the double of Stripe."""

from typing import Any

import pytest

from tests.unit.tools.local.stripe.conftest import Stripe, card


def test_an_intent_is_created_without_a_card_and_confirmed_with_one(stripe: Stripe, payment: str) -> None:
    intent = stripe.create(payment, description="an order", allowed_payment_method_types__0="card")
    assert (intent["status"], intent["latest_charge"], intent["payment_method"]) == (
        "requires_payment_method",
        None,
        None,
    )
    assert (intent["metadata"], intent["description"]) == ({"payment_id": payment}, "an order")
    confirmed = stripe.confirm(intent["id"], expand__0="latest_charge.balance_transaction").json()
    assert (confirmed["status"], confirmed["amount_received"]) == ("succeeded", 1999)
    charge = confirmed["latest_charge"]
    assert (charge["amount_captured"], charge["metadata"]) == (1999, {"payment_id": payment})
    details = charge["payment_method_details"]["card"]
    assert (details["brand"], details["last4"], details["checks"]["cvc_check"]) == ("visa", "4242", "pass")
    assert len(details["network_transaction_id"]) == 15
    assert (charge["balance_transaction"]["fee"], charge["balance_transaction"]["net"]) == (58, 1941)


@pytest.mark.parametrize(
    ("number", "code", "decline_code"),
    [
        ("4000000000000002", "card_declined", "generic_decline"),
        ("4000000000009995", "card_declined", "insufficient_funds"),
        ("4000000000000069", "expired_card", "expired_card"),
        ("4000000000000127", "incorrect_cvc", "incorrect_cvc"),
        ("4000000000000119", "processing_error", "processing_error"),
    ],
)
def test_a_test_card_is_declined_as_documented(
    stripe: Stripe, payment: str, number: str, code: str, decline_code: str
) -> None:
    intent = stripe.create(payment)
    answer = stripe.confirm(intent["id"], number)
    assert answer.status_code == 402
    error = answer.json()["error"]
    assert (error["type"], error["code"], error["decline_code"]) == ("card_error", code, decline_code)
    current = stripe.get(f"payment_intents/{intent['id']}").json()
    assert current["status"] == error["payment_intent"]["status"] == "requires_payment_method"
    assert current["last_payment_error"]["decline_code"] == decline_code
    assert stripe.summary(payment)["status"] == "declined"
    assert stripe.confirm(intent["id"]).json()["status"] == "succeeded"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"number": "4242424242424241"}, "incorrect_number"),
        ({"exp_month": "13"}, "invalid_expiry_month"),
        ({"cvc": "12"}, "invalid_cvc"),
    ],
)
def test_a_malformed_card_is_refused(stripe: Stripe, payment: str, fault: dict[str, str], code: str) -> None:
    fields: Any = card(**({"number": "4242424242424242"} | fault))
    answer = stripe.post(f"payment_intents/{stripe.create(payment)['id']}/confirm", **fields)
    assert (answer.status_code, answer.json()["error"]["code"]) == (402, code)


def test_a_card_that_asks_for_authentication_gets_an_action_or_a_decline(stripe: Stripe, payment: str) -> None:
    assert stripe.charge(payment, "4000002760003184")["status"] == "requires_action"
    error = stripe.charge(f"{payment}-2", "4000002760003184", off_session="true")["error"]
    assert (error["code"], error["payment_intent"]["status"]) == ("authentication_required", "requires_payment_method")


def test_amex_and_diners_can_pay(stripe: Stripe, payment: str) -> None:
    for number, brand in (("378282246310005", "amex"), ("30569309025904", "diners")):
        stripe.charge(f"{payment}-{brand}", number)
        assert stripe.summary(f"{payment}-{brand}")["card_brand"] == brand


def test_a_part_is_captured_once_and_the_rest_released(stripe: Stripe, payment: str) -> None:
    authorized = stripe.charge(payment, capture_method="manual")
    assert (authorized["status"], authorized["amount_capturable"]) == ("requires_capture", 1999)
    assert stripe.summary(payment)["status"] == "authorized"
    refused = stripe.post(f"payment_intents/{authorized['id']}/capture", amount_to_capture=2000)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "amount_too_large")
    captured = stripe.post(f"payment_intents/{authorized['id']}/capture", amount_to_capture=500).json()
    assert (captured["status"], captured["amount_received"], captured["amount"]) == ("succeeded", 500, 1999)
    again = stripe.post(f"payment_intents/{authorized['id']}/capture")
    assert again.json()["error"]["code"] == "payment_intent_unexpected_state"
    assert stripe.get("refunds", payment_intent=authorized["id"]).json()["data"] == []
    assert stripe.summary(payment)["captured_minor"] == 500


def test_a_canceled_intent_can_never_be_confirmed(stripe: Stripe, payment: str) -> None:
    intent = stripe.create(payment)
    canceled = stripe.post(f"payment_intents/{intent['id']}/cancel", cancellation_reason="abandoned").json()
    assert (canceled["status"], canceled["cancellation_reason"]) == ("canceled", "abandoned")
    refused = stripe.confirm(intent["id"])
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (400, "payment_intent_unexpected_state")
    assert error["payment_intent"]["status"] == "canceled"
    assert stripe.summary(payment) is None


def test_a_paid_intent_cannot_be_canceled_and_the_error_shows_it(stripe: Stripe, payment: str) -> None:
    refused = stripe.post(f"payment_intents/{stripe.charge(payment)['id']}/cancel")
    assert refused.json()["error"]["payment_intent"]["status"] == "succeeded"


def test_an_authorization_expires(stripe: Stripe, payment: str) -> None:
    authorized = stripe.charge(payment, capture_method="manual")
    expired = stripe.sandbox("POST", f"charges/{authorized['id']}/expire")
    assert (expired["status"], expired["void_reason"]) == ("voided", "expired")
    assert stripe.get(f"payment_intents/{authorized['id']}").json()["cancellation_reason"] == "automatic"


def test_no_more_is_refunded_than_was_captured(stripe: Stripe, payment: str) -> None:
    intent = stripe.charge(payment)["id"]
    first = stripe.post("refunds", payment_intent=intent, amount=1500, metadata__refund_reference="r1").json()
    assert (first["status"], first["amount"], first["payment_intent"]) == ("succeeded", 1500, intent)
    assert stripe.post("refunds", payment_intent=intent, amount=500).status_code == 400
    assert stripe.post("refunds", payment_intent=intent).json()["amount"] == 499
    assert stripe.post("refunds", payment_intent=intent).json()["error"]["code"] == "charge_already_refunded"
    assert stripe.summary(payment)["status"] == "refunded"
    assert [each["amount"] for each in stripe.get("refunds", payment_intent=intent).json()["data"]] == [499, 1500]


def test_what_was_never_paid_cannot_be_refunded(stripe: Stripe, payment: str) -> None:
    assert stripe.post("refunds", payment_intent=stripe.create(payment)["id"]).status_code == 400


def test_a_refund_may_stay_pending_and_fail_and_then_be_made_again(stripe: Stripe, payment: str) -> None:
    intent = stripe.charge(payment)["id"]
    stripe.sandbox("POST", "faults", {"operation": "refund", "fault": "refund_pending", "reference": payment})
    refund = stripe.post("refunds", payment_intent=intent, metadata__refund_reference="r1").json()
    assert refund["status"] == "pending"
    failed = stripe.sandbox("POST", f"refunds/{refund['id']}/fail")
    assert (failed["status"], failed["charge"]["status"], failed["refund_reference"]) == ("failed", "captured", "r1")
    current = stripe.get(f"refunds/{refund['id']}", expand__0="failure_balance_transaction").json()
    assert (current["status"], current["failure_balance_transaction"]["amount"]) == ("failed", 1999)
    assert stripe.post("refunds", payment_intent=intent).json()["status"] == "succeeded"


def test_a_payment_is_found_by_its_metadata(stripe: Stripe, payment: str) -> None:
    intent = stripe.charge(payment)["id"]
    query = f"metadata['payment_id']:'{payment}'"
    assert [each["id"] for each in stripe.get("payment_intents/search", query=query).json()["data"]] == [intent]
    stripe.sandbox("POST", "forget", {"reference": payment})
    assert stripe.get("payment_intents/search", query=query).json()["data"] == []
    assert stripe.create(payment)["id"] != intent


def test_a_card_is_verified(stripe: Stripe, payment: str) -> None:
    good = stripe.post("setup_intents", confirm="true", metadata__payment_id=payment, **card("4242424242424242")).json()
    assert good["status"] == "succeeded"
    bad = stripe.post("setup_intents", confirm="true", **card("4000000000000002"))
    assert (bad.status_code, bad.json()["error"]["decline_code"]) == (402, "generic_decline")
    assert bad.json()["error"]["setup_intent"]["status"] == "requires_payment_method"


def test_a_day_is_paid_out_on_the_next_morning(stripe: Stripe, payment: str) -> None:
    stripe.sandbox("POST", "clock", {"offset_seconds": -86_400})
    intent = stripe.charge(payment)
    stripe.post("refunds", payment_intent=intent["id"], amount=500)
    stripe.sandbox("DELETE", "clock")
    transaction = stripe.get(f"charges/{intent['latest_charge']}").json()["balance_transaction"]
    for payout in stripe.get("payouts", limit=100).json()["data"]:
        lines = stripe.get("balance_transactions", payout=payout["id"], limit=100).json()["data"]
        assert sum(each["net"] for each in lines if each["type"] != "payout") == payout["amount"]
        if transaction in [each["id"] for each in lines]:
            assert {each["type"] for each in lines} == {"charge", "refund", "payout"}
            assert payout["arrival_date"] % 86_400 == 0
            return
    pytest.fail("no payout has the charge")


def test_lists_come_in_pages(stripe: Stripe, payment: str) -> None:
    stripe.charge(payment)
    stripe.charge(f"{payment}-2")
    first = stripe.get("balance_transactions", limit=1).json()
    assert first["has_more"]
    second = stripe.get("balance_transactions", limit=1, starting_after=first["data"][0]["id"]).json()
    assert first["data"][0]["id"] != second["data"][0]["id"]
    assert stripe.get("balance_transactions", created__lt=1).json()["data"] == []


@pytest.mark.parametrize("outcome", ["won", "lost"])
def test_a_disputed_charge_takes_its_money_along_until_the_dispute_is_won(
    stripe: Stripe, payment: str, outcome: str
) -> None:
    intent = stripe.charge(payment)
    assert stripe.get("disputes", payment_intent=intent["id"]).json()["data"] == []
    path = f"charges/{intent['id']}/dispute"
    summary = stripe.sandbox("POST", path, {"amount_minor": 700})
    assert stripe.get(f"charges/{intent['latest_charge']}").json()["disputed"]
    [dispute] = stripe.get("disputes", payment_intent=intent["id"]).json()["data"]
    [withdrawal] = dispute["balance_transactions"]
    assert (dispute["status"], withdrawal["reporting_category"], withdrawal["net"]) == (
        "needs_response",
        "dispute",
        -700 - 1500,
    )
    assert summary["disputed_minor"] == 700
    refused = stripe.post("refunds", payment_intent=intent["id"], amount=1)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "charge_disputed")
    stripe.sandbox("POST", path, {"outcome": outcome})
    [dispute] = stripe.get("disputes", payment_intent=intent["id"]).json()["data"]
    assert dispute["status"] == outcome
    assert [each["net"] for each in dispute["balance_transactions"][1:]] == [700] * (outcome == "won")
    assert stripe.post("refunds", payment_intent=intent["id"], amount=1).status_code == (400, 200)[outcome == "won"]
