"""The Stripe adapter with the double's faults, with answers that only Stripe could give, and with its SDK's types."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
import requests
import stripe as sdk
from requests.adapters import BaseAdapter

from functions.shared.adapters.currencies import minor_unit
from functions.shared.adapters.gateways.stripe.client import API_VERSION, Stripe
from functions.shared.adapters.gateways.stripe.declines import DECLINE_CODES, GENERIC, decline_code
from functions.shared.adapters.gateways.stripe.mapping import StripeMapping
from functions.shared.domain.charge import REDACTED, Authentication, Charge, Refused, Reversal, StoredCredential
from functions.shared.domain.dispute import Dispute
from functions.shared.domain.errors import (
    GatewayBusy,
    GatewayMismatch,
    GatewayOutcomeUnknown,
    GatewayRefused,
    PaymentError,
    SettlementUnreadable,
)
from functions.shared.domain.operation import Refusal
from functions.shared.domain.settlement import SettlementLine
from functions.shared.domain.times import epoch_seconds
from tests.documents import document
from tests.mocked_aws import API_KEY, AUTHORIZATION, new_id
from tests.samples import CHALLENGED_PAN, NOW, PAN, SECURITY_CODE, card, order
from tests.sandbox import running_stripe

REFUND_STAYS_PENDING = "4000000000007726"
NEXT_DAY = "2026-11-24T09:00:01.000Z"
SECONDS = epoch_seconds(NOW)

PAID: dict[str, Any] = {
    "id": "ch_3Qabc",
    "status": "succeeded",
    "amount_captured": 1999,
    "balance_transaction": {"created": SECONDS},
    "payment_method_details": {"card": {"capture_before": None, "network_transaction_id": "016153570198200"}},
}
INTENT: dict[str, Any] = {
    "id": "pi_3Qabc",
    "status": "succeeded",
    "amount": 1999,
    "amount_capturable": 0,
    "currency": "usd",
    "cancellation_reason": None,
    "last_payment_error": None,
    "metadata": {"payment_id": "pay-1"},
    "latest_charge": PAID,
}
REFUND: dict[str, Any] = {
    "id": "re_3Qabc",
    "status": "succeeded",
    "amount": 500,
    "balance_transaction": "txn_1",
    "metadata": {"refund_reference": "op-1"},
    "created": SECONDS,
}


def stripe_at(url: str, **changes: Any) -> Stripe:
    options: dict[str, Any] = {
        "connect_timeout_seconds": 1,
        "read_timeout_seconds": 5,
        "iso_minor_unit": minor_unit,
        "now": lambda: NOW,
    }
    return Stripe(url, lambda: API_KEY, **options | changes)


@pytest.fixture
def stripe(stripe_url: str) -> Stripe:
    return stripe_at(stripe_url)


@pytest.fixture
def sandbox(stripe_url: str) -> Callable[..., Any]:
    def call(method: str, path: str, body: Any = None) -> Any:
        answer = requests.request(method, f"{stripe_url}/sandbox/{path}", json=body, headers=AUTHORIZATION, timeout=5)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    return call


class Script(BaseAdapter):
    """Answers each request with the next of the given answers, and keeps the requests."""

    def __init__(self, *answers: tuple[int, Any] | tuple[int, Any, dict[str, str]]) -> None:
        super().__init__()
        self._answers = iter(answers)
        self.requests: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        self.requests.append(request)
        status, body, *headers = next(self._answers)
        answer = requests.Response()
        answer.status_code, answer.url = status, str(request.url)
        answer.headers.update(*headers)
        answer.raw = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
        return answer

    def close(self) -> None: ...

    def form(self, n: int) -> dict[str, str]:
        return dict(parse_qsl(str(self.requests[n].body)))


def scripted(*answers: Any, **changes: Any) -> tuple[Stripe, Script]:
    gateway, script = stripe_at("http://stripe", **changes), Script(*answers)
    gateway._transport._session.mount("http://", script)
    return gateway, script


def error(type: str, code: str | None = None, **more: Any) -> dict[str, Any]:
    return {"error": {"type": type, "code": code} | more}


def fails(operation: str, reference: str) -> dict[str, str]:
    """A fault after which Stripe repeats its 500 for as long as it keeps the key."""
    return {"operation": operation, "fault": "http_500_saved", "reference": reference}


class TestErrors:
    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            ((401, error("invalid_request_error")), GatewayRefused),
            ((403, error("invalid_request_error")), GatewayRefused),
            ((400, error("invalid_request_error", "amount_too_small")), GatewayRefused),
            ((400, error("idempotency_error")), GatewayRefused),
            ((400, error("invalid_request_error"), {"Stripe-Should-Retry": "true"}), GatewayBusy),
            ((429, error("invalid_request_error", "rate_limit")), GatewayBusy),
            ((429, error("invalid_request_error", "lock_timeout")), GatewayBusy),
            ((409, error("idempotency_error", "idempotency_key_in_use")), GatewayOutcomeUnknown),
            ((500, error("api_error"), {"Stripe-Should-Retry": "false"}), GatewayOutcomeUnknown),
            ((503, error("api_error"), {"Stripe-Should-Retry": "true"}), GatewayOutcomeUnknown),
            ((502, b"<html>Bad Gateway</html>"), GatewayOutcomeUnknown),
            ((403, b"<html>a proxy's</html>"), GatewayOutcomeUnknown),
            ((403, {"message": "a proxy's"}), GatewayOutcomeUnknown),
            ((200, error("api_error")), GatewayOutcomeUnknown),
            ((200, []), GatewayOutcomeUnknown),
            ((200, {}), GatewayOutcomeUnknown),
            ((302, {}), GatewayOutcomeUnknown),
        ],
        ids=str,
    )
    def test_only_what_is_documented_is_an_answer(self, answer: Any, expected: type[PaymentError]) -> None:
        created = {**INTENT, "status": "requires_payment_method", "latest_charge": None}
        for answers in ([answer], [(200, created), answer]):
            gateway, _ = scripted(*answers)
            with pytest.raises(expected):
                gateway.charge(order("pay-1"), card(), "pay-1-charge")

    def test_the_version_and_the_keys_are_sent_and_the_card_only_to_confirm(self) -> None:
        gateway, script = scripted((200, INTENT), (200, INTENT))
        gateway.charge(order("pay-1"), card(security_code=SECURITY_CODE), "pay-1-charge")
        assert [each.headers["Idempotency-Key"] for each in script.requests] == ["pay-1-intent", "pay-1-charge"]
        assert {each.headers["Stripe-Version"] for each in script.requests} == {API_VERSION}
        assert PAN not in str(script.requests[0].body)
        assert script.form(1)["payment_method_data[card][number]"] == PAN
        assert script.form(1)["payment_method_data[card][cvc]"] == SECURITY_CODE

    @pytest.mark.parametrize(
        "fault", ["timeout_before", "timeout_after", "reset", "http_500", "http_502_html", "garbage"]
    )
    def test_after_a_broken_answer_the_same_keys_give_the_one_charge(
        self, stripe: Stripe, sandbox: Callable[..., Any], fault: str
    ) -> None:
        for operation in ("create", "charge"):
            body = {"operation": operation, "fault": fault, "reference": (reference := new_id()), "seconds": 0}
            sandbox("POST", "faults", body)
            with pytest.raises(GatewayOutcomeUnknown):
                stripe.charge(order(reference), card(), f"{reference}-charge")
            assert stripe.charge(order(reference), card(), f"{reference}-charge").status == "captured"
            charges = [each for each in sandbox("GET", "charges")["charges"] if each["reference"] == reference]
            assert len(charges) == 1


class TestDeclines:
    def test_a_card_that_needs_authentication_is_declined_if_nobody_can_be_asked(self, stripe: Stripe) -> None:
        charge = stripe.charge(order(reference := new_id()), card(CHALLENGED_PAN), f"{reference}-charge")
        assert (charge.status, charge.decline_code) == ("declined", "authentication_required")
        assert stripe.find(charge.charge_id) == charge
        assert stripe.reverse(order(reference)).result == "tombstoned"  # Stripe has made no charge of it

    def test_an_unknown_code_is_a_decline_without_a_reason(self) -> None:
        assert decline_code({"code": "card_declined", "decline_code": "no_code_of_ours"}) == GENERIC
        assert decline_code({"code": "card_declined", "decline_code": None}) == GENERIC
        assert decline_code({"code": "incorrect_cvc", "decline_code": [PAN]}) == "incorrect_cvc"
        assert decline_code(None) == GENERIC

    def test_the_table_in_the_documentation_is_the_adapters(self) -> None:
        text = document("stripe").path.read_text()
        for code, own_code in DECLINE_CODES.items():
            assert f"`{code}`" in text
            assert f"`{own_code}`" in text

    def test_a_verification_that_needs_authentication_is_declined_and_canceled(self) -> None:
        setup = {"id": "seti_1abc", "status": "requires_action", "metadata": {"payment_id": "pay-1"}}
        gateway, script = scripted((200, setup), (200, setup | {"status": "canceled"}))
        assert gateway.verify("pay-1", card(), "key").decline_code == "authentication_required"
        assert script.requests[1].path_url == "/v1/setup_intents/seti_1abc/cancel"


class TestAfterADay:
    """When Stripe may have forgotten the keys."""

    @pytest.fixture
    def late(self, stripe_url: str) -> Stripe:
        return stripe_at(stripe_url, now=lambda: NEXT_DAY)

    def test_a_charge_is_found_by_search_and_reversed(
        self, stripe: Stripe, late: Stripe, sandbox: Callable[..., Any]
    ) -> None:
        charge = stripe.charge(order(reference := new_id()), card(), f"{reference}-charge")
        assert late.find_by_reference(order(reference)) == charge
        reversal = late.reverse(order(reference))
        assert (reversal.result, reversal.charge and reversal.charge.charge_id) == ("refunded", charge.charge_id)

    def test_absence_is_believed_only_with_a_canceled_intent(self, late: Stripe) -> None:
        reference = new_id()
        assert late.find_by_reference(order(reference)) is None
        assert late.reverse(order(reference)).result == "tombstoned"
        with pytest.raises(GatewayRefused):
            late.charge(order(reference), card(), f"{reference}-charge")

    def test_while_stripe_repeats_its_own_failure_nothing_is_known(
        self, stripe: Stripe, late: Stripe, sandbox: Callable[..., Any]
    ) -> None:
        sandbox("POST", "faults", fails("create", reference := new_id()))
        with pytest.raises(GatewayOutcomeUnknown):
            stripe.charge(order(reference), card(), f"{reference}-charge")
        for gateway in (stripe, late):
            with pytest.raises(GatewayOutcomeUnknown):
                gateway.reverse(order(reference))
        sandbox("POST", "forget", {"reference": reference})
        assert late.reverse(order(reference)).result == "tombstoned"

    def test_a_refund_is_then_made_once_the_key_is_forgotten(
        self, stripe: Stripe, late: Stripe, sandbox: Callable[..., Any]
    ) -> None:
        charge_id = stripe.charge(order(reference := new_id()), card(), f"{reference}-charge").charge_id
        refund = charge_id, 500, "USD", "op-1", f"{reference}-refund"
        sandbox("POST", "faults", fails("refund", reference))
        for gateway in (stripe, late):
            with pytest.raises(GatewayOutcomeUnknown):
                gateway.refund(*refund)
        sandbox("POST", "forget", {"reference": reference})
        for _ in range(2):
            charge = late.refund(*refund)
            assert isinstance(charge, Charge)
            assert [each.reference for each in charge.refunds] == ["op-1"]

    def test_looking_makes_no_intent(self) -> None:
        gateway, script = scripted((200, {"data": [], "has_more": False}), now=lambda: NEXT_DAY)
        assert gateway.find_by_reference(order("pay-1")) is None
        (request,) = script.requests
        assert request.method == "GET"

    def test_every_intent_of_the_order_is_undone(self) -> None:
        canceled = {**INTENT, "id": "pi_2", "status": "canceled", "latest_charge": None}
        none: tuple[int, Any] = (200, {"data": [], "has_more": False})
        refunded: tuple[int, Any] = (200, {"data": [REFUND | {"amount": 1999}], "has_more": False})
        search_result = {"data": [{"id": "pi_3Qabc"}], "has_more": False}
        gateway, script = scripted(
            *((200, search_result), (200, canceled)),
            *((200, INTENT), none, (200, REFUND), (200, INTENT), refunded),
            *((200, canceled), (200, canceled)),
            now=lambda: NEXT_DAY,
        )
        assert gateway.reverse(order("pay-1")).result == "refunded"
        assert len(script.requests) == 9


WITHDRAWAL: dict[str, Any] = {"amount": -700, "currency": "usd", "created": SECONDS}
RETURNED = WITHDRAWAL | {"amount": 700, "created": SECONDS + 60}
DISPUTE: dict[str, Any] = {
    "id": "dp_3Qabc",
    "status": "needs_response",
    "currency": "usd",
    "reason": "fraudulent",
    "balance_transactions": [WITHDRAWAL],
}


class TestDisputes:
    mapping = StripeMapping(minor_unit)

    def map_dispute(self, **changes: Any) -> tuple[Dispute, ...]:
        charge = self.mapping.charge(INTENT, (), [DISPUTE | changes])
        assert charge is not None
        return charge.disputes

    @pytest.mark.parametrize(
        ("status", "transactions", "expected"),
        [
            ("needs_response", [WITHDRAWAL], "open"),
            ("under_review", [WITHDRAWAL], "open"),
            ("appeal_under_review", [WITHDRAWAL], "open"),
            ("won", [WITHDRAWAL], "open"),  # and its money has not returned yet
            ("won", [WITHDRAWAL, RETURNED], "won"),
            ("lost", [WITHDRAWAL], "lost"),
        ],
    )
    def test_one_is_what_it_has_moved(self, status: str, transactions: list[Any], expected: str) -> None:
        (dispute,) = self.map_dispute(status=status, balance_transactions=transactions)
        assert (dispute.status, dispute.amount_minor, dispute.opened_at) == (expected, 700, NOW)
        assert bool(dispute.ended_at) == (expected == "won")

    @pytest.mark.parametrize("status", ["warning_needs_response", "warning_closed", "prevented", "needs_response"])
    def test_one_that_has_moved_nothing_is_none(self, status: str) -> None:
        assert self.map_dispute(status=status, balance_transactions=[]) == ()

    @pytest.mark.parametrize(("reason", "ours"), [("duplicate", "duplicate"), ("noncompliant", "other")])
    def test_its_reason_is_one_of_ours(self, reason: str, ours: str) -> None:
        assert [dispute.reason for dispute in self.map_dispute(reason=reason)] == [ours]

    @pytest.mark.parametrize(
        "transactions",
        [
            [WITHDRAWAL | {"currency": "eur"}],
            [WITHDRAWAL, RETURNED | {"amount": 699}],
            [WITHDRAWAL, RETURNED, RETURNED],
        ],
    )
    def test_what_the_books_can_not_have_is_a_mismatch(self, transactions: list[Any]) -> None:
        with pytest.raises(GatewayMismatch):
            self.map_dispute(balance_transactions=transactions)

    @pytest.mark.parametrize("changes", [{"balance_transactions": None}, {"balance_transactions": [{}]}])
    def test_one_that_is_not_as_documented_leaves_the_charge_unknown(self, changes: Any) -> None:
        with pytest.raises(GatewayOutcomeUnknown):
            self.map_dispute(**changes)

    @pytest.mark.parametrize(("disputed", "further_calls"), [(False, 0), (True, 1)])
    def test_only_a_disputed_charge_costs_a_further_call(self, disputed: bool, further_calls: int) -> None:
        intent = INTENT | {"latest_charge": PAID | {"disputed": disputed}}
        disputes: tuple[int, Any] = (200, {"data": [DISPUTE], "has_more": False})
        nothing: tuple[int, Any] = (200, {"data": [], "has_more": False})
        gateway, script = scripted((200, intent), *[disputes] * further_calls, nothing)
        charge = gateway.find("pi_3Qabc")
        assert charge is not None
        assert (len(charge.disputes), len(script.requests)) == (further_calls, 2 + further_calls)

    def test_its_money_is_reported_with_its_fee(self, stripe: Stripe, sandbox: Callable[..., Any]) -> None:
        charge = stripe.charge(order(reference := new_id()), card(), f"{reference}-charge")
        won = {"outcome": "won", "amount_minor": 700}
        [dispute] = sandbox("POST", f"charges/{charge.charge_id}/dispute", won)["disputes"]
        day = dispute["opened_at"][:10]
        lines = [line for line in pages(stripe, day) if line.reference == reference and line.type != "charge"]
        assert sorted((line.type, line.line_id, line.amount_minor, line.fee_minor) for line in lines) == [
            ("dispute", dispute["id"], -700, 1500),
            ("dispute_reversal", dispute["id"], 700, 0),
        ]


class TestReversals:
    def test_money_that_is_not_back_yet_is_not_confirmed(self, stripe: Stripe) -> None:
        stripe.charge(order(reference := new_id()), card(REFUND_STAYS_PENDING), f"{reference}-charge")
        with pytest.raises(GatewayOutcomeUnknown):
            stripe.reverse(order(reference))

    def test_what_changed_meanwhile_is_looked_at_again(self) -> None:
        authorized = {**INTENT, "status": "requires_capture"}
        gateway, _ = scripted((200, authorized), (200, authorized), (400, error("invalid_request_error", "x")))
        with pytest.raises(GatewayOutcomeUnknown):
            gateway.reverse(order("pay-1"))


class TestStates:
    mapping = StripeMapping(minor_unit)

    @pytest.mark.parametrize("status", ["requires_payment_method", "requires_confirmation", "processing", "canceled"])
    def test_without_an_outcome_there_is_no_charge(self, status: str) -> None:
        assert self.mapping.charge({**INTENT, "status": status, "latest_charge": None}) is None

    @pytest.mark.parametrize(("reason", "void_reason"), [("automatic", "expired"), ("abandoned", None), (None, None)])
    def test_an_authorization_that_stripe_canceled_has_expired(
        self, reason: str | None, void_reason: str | None
    ) -> None:
        charge = self.mapping.charge({**INTENT, "status": "canceled", "cancellation_reason": reason})
        assert charge
        assert (charge.status, charge.void_reason, charge.captured_minor) == ("voided", void_reason, 0)

    def test_of_a_declined_intent_that_was_canceled_the_charge_has_the_reason(self) -> None:
        failed = {**PAID, "status": "failed", "failure_code": "card_declined", "outcome": {"reason": "lost_card"}}
        intent = {**INTENT, "status": "canceled", "latest_charge": failed}
        assert self.mapping.charge(intent).decline_code == "lost_card"  # type: ignore[union-attr]
        for outcome in ({"reason": None}, None):
            expired = failed | {"failure_code": "expired_card", "outcome": outcome}
            charge = self.mapping.charge(intent | {"latest_charge": expired})
            assert charge
            assert (charge.decline_code, charge.network_transaction_id) == ("expired_card", None)
        assert self.mapping.charge(intent | {"latest_charge": failed | {"payment_method_details": None}})

    @pytest.mark.parametrize(
        ("status", "ours", "charged"),
        [
            ("succeeded", "succeeded", "partially_refunded"),
            ("pending", "pending", "captured"),
            ("requires_action", "pending", "captured"),
            ("failed", "failed", "captured"),
            ("canceled", "failed", "captured"),
        ],
    )
    def test_a_refund_has_a_status_of_ours(self, status: str, ours: str, charged: str) -> None:
        charge = self.mapping.charge(INTENT, [REFUND | {"status": status}])
        assert charge
        assert (charge.refunds[0].status, charge.status) == (ours, charged)

    def test_the_release_of_what_was_not_captured_is_no_refund(self) -> None:
        charge = self.mapping.charge(INTENT, [REFUND | {"balance_transaction": None}])
        assert charge
        assert (charge.refunds, charge.status) == ((), "captured")

    @pytest.mark.parametrize("status", ["unheard_of", None, PAN])
    def test_an_undocumented_state_is_no_answer(self, status: Any) -> None:
        with pytest.raises(GatewayOutcomeUnknown) as raised:
            self.mapping.charge({**INTENT, "status": status})
        assert raised.value.shown

    @pytest.mark.parametrize("name", [name for name in INTENT if name != "amount_capturable"])
    def test_an_intent_that_lacks_a_field_is_no_answer(self, name: str) -> None:
        lacking = {other: value for other, value in INTENT.items() if other != name}
        if name == "metadata":
            assert self.mapping.charge(lacking).reference == REDACTED  # type: ignore[union-attr]
        elif name == "cancellation_reason":
            with pytest.raises(GatewayOutcomeUnknown):
                self.mapping.charge(lacking | {"status": "canceled"})
        else:
            with pytest.raises(GatewayOutcomeUnknown):
                self.mapping.charge(lacking)

    @pytest.mark.parametrize("text", [PAN, f"pi_{PAN}", "<b>", "x" * 300, None, 5], ids=str)
    def test_malformed_texts_are_redacted(self, text: Any) -> None:
        charge = self.mapping.charge({**INTENT, "id": text, "metadata": {"payment_id": text}}, [REFUND | {"id": text}])
        assert charge
        assert (charge.charge_id, charge.reference, charge.refunds[0].refund_id) == (REDACTED,) * 3

    def test_ids_of_stripe_survive(self) -> None:
        ids = ["pi_3MtwBwLkdIwHu7ix28a3tqPa", "pi_123456789012345678901234", "re_1Nispe2eZvKYlo2Cd31jOCgZ"]
        for id in ids[::2]:
            assert self.mapping.charge({**INTENT, "id": id}).charge_id == id  # type: ignore[union-attr]


WAITING: dict[str, Any] = INTENT | {
    "status": "requires_action",
    "latest_charge": None,
    "next_action": {"type": "redirect_to_url", "redirect_to_url": {"url": "https://hooks.stripe.com/3d?a=b&c=d"}},
}
FAILED: dict[str, Any] = INTENT | {
    "status": "requires_payment_method",
    "latest_charge": None,
    "last_payment_error": {"type": "invalid_request_error", "code": "payment_intent_authentication_failure"},
}
NOT_ANY_MORE = error("invalid_request_error", "payment_intent_unexpected_state")


class TestAuthentication:
    mapping = StripeMapping(minor_unit)

    @pytest.mark.parametrize(
        ("changes", "sent"),
        [
            ({"return_url": "https://a.example"}, {"return_url": "https://a.example"}),
            ({}, {"error_on_requires_action": True}),
            ({"return_url": "https://a.example", "three_d_secure": "none"}, {"error_on_requires_action": True}),
            (
                {"return_url": "https://a.example", "three_d_secure": "required", "exemption": "low_value"},
                {
                    "return_url": "https://a.example",
                    "payment_method_options": {"card": {"request_three_d_secure": "any"}},
                },
            ),
        ],
    )
    def test_the_customer_is_sent_to_stripe_if_there_is_a_way_back(self, changes: Any, sent: Any) -> None:
        always = ("payment_method_data", "capture_method", "expand")
        request = self.mapping.confirmation_request(order(**changes), card(), capture=True, sends_ids=True)
        assert {name: value for name, value in request.items() if name not in always} == sent

    def test_an_intent_that_waits_says_where_to_send_the_customer(self) -> None:
        charge = self.mapping.charge(WAITING)
        assert charge
        assert (charge.status, charge.redirect_url) == ("action_required", "https://hooks.stripe.com/3d?a=b&c=d")
        only_by_script = self.mapping.charge(WAITING | {"next_action": {"type": "use_stripe_sdk"}})
        assert only_by_script
        assert (only_by_script.status, only_by_script.redirect_url) == ("action_required", None)

    @pytest.mark.parametrize(
        "url",
        ["javascript:alert(1)", "http://shop.example", "https://a b", "//a.example", "", None, 5, ["https://a.b"]],
    )
    def test_an_address_that_is_none_is_no_answer(self, url: Any) -> None:
        action = {"type": "redirect_to_url", "redirect_to_url": {"url": url}}
        with pytest.raises(GatewayOutcomeUnknown):
            self.mapping.charge(WAITING | {"next_action": action})

    @pytest.mark.parametrize(
        ("result", "ours"),
        [
            ("authenticated", Authentication("authenticated", "2.2.0")),
            ("attempt_acknowledged", Authentication("attempted", "2.2.0")),
            ("exempted", Authentication("exempt", "2.2.0")),
            ("failed", Authentication("failed", "2.2.0")),
            *[(other, None) for other in ("data_share_only", "not_supported", "processing_error", None, PAN)],
        ],
    )
    def test_a_charge_shows_how_its_customer_was_authenticated(self, result: Any, ours: Authentication | None) -> None:
        def authentication_of(**three_d_secure: Any) -> Authentication | None:
            card = PAID["payment_method_details"]["card"] | {"three_d_secure": three_d_secure}
            charge = self.mapping.charge(INTENT | {"latest_charge": PAID | {"payment_method_details": {"card": card}}})
            assert charge
            return charge.authentication

        assert authentication_of(result=result, version="2.2.0") == ours
        assert authentication_of(result="authenticated", version=PAN) == Authentication("authenticated")

    def test_a_customer_who_has_failed_can_try_no_other_card(self) -> None:
        canceled = FAILED | {"status": "canceled", "cancellation_reason": "requested_by_customer"}
        canceled["last_payment_error"] = None
        gateway, script = scripted((200, FAILED), (200, canceled))
        declined = gateway.find("pi_3Qabc")
        assert declined
        assert (declined.decline_code, declined.authentication) == ("authentication_failed", Authentication("failed"))
        assert script.requests[1].path_url == "/v1/payment_intents/pi_3Qabc/cancel"
        assert script.form(1)["cancellation_reason"] == "requested_by_customer"

    def test_nor_one_whose_card_was_declined_afterwards(self) -> None:
        charge = {**PAID, "status": "failed", "failure_code": "card_declined", "outcome": {"reason": "lost_card"}}
        failed = FAILED | {"latest_charge": charge, "last_payment_error": {"decline_code": "lost_card"}}
        canceled = failed | {"status": "canceled", "last_payment_error": None}
        gateway, script = scripted((200, failed), (200, canceled))
        assert gateway.find("pi_3Qabc").decline_code == "lost_card"  # type: ignore[union-attr]
        assert "cancellation_reason" not in script.form(1)

    def test_whoever_tried_another_card_before_has_paid(self) -> None:
        gateway, _ = scripted(
            *((200, FAILED), (400, NOT_ANY_MORE), (200, INTENT)), (200, {"data": [], "has_more": False})
        )
        assert gateway.find("pi_3Qabc").status == "captured"  # type: ignore[union-attr]

    def test_what_can_be_canceled_no_more_is_looked_at_again(self) -> None:
        nothing = (200, {"data": [], "has_more": False})
        gateway, _ = scripted((200, WAITING), (400, NOT_ANY_MORE), (200, INTENT), nothing)
        assert gateway.cancel_authentication("pi_3Qabc").status == "captured"
        gateway, _ = scripted((200, WAITING), (400, NOT_ANY_MORE), (200, WAITING))
        with pytest.raises(GatewayOutcomeUnknown):
            gateway.cancel_authentication("pi_3Qabc")

    def test_what_is_held_is_not_canceled(self) -> None:
        gateway, script = scripted((200, INTENT | {"status": "requires_capture"}))
        assert gateway.cancel_authentication("pi_3Qabc").status == "authorized"
        assert [each.method for each in script.requests] == ["GET"]

    def test_an_authorization_that_the_customer_won_from_the_cancellation_is_voided(self) -> None:
        gateway, _ = scripted(
            (200, WAITING), (200, INTENT | {"status": "canceled", "cancellation_reason": "abandoned"})
        )
        assert gateway.cancel_authentication("pi_3Qabc").status == "voided"

    def test_a_status_that_is_none_is_no_answer(self) -> None:
        gateway, _ = scripted((200, {"id": "pi_3Qabc"}))
        with pytest.raises(GatewayOutcomeUnknown):
            gateway.cancel_authentication("pi_3Qabc")


class TestAmounts:
    mapping = StripeMapping(minor_unit)

    @pytest.mark.parametrize(
        ("minor", "currency", "amount"),
        [
            (1999, "USD", 1999),
            (500, "JPY", 500),
            (5, "ISK", 500),
            (5, "UGX", 500),
            (500, "MGA", 5),
            (5120, "KWD", 5120),
            (1045, "HUF", 1045),
            (1045, "TWD", 1045),
        ],
    )
    def test_amounts_are_converted_there_and_back(self, minor: int, currency: str, amount: int) -> None:
        assert self.mapping.amount(minor, currency) == amount
        assert self.mapping.amounts.to_minor(amount, currency) == minor

    @pytest.mark.parametrize(("minor", "currency"), [(5124, "KWD"), (501, "MGA")])
    def test_what_stripe_would_round_is_refused(self, minor: int, currency: str) -> None:
        with pytest.raises(GatewayRefused):
            self.mapping.amount(minor, currency)

    @pytest.mark.parametrize(("minor", "currency"), [(5124, "KWD"), (100_000_000, "USD")])
    def test_nothing_is_left_to_reverse_of_an_amount_that_stripe_does_not_take(
        self, stripe: Stripe, minor: int, currency: str
    ) -> None:
        too_much = order(reference := new_id(), amount_minor=minor, currency=currency)
        with pytest.raises(GatewayRefused):
            stripe.charge(too_much, card(), f"{reference}-charge")
        assert stripe.find_by_reference(too_much) is None
        assert stripe.reverse(too_much) == Reversal("tombstoned", None)

    @pytest.mark.parametrize(("minor", "currency"), [(1005, "KWD"), (12345, "MGA")])
    def test_nothing_is_asked_for_an_operation_on_what_stripe_would_round(self, minor: int, currency: str) -> None:
        gateway, script = scripted()
        assert gateway.capture("pi_3Qabc", minor, currency, "key") == Refused("amount_not_supported")
        assert gateway.refund("pi_3Qabc", minor, currency, "op-1", "key") == Refused("amount_not_supported")
        assert script.requests == []

    @pytest.mark.parametrize("code", ["amount_too_small", "amount_too_large"])
    @pytest.mark.parametrize(
        ("status", "capturable", "expected"),
        [
            ("requires_capture", 1999, "amount_not_supported"),
            ("requires_capture", 9, "amount_exceeds_authorized"),
            ("canceled", 0, "invalid_state"),
        ],
    )
    def test_a_capture_that_stripe_refuses_for_its_amount_is_refused_if_the_intent_would_allow_it(
        self, code: str, status: str, capturable: int, expected: Refusal
    ) -> None:
        intent = INTENT | {"status": status, "amount_capturable": capturable}
        gateway, _ = scripted((400, error("invalid_request_error", code)), (200, intent))
        assert gateway.capture("pi_3Qabc", 10, "USD", "key") == Refused(expected)

    @pytest.mark.parametrize("code", ["amount_too_small", "amount_too_large"])
    @pytest.mark.parametrize(("left", "expected"), [(10, "amount_not_supported"), (9, "amount_exceeds_captured")])
    def test_a_refund_that_stripe_refuses_for_its_amount_is_refused_if_so_much_is_left(
        self, code: str, left: int, expected: Refusal
    ) -> None:
        shown = (200, INTENT), (200, {"data": [REFUND | {"amount": 1999 - left}], "has_more": False})
        gateway, _ = scripted(*shown, (400, error("invalid_request_error", code)), *shown)
        assert gateway.refund("pi_3Qabc", 10, "USD", "op-2", "key") == Refused(expected)

    def test_an_operation_that_stripe_refuses_for_another_reason_is_an_error(self) -> None:
        refused = 400, error("invalid_request_error")
        gateway, _ = scripted(refused, (200, INTENT | {"status": "requires_capture", "amount_capturable": 1999}))
        with pytest.raises(GatewayRefused):
            gateway.capture("pi_3Qabc", 10, "USD", "key")
        shown: Any = (200, INTENT), (200, {"data": [], "has_more": False})
        gateway, _ = scripted(*shown, refused, *shown)
        with pytest.raises(GatewayRefused):
            gateway.refund("pi_3Qabc", 10, "USD", "op-2", "key")

    @pytest.mark.parametrize("changes", [{"currency": "us"}, {"currency": "isk", "amount": 150}])
    def test_an_amount_that_is_none_is_a_mismatch(self, changes: Any) -> None:
        with pytest.raises(GatewayMismatch):
            self.mapping.charge({**INTENT, **changes})


PAYOUT: dict[str, Any] = {
    "id": "po_1",
    "status": "paid",
    "reconciliation_status": "completed",
    "amount": 100,
    "arrival_date": SECONDS,
}


@pytest.fixture(scope="module")
def own_url() -> Iterator[str]:
    """A double whose clock a test may move."""
    with running_stripe(API_KEY) as url:
        yield url


class TestSettlement:
    def test_a_movement_is_reported_on_its_day_and_again_when_it_is_paid(self, own_url: str) -> None:
        gateway = stripe_at(own_url)
        references = [new_id() for _ in range(3)]
        charges = [gateway.charge(order(each), card(), f"{each}-charge") for each in references]
        gateway.refund(charges[0].charge_id, 500, "USD", "op-of-mine", "key")
        day = str(charges[0].captured_at)[:10]
        earned = pages(gateway, day)
        assert sorted((line.type, line.amount_minor, line.paid, line.refund_reference) for line in earned) == [
            *[("charge", 1999, False, None)] * 3,
            ("refund", -500, False, "op-of-mine"),
        ]
        assert {line.reference for line in earned} == set(references)
        clock = {"offset_seconds": 24 * 60 * 60}
        requests.post(f"{own_url}/sandbox/clock", json=clock, headers=AUTHORIZATION, timeout=5).raise_for_status()
        next_day = (date.fromisoformat(day) + timedelta(days=1)).isoformat()
        paid = pages(gateway, next_day)
        assert {replace(line, paid=False, settled_at="") for line in paid} == {
            replace(line, settled_at="") for line in earned
        }
        assert len(paid) == len(earned)
        assert all(line.paid and line.settled_at[:10] == next_day for line in paid)

    @pytest.mark.parametrize(
        "changes", [{"amount": 99}, {"status": "in_transit"}, {"reconciliation_status": "not_applicable"}, {"id": None}]
    )
    def test_a_payout_that_does_not_add_up_is_unreadable(self, changes: Any) -> None:
        nothing = {"data": [], "has_more": False}
        transaction = {"id": "txn_1", "type": "stripe_fee", "source": None, "amount": 100, "fee": 0, "net": 100}
        transaction |= {"currency": "usd", "created": SECONDS}
        gateway, _ = scripted(
            (200, nothing),
            (200, {"data": [PAYOUT | changes], "has_more": False}),
            (200, {"data": [transaction], "has_more": False}),
        )
        with pytest.raises((SettlementUnreadable, GatewayOutcomeUnknown)):
            gateway.settlement("2026-11-23", None, 100)


def pages(gateway: Stripe, day: str) -> list[SettlementLine]:
    """The lines of a day, two a page."""
    lines, page = list[SettlementLine](), None
    while True:
        part = gateway.settlement(day, page, 2)
        lines += part.lines
        page = part.next_page
        if page is None:
            return lines


class ReadRecorder(dict[str, Any]):
    """An object that notes which of its fields are read."""

    def __init__(self, fields: dict[str, Any], names: set[str]) -> None:
        super().__init__(fields)
        self._names = names

    def __getitem__(self, name: str) -> Any:
        self._names.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self._names.add(name)
        return super().get(name, default)


class TestNames:
    """Parameters and fields have the names of the SDK's types, which Stripe makes from its own specification."""

    mapping = StripeMapping(minor_unit)

    def test_the_version_is_the_sdks(self) -> None:
        assert sdk.api_version == API_VERSION

    def test_parameters(self) -> None:
        stored = [
            None,
            StoredCredential("initial", "customer"),
            StoredCredential("subsequent", "merchant", "recurring", "016153570198200"),
        ]
        parameter_names = names(sdk.params.PaymentIntentConfirmParams)
        options = names(sdk.params.PaymentIntentConfirmParamsPaymentMethodOptionsCard)
        for credential in stored:
            new_order = order(stored_credential=credential, return_url="https://a.example", three_d_secure="required")
            request = self.mapping.confirmation_request(new_order, card(), capture=True, sends_ids=True)
            assert request.keys() <= parameter_names
            # Enabled for an account by Stripe's support, and not in the SDK.
            assert request.get("payment_method_options", {"card": {}})["card"].keys() <= options | {"mit_exemption"}
        created = self.mapping.intent_request(order(description="d"))
        assert created.keys() <= names(sdk.params.PaymentIntentCreateParams)
        verified = self.mapping.verification_request("pay-1", card())
        assert verified.keys() <= names(sdk.params.SetupIntentCreateParams)

    def test_fields(self) -> None:
        read: dict[type, set[str]] = {
            each: set() for each in (sdk.PaymentIntent, sdk.Charge, sdk.Refund, sdk.Dispute, sdk.BalanceTransaction)
        }
        paid = ReadRecorder(PAID, read[sdk.Charge])
        intent = ReadRecorder(INTENT | {"latest_charge": paid}, read[sdk.PaymentIntent])
        withdrawal = ReadRecorder(WITHDRAWAL, read[sdk.BalanceTransaction])
        dispute = ReadRecorder(DISPUTE | {"balance_transactions": [withdrawal]}, read[sdk.Dispute])
        self.mapping.charge(intent, [ReadRecorder(REFUND, read[sdk.Refund])], [dispute])
        self.mapping.charge(ReadRecorder(WAITING, read[sdk.PaymentIntent]))
        failed = ReadRecorder(PAID | {"status": "failed", "failure_code": None, "outcome": None}, read[sdk.Charge])
        self.mapping.charge(INTENT | {"status": "canceled", "latest_charge": failed})
        transaction = {"id": "txn_1", "type": "charge", "amount": 1, "fee": 0, "net": 1, "currency": "usd"}
        transaction |= {
            "reporting_category": "charge",
            "created": SECONDS,
            "source": paid | {"payment_intent": intent, "metadata": {}},
        }
        list(self.mapping.lines([ReadRecorder(transaction, read[sdk.BalanceTransaction])], arrived=None))
        for kind, fields in read.items():
            assert fields
            assert fields <= names(kind)


def names(kind: Any) -> set[str]:
    return {name for each in kind.__mro__ for name in getattr(each, "__annotations__", {})} | set(
        getattr(kind, "__annotations__", {})
    )
