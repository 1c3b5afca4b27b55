"""Keys, faults, and what every request must have at the double of Stripe."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from functions.shared.adapters.gateways.signatures import signature
from functions.shared.adapters.gateways.stripe.events import read_event
from functions.shared.domain.gateway_event import GatewayEvent
from functions.shared.domain.times import iso
from tests.unit.tools.local.stripe.conftest import API_KEY, Stripe
from tools.deployment.paths import ROOT
from tools.local.stripe.account import CONTRACT, Account
from tools.local.stripe.app import nested
from tools.local.stripe.cards import Card
from tools.local.stripe.localstripe import running_localstripe


def test_a_key_gets_its_first_answer_again_even_a_decline(stripe: Stripe, payment: str) -> None:
    intent = stripe.create(payment)
    assert stripe.create(payment) == intent
    declined = stripe.confirm(intent["id"], "4000000000000002", "k" + payment)
    again = stripe.confirm(intent["id"], "4000000000000002", "k" + payment)
    assert (again.status_code, again.json()) == (402, declined.json())
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_key_is_good_for_one_body(stripe: Stripe, payment: str) -> None:
    stripe.create(payment)
    answer = stripe.post("payment_intents", f"{payment}-intent", amount=5, currency="usd")
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "idempotency_error")


def test_a_failure_that_was_saved_is_repeated_until_the_key_is_forgotten(stripe: Stripe, payment: str) -> None:
    stripe.sandbox("POST", "faults", {"operation": "create", "fault": "http_500_saved", "reference": payment})
    body = {"amount": 1999, "currency": "usd", "metadata__payment_id": payment}
    first, again = (stripe.post("payment_intents", f"{payment}-intent", **body) for _ in range(2))
    assert (first.status_code, first.json()["error"]["type"]) == (500, "api_error")
    assert (again.content, again.headers["Idempotent-Replayed"]) == (first.content, "true")
    stripe.sandbox("POST", "forget", {"reference": payment})
    assert stripe.post("payment_intents", f"{payment}-intent", **body).status_code == 200


def test_a_key_in_use_is_refused(stripe: Stripe, payment: str) -> None:
    intent = stripe.create(payment)
    stripe.sandbox("POST", "faults", {"operation": "charge", "fault": "slow", "reference": payment, "seconds": 1.5})
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda _: Stripe(stripe.url).confirm(intent["id"], key="k" + payment), range(2)))
    refused = next(each for each in answers if each.status_code == 409)
    assert refused.json()["error"]["code"] == "idempotency_key_in_use"
    assert sorted(each.status_code for each in answers) == [200, 409]


def test_what_fails_validation_uses_up_no_key(stripe: Stripe, payment: str) -> None:
    refused = stripe.post("payment_intents", f"{payment}-intent", amount=0, currency="usd")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "parameter_invalid_integer")
    assert stripe.create(payment)["object"] == "payment_intent"


def test_unknown_and_missing_parameters_are_named(stripe: Stripe) -> None:
    unknown = stripe.post("payment_intents", amount=1, currency="usd", reference="x").json()["error"]
    assert (unknown["code"], unknown["param"]) == ("parameter_unknown", "reference")
    missing = stripe.post("payment_intents", amount=1).json()["error"]
    assert (missing["code"], missing["param"]) == ("parameter_missing", "currency")


def test_payment_method_types_ended_with_a_version(stripe: Stripe) -> None:
    form = {"amount": "1", "currency": "usd", "payment_method_types[]": "card"}
    for version, status in (("2026-08-26.dahlia", 200), ("2026-10-28.endive", 400)):
        sent = stripe.headers | {"Stripe-Version": version}
        answer = requests.post(f"{stripe.url}/v1/payment_intents", data=form, headers=sent, timeout=5)
        assert answer.status_code == status
    assert answer.json()["error"]["code"] == "payment_method_types_no_longer_supported"


def test_the_key_and_the_version_are_checked(stripe: Stripe) -> None:
    assert (
        requests.get(f"{stripe.url}/v1/payouts", headers={"Authorization": "Bearer no"}, timeout=5).status_code == 401
    )
    assert requests.get(f"{stripe.url}/sandbox/health", timeout=5).json() == {"status": "ok"}
    odd = requests.get(f"{stripe.url}/v1/payouts", headers=stripe.headers | {"Stripe-Version": "new"}, timeout=5)
    assert odd.status_code == 400
    assert stripe.get("payouts").headers["Stripe-Version"] == CONTRACT["api_version"]


def test_what_does_not_exist_is_missing(stripe: Stripe) -> None:
    answer = stripe.get("payment_intents/pi_none")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "resource_missing")


@pytest.mark.parametrize(
    ("fault", "happens"),
    [("timeout_before", False), ("timeout_after", True), ("reset", False), ("garbage", True), ("http_500", False)],
)
def test_a_fault_hides_or_prevents_a_charge(stripe: Stripe, payment: str, fault: str, happens: bool) -> None:
    intent = stripe.create(payment)["id"]
    stripe.sandbox("POST", "faults", {"operation": "charge", "fault": fault, "reference": payment, "seconds": 0})
    try:
        answer = stripe.confirm(intent, key="k" + payment)
        assert answer.status_code in (200, 500)
        assert "json" not in answer.headers["Content-Type"] or answer.status_code == 500
    except requests.ConnectionError:
        assert fault in ("timeout_before", "timeout_after", "reset")
    assert (stripe.summary(payment) is not None) == happens
    assert stripe.confirm(intent, key="k" + payment).json()["status"] == "succeeded"


@pytest.mark.parametrize("fault", ["http_429", "http_502_html"])
def test_a_fault_answers_with_a_status(stripe: Stripe, payment: str, fault: str) -> None:
    stripe.charge(payment)
    stripe.sandbox("POST", "faults", {"operation": "find", "fault": fault, "reference": payment})
    query = f"metadata['payment_id']:'{payment}'"
    assert stripe.get("payment_intents/search", query=query).status_code == int(fault[5:8])
    assert stripe.get("payment_intents/search", query=query).status_code == 200


def test_stripe_approves_no_part_of_an_amount(stripe: Stripe) -> None:
    with pytest.raises(requests.HTTPError):
        stripe.sandbox("POST", "faults", {"operation": "charge", "fault": "partial_approval"})


def test_canceling_what_is_held_by_request_is_a_void_and_anything_else_a_reversal(stripe: Stripe, payment: str) -> None:
    for operation, reason in (("void", "requested_by_customer"), ("reverse", "abandoned")):
        reference = f"{payment}-{operation}"
        intent = stripe.charge(reference, capture_method="manual")["id"]
        stripe.sandbox("POST", "faults", {"operation": operation, "fault": "http_500", "reference": reference})
        for status in (500, 200):
            canceled = stripe.post(f"payment_intents/{intent}/cancel", cancellation_reason=reason)
            assert canceled.status_code == status


def test_answers_have_no_field_that_stripe_does_not_have(stripe: Stripe, payment: str) -> None:
    intent = stripe.charge(payment)
    assert intent.keys() <= set(CONTRACT["fields"]["payment_intent"])
    assert stripe.get(f"charges/{intent['latest_charge']}").json().keys() <= set(CONTRACT["fields"]["charge"])
    [payout, *_] = stripe.get("payouts").json()["data"] or [{}]
    assert payout.keys() <= set(CONTRACT["fields"]["payout"])


def test_forms_are_read_as_stripe_reads_them() -> None:
    assert nested("a[b][c]=1&a[d]=2&e[]=3&e[]=4&f[0]=5") == {
        "a": {"b": {"c": "1"}, "d": "2"},
        "e": ["3", "4"],
        "f": ["5"],
    }


def test_the_command_prints_its_url_serves_and_stops_on_sigterm() -> None:
    environment = {**os.environ, "STRIPE_API_KEY": API_KEY}
    with subprocess.Popen(
        [sys.executable, "-m", "tools.local.stripe"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert requests.get(f"{url}/sandbox/health", timeout=5).json() == {"status": "ok"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/sandbox/health", timeout=5)


def test_the_account_sends_an_event_of_each_change_that_the_adapter_can_read() -> None:
    events: list[dict[str, Any]] = []
    with running_localstripe() as localstripe:
        account = Account(localstripe)
        account.report = events.append
        intent = account.create(1999, "usd", metadata={"payment_id": "pay-1"})["id"]
        account.confirm(intent, Card.of("4242424242424242", 12, 2030, None))
        account.fail_refund(account.refund(intent)["id"])
    assert [each["type"] for each in events] == [
        "payment_intent.created",
        "payment_intent.succeeded",
        "refund.created",
        "refund.failed",
    ]
    _, *read = (_received(event) for event in events)
    assert [(each and each.charge_id) for each in read] == [intent] * 3


def _received(event: dict[str, Any]) -> GatewayEvent | None:
    body, at = json.dumps(event).encode(), str(event["created"])
    headers = {"stripe-signature": f"t={at},v1={signature(API_KEY, at, body)}"}
    return read_event(headers, body, [API_KEY], iso(datetime.fromtimestamp(event["created"], UTC)))
