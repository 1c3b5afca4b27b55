"""The merchant's account at the double: localstripe's objects, with what Stripe knows and does beyond them.

localstripe owns the objects and their states. Kept here is what it has no place for (`_more`, by id), and what it
doesn't do at all: failed refunds, fees, payouts, search, expiry. Amounts are in Stripe's smallest unit of a currency.
"""

import json
import secrets
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from functions.shared.domain.times import iso
from tools.local.sandbox.challenge import Challenge, amount_for_people
from tools.local.stripe.cards import MESSAGES, Card
from tools.local.stripe.errors import StripeError, missing
from tools.local.stripe.localstripe import Localstripe, Refused

Object = dict[str, Any]

CONTRACT = json.loads(Path(__file__).with_name("contract.json").read_text())

_KINDS = {
    "pi": "payment_intent",
    "ch": "charge",
    "re": "refund",
    "txn": "balance_transaction",
    "po": "payout",
    "dp": "dispute",
    "seti": "setup_intent",
    "pm": "payment_method",
}
_ALL = "1000000"
_AUTHORIZED_FOR = timedelta(days=7)
DISPUTE_FEE = 1500
"""In Stripe it depends on the country."""

DISPUTE_OUTCOMES = ("open", "won", "lost")
_IN_HUNDREDTHS = ("isk", "ugx")
"""Counted in hundredths, though only whole units can be paid: https://docs.stripe.com/currencies (seen 2026-11-29)."""


_AUTHENTICATED = {
    "authentication_flow": "challenge",
    "electronic_commerce_indicator": "05",
    "exemption_indicator": None,
    "exemption_indicator_applied": None,
    "result": "authenticated",
    "result_reason": None,
    "transaction_id": "0cb1ad37-6b34-4d7a-8f37-3a5c8d1c1d9e",
    "version": "2.2.0",
}


class Account:
    """All operations are thread-safe and atomic."""

    def __init__(self, localstripe: Localstripe) -> None:
        self.offset = timedelta()
        self.report: Callable[[Object], object] | None = None
        """Is given each event, as Stripe sends it, while the account is locked."""
        self._localstripe = localstripe
        self._lock = threading.RLock()
        self._more: defaultdict[str, Object] = defaultdict(dict)
        self._cards: dict[str, Card] = {}
        """The card of each charge."""
        self._challenged: dict[str, tuple[Card, str | None]] = {}
        """The card that an intent's customer was last asked about, and where the customer goes then."""
        self._intents: list[str] = []
        self._forgotten: set[str] = set()
        self._refunds: dict[str, list[str]] = defaultdict(list)
        """A charge's refunds."""
        self._native: dict[str, Object] = {}
        """Objects as localstripe last returned them: it looks at all that it has to show a charge."""
        self._own: dict[str, Object] = {}
        """Disputes, payouts and balance transactions that localstripe doesn't make."""
        self._paid_out: dict[str, str] = {}
        """The payout of each balance transaction."""

    def now(self) -> int:
        """Return the account's time, in seconds since 1970."""
        return int((datetime.now(UTC) + self.offset).timestamp())

    # Objects

    def get(self, id: str) -> Object:
        """Return any object as Stripe shows it. Raises StripeError (`resource_missing`)."""
        with self._lock:
            prefix = id.partition("_")[0]
            if prefix not in _KINDS:
                raise missing("object", id)
            kind = _KINDS[prefix]
            if id in self._own:
                return self._own[id]
            try:
                native = self._native.get(id) or self._localstripe.get(f"{kind}s/{id}")
            except Refused as refused:
                raise missing(kind, id) from refused
            self._native[id] = native
            completed = getattr(self, f"_{kind}", lambda raw: raw)(native | self._more[id])
            return {name: value for name, value in completed.items() if name in CONTRACT["fields"][kind]}

    def _payment_intent(self, raw: Object) -> Object:
        charge = raw["latest_charge"] and self.get(raw["latest_charge"]["id"])
        return raw | {
            "next_action": raw["next_action"] if raw["status"] == "requires_action" else None,
            "latest_charge": charge and charge["id"],
            "amount_capturable": raw["amount"] if raw["status"] == "requires_capture" else 0,
            "amount_received": charge["amount_captured"] if charge and raw["status"] == "succeeded" else 0,
            "payment_method": None if raw["status"] == "requires_payment_method" else raw["payment_method"],
            "last_payment_error": self._more[raw["id"]].get("last_payment_error"),
        }

    def _charge(self, raw: Object) -> Object:
        refunds = [self.get(id) for id in self._refunds[raw["id"]]]
        refunded = sum(each["amount"] for each in refunds if each["status"] not in ("failed", "canceled"))
        captured = raw.get("amount_captured", 0)
        return raw | {"amount_refunded": refunded, "refunded": 0 < captured <= refunded}

    def _setup_intent(self, raw: Object) -> Object:
        return raw | {"payment_method": raw["payment_method"] if raw["status"] != "requires_payment_method" else None}

    def all(self, kind: str) -> list[Object]:
        """Return all objects of a kind, the newest first."""
        with self._lock:
            if kind in ("payout", "balance_transaction"):
                self._pay_out()
            ids = {
                "payment_intent": self._intents,
                "charge": self._cards,
                "refund": [id for refunds in self._refunds.values() for id in refunds],
                "balance_transaction": self._transactions() if kind == "balance_transaction" else [],
            }.get(kind, [])
            own = [id for id, each in self._own.items() if each["object"] == kind]
            objects = [self.get(id) for id in [*ids, *own]]
            return [
                each
                for _, each in sorted(enumerate(objects), key=lambda item: (item[1]["created"], item[0]), reverse=True)
            ]

    def search(self, payment_id: str) -> list[Object]:
        """Return the intents with this `metadata.payment_id`, the newest first."""
        with self._lock:
            intents = [self.get(id) for id in reversed(self._intents) if id not in self._forgotten]
            return [each for each in intents if each["metadata"].get("payment_id") == payment_id]

    def reference(self, id: str) -> str:
        """Return the `metadata.payment_id` of an intent, or of the intent of a charge or refund."""
        with self._lock:
            found = self.get(id)
            metadata = (self.get(found["payment_intent"]) if found.get("payment_intent") else found)["metadata"]
            return str(metadata.get("payment_id", ""))

    def payout_of(self, transaction_id: str) -> str | None:
        """Return the payout that a balance transaction is part of."""
        return self._paid_out.get(transaction_id)

    # Payments

    def create(self, amount: int, currency: str, capture_method: str = "automatic_async", **more: Any) -> Object:
        """Create an unconfirmed PaymentIntent."""
        with self._lock:
            intent = self._post(
                "payment_intents",
                amount=amount,
                currency=currency,
                capture_method=capture_method,
                metadata=more.pop("metadata", {}),
            )
            self._more[intent["id"]] = {
                "created": self.now(),
                "cancellation_reason": None,
                "canceled_at": None,
                "description": more.get("description"),
                "payment_method_types": more.get("allowed_payment_method_types", ["card"]),
                "confirmation_method": "automatic",
                "setup_future_usage": more.get("setup_future_usage"),
                "last_payment_error": None,
            }
            self._intents.append(intent["id"])
            return self._change(intent["id"], "created")

    def confirm(
        self,
        id: str,
        card: Card,
        *,
        off_session: bool = False,
        refuse_action: bool = False,
        three_d_secure: str = "automatic",
        return_url: str | None = None,
        challenges: str = "",
        **more: Any,
    ) -> Object:
        """Confirm an intent with a card. Raises StripeError: a decline, or an intent that is past this.

        With a `return_url`, a customer who has to be authenticated is sent to the page of the challenges, whose URL is
        `challenges` and the intent's id.
        """
        with self._lock:
            intent = self._in_state(
                id, "confirm", "requires_payment_method", "requires_confirmation", "requires_action"
            )
            authenticated = card.is_authenticated(on_request=three_d_secure in ("any", "challenge"))
            method = self._method(card, authenticated=authenticated)
            overrides = {name: more[name] for name in ("capture_method",) if more.get(name)}
            self._post(
                f"payment_intents/{id}", payment_method=method, latest_charge=None, next_action=None, **overrides
            )
            self._more[id] |= {name: more[name] for name in ("setup_future_usage",) if more.get(name)}
            self._more[id] |= {"last_payment_error": None, "next_action": None, "authentication": None}
            self._challenged.pop(id, None)
            if authenticated and (off_session or refuse_action):
                self._post(f"payment_intents/{id}", payment_method=None)
                raise self._declined(intent, method, "authentication_required", "authentication_required", None)
            if authenticated:
                self._post(f"payment_intents/{id}/confirm")
                self._challenged[id] = card, return_url
                redirect = {"redirect_to_url": {"url": challenges + id, "return_url": return_url}}
                self._more[id]["next_action"] = (
                    {"type": "redirect_to_url", **redirect} if return_url else {"type": "use_stripe_sdk"}
                )
                return self._change(id, "requires_action")
            return self._charge_card(intent, method, card, "confirm")

    def challenge(self, id: str) -> Challenge | None:
        """Find what an intent's customer is or was asked."""
        with self._lock:
            if id not in self._challenged:
                return None
            intent, (card, return_url) = self.get(id), self._challenged[id]
            amount = amount_for_people(intent["amount"], intent["currency"].upper())
            return Challenge(amount, card.last4, return_url, intent["status"] == "requires_action")

    def authenticate(self, id: str, *, passed: bool) -> Object:
        """Let the customer pass or fail the challenge; a decline afterwards is no error. Raises StripeError."""
        with self._lock:
            intent = self._in_state(id, "authenticate", "requires_action")
            method, answer = intent["payment_method"], {"client_secret": intent["client_secret"], "success": passed}
            self._more[id]["authentication"] = {
                "result": "authenticated" if passed else "failed",
                "version": "2.2.0",
                "liability_shift": passed,
            }
            if passed:
                with suppress(StripeError):
                    self._charge_card(intent, method, self._challenged[id][0], "_authenticate", **answer)
            else:
                self._post(f"payment_intents/{id}/_authenticate", **answer)
                code = "payment_intent_authentication_failure"
                self._declined(intent, method, code, None, None, type="invalid_request_error")
            return self.get(id)

    def _charge_card(self, intent: Object, method: str, card: Card, verb: str, **body: Any) -> Object:
        """Let localstripe make the charge, by this call for the intent."""
        try:
            raw = self._post(f"payment_intents/{intent['id']}/{verb}", **body)
        except Refused as refused:
            charge = refused.error["charge"]
            self._note_charge(intent, charge, card, captured=0)
            code, decline_code = card.decline or ("card_declined", "generic_decline")
            self._more[charge] |= {"failure_code": code, "failure_message": MESSAGES[code]}
            self._more[charge]["outcome"] = {"type": "issuer_declined", "reason": decline_code}
            raise self._declined(intent, method, code, decline_code, charge) from refused
        captured = raw["amount"] if raw["status"] == "succeeded" else 0
        self._note_charge(intent, raw["latest_charge"]["id"], card, captured)
        return self._change(intent["id"], "succeeded" if captured else "amount_capturable_updated")

    def capture(self, id: str, amount: int | None = None) -> Object:
        """Capture what was authorized, or a part of it: https://docs.stripe.com/payments/place-a-hold-on-a-payment-method."""
        with self._lock:
            intent = self._in_state(id, "capture", "requires_capture")
            amount = intent["amount"] if amount is None else amount
            if amount > intent["amount"]:
                message = "The amount to capture is greater than the amount that can be captured."
                raise StripeError(400, message, code="amount_too_large", param="amount_to_capture")
            charge = intent["latest_charge"]
            # With a part, localstripe would refund the rest, where Stripe releases it.
            self._post(f"charges/{charge}", amount=amount)
            self._post(f"payment_intents/{id}/capture")
            self._note_capture(charge, amount)
            return self._change(id, "succeeded")

    def cancel(self, id: str, reason: str | None = None) -> Object:
        """Cancel an intent for good, and release what it holds."""
        with self._lock:
            intent = self._in_state(
                id, "cancel", "requires_payment_method", "requires_capture", "requires_confirmation", "requires_action"
            )
            if intent["status"] == "requires_action":
                self._more[id]["declined"] = "authentication_expired"
            self._post(f"payment_intents/{id}/cancel")
            self._more[id] |= {"cancellation_reason": reason, "canceled_at": self.now(), "last_payment_error": None}
            return self._change(id, "canceled")

    def expire(self, id: str) -> Object:
        """Let an authorization expire: https://docs.stripe.com/payments/place-a-hold-on-a-payment-method."""
        with self._lock:
            self._in_state(id, "expire", "requires_capture")
            return self.cancel(id, "automatic")

    def refund(self, id: str, amount: int | None = None, status: str = "succeeded", **more: Any) -> Object:
        """Refund a charge or an intent, in full or in part, but never more than is left.

        A refund's balance transaction is made with it, whatever its status.
        """
        with self._lock:
            charge_id = id if id.startswith("ch_") else self.get(id)["latest_charge"]
            charge = charge_id and self.get(charge_id)
            if not charge or not charge["captured"] or charge["status"] != "succeeded":
                raise StripeError(400, "This PaymentIntent does not have a successful charge to refund.")
            if any(each["status"] != "won" for each in self._disputes_of(charge["id"])):
                raise StripeError(400, f"Charge {charge_id} has been charged back.", code="charge_disputed")
            refundable = charge["amount_captured"] - charge["amount_refunded"]
            if not refundable:
                message = f"Charge {charge_id} has already been refunded."
                raise StripeError(400, message, code="charge_already_refunded")
            amount = refundable if amount is None else amount
            if amount > refundable:
                raise StripeError(
                    400,
                    f"Refund amount ({amount}) is greater than unrefunded amount on charge ({refundable})",
                    param="amount",
                )
            new_refund = self._post("refunds", charge=charge_id, amount=amount, metadata=more.get("metadata", {}))
            self._refunds[charge_id].append(new_refund["id"])
            pending = status == "pending" or self._cards[charge_id].refund_stays_pending
            self._more[new_refund["id"]] = {
                "created": self.now(),
                "payment_intent": charge["payment_intent"],
                "reason": more.get("reason"),
                "status": "pending" if pending else "succeeded",
            }
            self._more[new_refund["balance_transaction"]] = {"created": self.now()}
            self._change(new_refund["id"], "created")
            return self.fail_refund(new_refund["id"]) if status == "failed" else self.get(new_refund["id"])

    def succeed_refund(self, id: str) -> Object:
        """Let a pending refund succeed."""
        with self._lock:
            if self.get(id)["status"] != "pending":
                raise StripeError(400, "Only a pending refund can succeed.")
            self._more[id]["status"] = "succeeded"
            return self._change(id, "updated")

    def fail_refund(self, id: str) -> Object:
        """Let a refund fail, even one that had succeeded, and give the money back to the account:
        https://docs.stripe.com/refunds#failed-refunds.
        """
        with self._lock:
            refund = self.get(id)
            if refund["status"] not in ("pending", "succeeded"):
                raise StripeError(400, "This refund has ended.")
            transaction = self._transact("refund_failure", "refund_failure", refund["amount"], refund["currency"], id)
            self._more[id] |= {
                "status": "failed",
                "failure_reason": "unknown",
                "failure_balance_transaction": transaction,
            }
            return self._change(id, "failed")

    def dispute(self, id: str, outcome: str, amount: int | None, reason: str) -> None:
        """Let the cardholder dispute an intent's charge, or a part of it; or let the bank decide the oldest open one,
        which is opened first if there is none."""
        with self._lock:
            intent = self._in_state(id, "dispute", "succeeded")
            disputes = self._disputes_of(intent["latest_charge"])
            open_dispute = next((each for each in disputes if each["status"] == "needs_response"), None)
            if outcome == "open" or open_dispute is None:
                open_dispute = self._open_dispute(intent, amount, reason)
            if outcome != "open":
                self._end_dispute(open_dispute, outcome)

    def _open_dispute(self, intent: Object, amount: int | None, reason: str) -> Object:
        """The account loses the money, and a fee."""
        charge = self.get(intent["latest_charge"])
        disputable = charge["amount_captured"] - charge["amount_refunded"]
        disputable -= sum(each["amount"] for each in self._disputes_of(charge["id"]) if each["status"] != "won")
        amount = disputable if amount is None else amount
        if not 0 < amount <= disputable:
            raise StripeError(422, "The amount is more than is left of what was captured.")
        self._more[charge["id"]]["disputed"] = True
        dispute_id = f"dp_{secrets.token_hex(7)}"
        dispute = self._own[dispute_id] = {
            "id": dispute_id,
            "object": "dispute",
            "amount": amount,
            "balance_transactions": [],
            "charge": charge["id"],
            "created": self.now(),
            "currency": charge["currency"],
            "is_charge_refundable": False,
            "livemode": False,
            "metadata": {},
            "payment_intent": intent["id"],
            "reason": reason,
            "status": "needs_response",
        }
        self._changed("charge.dispute.created", dispute)
        return self._move_disputed(dispute_id, "dispute", -amount, "charge.dispute.funds_withdrawn", DISPUTE_FEE)

    def _end_dispute(self, dispute: Object, outcome: str) -> None:
        """https://docs.stripe.com/disputes/how-disputes-work (seen 2026-11-29)."""
        id = dispute["id"]
        self._own[id] = dispute | {"status": outcome}
        self._changed("charge.dispute.closed", self._own[id])
        if outcome == "won":
            self._move_disputed(id, "dispute_reversal", dispute["amount"], "charge.dispute.funds_reinstated", 0)

    def _move_disputed(self, id: str, category: str, amount: int, event: str, fee: int) -> Object:
        dispute = self._own[id]
        transaction = self._own[self._transact("adjustment", category, amount, dispute["currency"], id)]
        transaction |= {"fee": fee, "net": amount - fee}
        self._own[id] = dispute | {"balance_transactions": [*dispute["balance_transactions"], transaction]}
        self._changed(event, self._own[id])
        return self._own[id]

    def _disputes_of(self, charge_id: str) -> list[Object]:
        return [each for each in self._own.values() if each["object"] == "dispute" and each["charge"] == charge_id]

    def forget(self, reference: str) -> None:
        """Let search no longer find the intents with this `metadata.payment_id`."""
        with self._lock:
            self._forgotten |= {each["id"] for each in self.search(reference)}

    # Verifications

    def create_setup(self, **more: Any) -> Object:
        """Create an unconfirmed SetupIntent."""
        with self._lock:
            setup = self._post(
                "setup_intents", metadata=more.get("metadata", {}), usage=more.get("usage", "off_session")
            )
            self._more[setup["id"]] = {
                "created": self.now(),
                "last_setup_error": None,
                "description": more.get("description"),
            }
            return self._change(setup["id"], "created")

    def confirm_setup(self, id: str, card: Card) -> Object:
        """Ask whether the card is good. Raises StripeError for a decline."""
        with self._lock:
            method = self._method(card, authenticated=card.asks_for_authentication)
            if card.decline:
                code, decline_code = card.decline
                error = {"type": "card_error", "code": code, "decline_code": decline_code, "message": MESSAGES[code]}
                self._more[id]["last_setup_error"] = error
                raise StripeError(402, setup_intent=self._change(id, "setup_failed"), **error)
            confirmed = self._post(f"setup_intents/{id}/confirm", payment_method=method)
            return self._change(id, confirmed["status"])

    def cancel_setup(self, id: str, reason: str | None = None) -> Object:
        """Cancel a SetupIntent."""
        with self._lock:
            self._post(f"setup_intents/{id}/cancel")
            self._more[id]["cancellation_reason"] = reason
            return self._change(id, "canceled")

    # The sandbox's own view

    def charges(self) -> list[Object]:
        """Return every payment that was confirmed, the oldest first, in the shape of `Charge` in docs/sparkle.yaml."""
        with self._lock:
            intents = [self.get(id) for id in self._intents]
            return [
                self.summary(each)
                for each in intents
                if each["latest_charge"] or each["last_payment_error"] or each["id"] in self._challenged
            ]

    def summary(self, intent: Object) -> Object:
        """Return a payment in the shape of `Charge` in docs/sparkle.yaml."""
        charge = intent["latest_charge"] and self.get(intent["latest_charge"])
        refunds = [self.get(id) for id in self._refunds[charge["id"]]] if charge else []
        refunded = sum(each["amount"] for each in refunds if each["status"] == "succeeded")
        captured = charge["amount_captured"] if charge else 0
        waiting_or_held = {"requires_action": "action_required", "requires_capture": "authorized"}
        status = waiting_or_held.get(intent["status"], "declined")
        if intent["status"] == "succeeded":
            status = {0: "captured", captured: "refunded"}.get(refunded, "partially_refunded")
        elif intent["status"] == "canceled" and charge and charge["status"] == "succeeded":
            status = "voided"
        disputes = self._disputes_of(charge["id"]) if charge else []
        action = intent["next_action"] or {}
        card = charge["payment_method_details"]["card"] if charge else {}
        return {
            "id": intent["id"],
            "reference": intent["metadata"].get("payment_id"),
            "status": status,
            "amount_minor": intent["amount"],
            "currency": intent["currency"].upper(),
            "captured_minor": captured,
            "refunded_minor": refunded,
            "refunds": [
                {
                    "id": each["id"],
                    "refund_reference": each["metadata"].get("refund_reference"),
                    "status": each["status"],
                    "amount_minor": each["amount"],
                    "created_at": _iso(each["created"]),
                }
                for each in refunds
            ],
            "disputed_minor": sum(each["amount"] for each in disputes if each["status"] != "won"),
            "disputes": [
                {
                    "id": each["id"],
                    "status": each["status"].replace("needs_response", "open"),
                    "amount_minor": each["amount"],
                    "reason": each["reason"],
                    "opened_at": _iso(each["created"]),
                    "ended_at": _iso(each["balance_transactions"][-1]["created"]) if each["status"] == "won" else None,
                }
                for each in disputes
            ],
            "fee_minor": self.get(charge["balance_transaction"])["fee"] if captured else None,
            "card_brand": card.get("brand"),
            "card_last4": card.get("last4"),
            "decline_code": self._more[intent["id"]].get("declined") if status == "declined" else None,
            "void_reason": "expired" if intent["cancellation_reason"] == "automatic" else None,
            "created_at": _iso(intent["created"]),
            "captured_at": charge and _iso(self._more[charge["id"]].get("captured_at")),
            "expires_at": _iso(card.get("capture_before")),
            "network_transaction_id": card.get("network_transaction_id"),
            "stored_credential": None,
            "next_action": {"redirect_url": action["redirect_to_url"]["url"]} if "redirect_to_url" in action else None,
            "authentication": self._more[intent["id"]].get("authentication"),
        }

    # Parts

    def _post(self, path: str, **body: Any) -> Object:
        for id in path.split("/"):
            self._native.pop(id, None)
        return self._localstripe.post(path, **body)

    def _change(self, id: str, change: str) -> Object:
        changed = self.get(id)
        self._changed(f"{changed['object']}.{change}", changed)
        return changed

    def _changed(self, type: str, about: Object) -> None:
        """Report an event: https://docs.stripe.com/api/events/object (seen 2026-11-29)."""
        if self.report is None:
            return
        self.report(
            {
                "id": f"evt_{secrets.token_hex(7)}",
                "object": "event",
                "api_version": CONTRACT["api_version"],
                "created": self.now(),
                "data": {"object": about},
                "livemode": False,
                "pending_webhooks": 1,
                "type": type,
            }
        )

    def _in_state(self, id: str, verb: str, *states: str) -> Object:
        intent = self.get(id)
        if intent["status"] not in states:
            raise StripeError(
                400,
                f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}. "
                f"Only a PaymentIntent with one of the following statuses may be used: {', '.join(states)}.",
                code="payment_intent_unexpected_state",
                payment_intent=intent,
            )
        return intent

    def _method(self, card: Card, *, authenticated: bool) -> str:
        """Make a payment method at localstripe, without the card's own number."""
        number = card.stand_in(authenticated=authenticated)
        stand_in = {"number": number, "exp_month": card.exp_month, "exp_year": card.exp_year, "cvc": "123"}
        payment_method = self._post("payment_methods", type="card", card=stand_in)
        self._more[payment_method["id"]] = {
            "card": payment_method["card"]
            | {"brand": card.brand, "last4": card.last4, "checks": {"cvc_check": card.cvc_check}}
        }
        return str(payment_method["id"])

    def _note_charge(self, intent: Object, charge: str, card: Card, captured: int) -> None:
        authorized = not card.decline and not captured
        self._cards[charge] = card
        self._more[charge] = {
            "created": self.now(),
            "amount": intent["amount"],
            "amount_captured": 0,
            "captured": False,
            "metadata": intent["metadata"],
            "description": intent["description"],
            "disputed": False,
            "payment_method_details": {
                "type": "card",
                "card": {
                    "brand": card.brand,
                    "last4": card.last4,
                    "exp_month": card.exp_month,
                    "exp_year": card.exp_year,
                    "checks": {"cvc_check": card.cvc_check},
                    "capture_before": self.now() + int(_AUTHORIZED_FOR.total_seconds()) if authorized else None,
                    "network_transaction_id": None
                    if card.decline
                    else "".join(secrets.choice("0123456789") for _ in range(15)),
                    # A charge is made of an intent whose customer was asked only once the customer has passed.
                    "three_d_secure": _AUTHENTICATED if intent["id"] in self._challenged else None,
                },
            },
        }
        if captured:
            self._note_capture(charge, captured)

    def _note_capture(self, charge: str, amount: int) -> None:
        self._more[charge] |= {"amount_captured": amount, "captured": True, "captured_at": self.now()}
        transaction = self._localstripe.get(f"charges/{charge}")["balance_transaction"]
        fee = _fee(amount, self.get(charge)["currency"])
        self._more[transaction] = {
            "created": self.now(),
            "fee": fee,
            "net": amount - fee,
            "fee_details": [{"amount": fee, "type": "stripe_fee", "description": "Stripe processing fees"}],
        }

    def _declined(
        self,
        intent: Object,
        method: str,
        code: str,
        decline_code: str | None,
        charge: str | None,
        type: str = "card_error",
    ) -> StripeError:
        error: Object = {
            "type": type,
            "code": code,
            "decline_code": decline_code,
            "message": MESSAGES[code],
            "charge": charge,
        }
        error |= {"payment_method": self.get(method)}
        self._more[intent["id"]] |= {"last_payment_error": error, "declined": decline_code or "authentication_failed"}
        return StripeError(402, payment_intent=self._change(intent["id"], "payment_failed"), **error)

    def _transact(self, type: str, category: str, amount: int, currency: str, source: str) -> str:
        id = f"txn_{secrets.token_hex(7)}"
        self._own[id] = {
            "id": id,
            "object": "balance_transaction",
            "amount": amount,
            "available_on": self.now(),
            "created": self.now(),
            "currency": currency,
            "description": None,
            "exchange_rate": None,
            "fee": 0,
            "fee_details": [],
            "net": amount,
            "reporting_category": category,
            "source": source,
            "status": "available",
            "type": type,
        }
        return id

    def _transactions(self) -> list[str]:
        return [each["id"] for each in self._localstripe.get("balance_transactions", limit=_ALL)["data"]]

    def _pay_out(self) -> None:
        """Pay out what each day before today has earned, on the morning after it, as automatic payouts do."""
        ids = self._transactions()
        ids += [id for id, each in self._own.items() if each["object"] == "balance_transaction"]
        due: defaultdict[tuple[int, str], list[Object]] = defaultdict(list)
        for each in (self.get(id) for id in ids if id not in self._paid_out):
            morning = (each["created"] // 86_400 + 1) * 86_400
            if morning <= self.now():
                due[morning, each["currency"]].append(each)
        for (morning, currency), transactions in sorted(due.items(), key=lambda item: item[0]):
            amount = sum(each["net"] for each in transactions)
            payout = f"po_{secrets.token_hex(7)}"
            transaction = self._transact("payout", "payout", -amount, currency, payout)
            self._own[transaction] |= {"created": morning, "available_on": morning}
            self._own[payout] = {
                "id": payout,
                "object": "payout",
                "amount": amount,
                "arrival_date": morning,
                "automatic": True,
                "balance_transaction": transaction,
                "created": morning,
                "currency": currency,
                "livemode": False,
                "metadata": {},
                "method": "standard",
                "reconciliation_status": "completed",
                "status": "paid",
                "type": "bank_account",
            }
            self._paid_out |= dict.fromkeys([*(each["id"] for each in transactions), transaction], payout)
            self._changed("payout.paid", self._own[payout])


def _fee(amount: int, currency: str) -> int:
    """Return 2.9 % of the amount, rounded half up."""
    smallest = 100 if currency in _IN_HUNDREDTHS else 1
    return (amount * 29 + 500 * smallest) // (1000 * smallest) * smallest


def _iso(seconds: int | None) -> str | None:
    return None if seconds is None else iso(datetime.fromtimestamp(seconds, UTC))
