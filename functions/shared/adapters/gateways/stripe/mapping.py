"""The conversion between Stripe's objects and the domain. A charge of ours is a PaymentIntent of Stripe's."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from functions.shared.adapters.gateways.reading import (
    Amounts,
    network_transaction_id,
    present,
    protocol_version,
    redirect_url,
    text,
)
from functions.shared.adapters.gateways.stripe import MINOR_UNITS
from functions.shared.adapters.gateways.stripe.declines import decline_code
from functions.shared.domain.card import Card
from functions.shared.domain.charge import (
    AUTHENTICATION_EXPIRED,
    AUTHENTICATION_FAILED,
    Authentication,
    Charge,
    ChargeStatus,
    Order,
    Refund,
    RefundStatus,
    Verification,
)
from functions.shared.domain.dispute import Dispute, DisputeReason
from functions.shared.domain.errors import GatewayMismatch, GatewayOutcomeUnknown, GatewayRefused, SettlementUnreadable
from functions.shared.domain.settlement import LineType, SettlementLine
from functions.shared.domain.shapes import is_code, is_gateway_id
from functions.shared.domain.times import iso

NAME = "stripe"

Object = dict[str, Any]

EXPAND = ("latest_charge.balance_transaction",)
"""What an intent must contain to be read as a charge."""

NOT_AUTHENTICATED: Mapping[str | None, str] = {
    "abandoned": AUTHENTICATION_EXPIRED,
    "requested_by_customer": AUTHENTICATION_FAILED,
}
"""The decline code of an intent without a charge by its cancellation reason, as `cancellation` gives it."""

AUTHENTICATIONS: Mapping[str, Literal["authenticated", "attempted", "exempt", "failed"]] = {
    "authenticated": "authenticated",
    "attempt_acknowledged": "attempted",
    "exempted": "exempt",
    "failed": "failed",
}
"""Our word for the `result` of `three_d_secure` in a charge's card. With any other there was no authentication."""

REFUND_STATUSES: dict[str, RefundStatus] = {
    "pending": "pending",
    "requires_action": "pending",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "failed",
}

LINE_TYPES: dict[str, LineType] = {
    "charge": "charge",
    "payment": "charge",
    "refund": "refund",
    "payment_refund": "refund",
    "refund_failure": "refund_failed",
    "payment_failure_refund": "refund_failed",
}

ADJUSTMENTS: dict[str, LineType] = {"dispute": "dispute", "dispute_reversal": "dispute_reversal"}
"""Of a transaction whose type is `adjustment`, the reporting category says more:
https://docs.stripe.com/reports/reporting-categories (seen 2026-11-29)."""

_ID = re.compile("[a-z]{2,12}_[A-Za-z0-9_]{3,60}")


class StripeMapping:
    """Reads and writes Stripe's objects.

    A text that is not as documented is read as REDACTED; an invalid currency or amount raises GatewayMismatch. This
    holds for ids, too, although their random letters and digits could look like a card number: of Stripe's ids of 24
    characters, fewer than one in a billion has as many digits in a row as a card number has.
    """

    def __init__(self, iso_minor_unit: Callable[[str], int | None]) -> None:
        self.amounts = Amounts("Stripe", iso_minor_unit, MINOR_UNITS)

    def amount(self, amount_minor: int, currency: str) -> int:
        """The amount as Stripe takes it. Raises GatewayRefused for one that it takes only rounded.

        Of three decimals, the last has to be 0: https://docs.stripe.com/currencies (seen 2026-11-29).
        """
        amount = self.amounts.to_gateway(amount_minor, currency)
        if self.amounts.decimals(currency) == 3 and amount % 10:
            raise GatewayRefused(f"Stripe takes only amounts of {currency} whose last digit is 0.")
        return amount

    def takes(self, amount_minor: int, currency: str) -> bool:
        """Whether Stripe takes the amount without rounding it."""
        try:
            self.amount(amount_minor, currency)
        except GatewayRefused:
            return False
        return True

    def intent_request(self, order: Order) -> Object:
        """The parameters of an intent that is not confirmed. They depend on the order's unchanging parts alone."""
        return present(
            {
                "amount": self.amount(order.amount_minor, order.currency),
                "currency": order.currency.lower(),
                "allowed_payment_method_types": ["card"],
                "description": order.description,
                "metadata": present({"payment_id": order.reference, "merchant_reference": order.merchant_reference}),
            }
        )

    def confirmation_request(self, order: Order, card: Card, *, capture: bool, sends_ids: bool) -> Object:
        """The parameters by which an intent is confirmed with the card."""
        stored = order.stored_credential
        options: Object = {}
        request: Object = {
            "payment_method_data": _payment_method(card),
            "capture_method": "automatic" if capture else "manual",
            "expand": list(EXPAND),
        }
        if stored and stored.initiator == "merchant":
            request["off_session"] = True
            options["stored_credential_usage"] = stored.reason
            if sends_ids and stored.previous_network_transaction_id:
                # Not in Stripe's reference, as it has to be enabled for an account; as in Shopify's active_merchant,
                # stripe_payment_intents.rb (seen 2026-11-29).
                options["mit_exemption"] = {"network_transaction_id": stored.previous_network_transaction_id}
        else:
            if order.three_d_secure == "required":
                options["request_three_d_secure"] = "any"
            if order.return_url and order.three_d_secure != "none":
                request["return_url"] = order.return_url
            else:
                # A customer who would have to be authenticated, and can't be asked, is declined.
                request["error_on_requires_action"] = True
        if stored and stored.use == "initial":
            request["setup_future_usage"] = "off_session"
        if options := present(options):
            request["payment_method_options"] = {"card": options}
        return request

    def verification_request(self, reference: str, card: Card) -> Object:
        """The parameters of a SetupIntent that is confirmed at once."""
        return {
            "confirm": True,
            "usage": "off_session",
            "allowed_payment_method_types": ["card"],
            "payment_method_data": _payment_method(card),
            "metadata": {"payment_id": reference},
        }

    def verification(self, intent: Object, error: object = None) -> Verification:
        """The verification by a SetupIntent, or by the error with which it was declined. Stripe doesn't disclose the
        network's id of a verification."""
        declined = decline_code(error) if error else None
        if intent.get("status") == "requires_action":
            declined = "authentication_required"
        elif not error and intent.get("status") != "succeeded":
            raise GatewayOutcomeUnknown("Stripe's answer does not say whether the card is good.")
        return Verification(text(_payment_id(intent), is_gateway_id), declined, None)

    def charge(self, intent: Object, refunds: Iterable[Object] = (), disputes: Iterable[Object] = ()) -> Charge | None:
        """The charge of an intent, or None if the intent was never confirmed or is being processed.

        The intent must be expanded by EXPAND; `refunds` and `disputes` are those of its latest charge.
        """
        try:
            return self._charge(intent, refunds, disputes)
        except (LookupError, TypeError, AttributeError, ValueError, OverflowError, OSError):
            raise GatewayOutcomeUnknown(
                "Stripe answered with an intent that is not as documented.", shown=True
            ) from None

    def _charge(self, intent: Object, refunds: Iterable[Object], disputes: Iterable[Object]) -> Charge | None:
        status, error = intent["status"], intent["last_payment_error"]
        paid = intent["latest_charge"] or {}
        approved = bool(paid) and paid["status"] == "succeeded"
        void_reason, captured_minor, address, declined = None, 0, None, None
        mapped_refunds: tuple[Refund, ...] = ()
        currency = intent["currency"].upper()
        our_status: ChargeStatus
        match status:
            case "succeeded" if approved:
                captured_minor = self.amounts.to_minor(paid["amount_captured"], currency)
                # What was authorized and not captured is released by a refund that moves no money.
                moved = (each for each in refunds if each["status"] != "succeeded" or each["balance_transaction"])
                mapped_refunds = tuple(self._refund(each, currency) for each in moved)
                refunded = sum(each.amount_minor for each in mapped_refunds if each.status == "succeeded")
                our_status = "captured" if not refunded else "partially_refunded"
                our_status = "refunded" if refunded >= captured_minor else our_status
            case "requires_capture" if approved:
                our_status = "authorized"
            case "canceled" if approved:
                our_status = "voided"
                void_reason = "expired" if intent["cancellation_reason"] in ("automatic", "expired") else None
            case "requires_action" if not approved:
                our_status, address = "action_required", _address(intent["next_action"])
            case "canceled" | "requires_payment_method" if error:
                our_status, declined = "declined", decline_code(error)
            case "canceled" if paid:
                reason = (paid["outcome"] or {}).get("reason")
                our_status, declined = "declined", decline_code({"decline_code": reason, "code": paid["failure_code"]})
            case "canceled" if intent["cancellation_reason"] in NOT_AUTHENTICATED:
                our_status, declined = "declined", NOT_AUTHENTICATED[intent["cancellation_reason"]]
            case "canceled" | "requires_payment_method" | "requires_confirmation" | "processing" if not approved:
                return None
            case _:
                raise ValueError
        card = (paid.get("payment_method_details") or {}).get("card") or {}
        captured = our_status in ("captured", "partially_refunded", "refunded")
        return Charge(
            gateway=NAME,
            charge_id=_id(intent["id"]),
            reference=text(_payment_id(intent), is_gateway_id),
            status=our_status,
            amount_minor=self.amounts.to_minor(intent["amount"], currency),
            currency=currency,
            captured_minor=captured_minor,
            refunds=mapped_refunds,
            decline_code=declined,
            void_reason=void_reason,
            captured_at=_time(paid["balance_transaction"]["created"]) if captured else None,
            expires_at=_time(card["capture_before"]) if approved and not captured and card["capture_before"] else None,
            network_transaction_id=network_transaction_id(card.get("network_transaction_id")) if approved else None,
            redirect_url=address,
            authentication=_authentication(card.get("three_d_secure"), declined),
            disputes=tuple(filter(None, (self._dispute(each, currency) for each in disputes))),
        )

    def _refund(self, refund: Object, currency: str) -> Refund:
        reference = (refund["metadata"] or {}).get("refund_reference")
        return Refund(
            refund_id=_id(refund["id"]),
            # Whoever refunds in the dashboard may enter any text.
            reference=reference if is_gateway_id(reference) else None,
            status=REFUND_STATUSES[refund["status"]],
            amount_minor=self.amounts.to_minor(refund["amount"], currency),
            created_at=_time(refund["created"]),
        )

    def _dispute(self, dispute: Object, currency: str) -> Dispute | None:
        """The dispute, by what it has moved; None if it has moved nothing: it is an inquiry (`warning_…`) or was
        `prevented`, or Stripe has not taken the money yet.

        A dispute under appeal is still open. https://docs.stripe.com/api/disputes/object and
        https://docs.stripe.com/disputes/how-disputes-work (seen 2026-11-29).
        """
        transactions = dispute["balance_transactions"]
        if {each["currency"].upper() for each in transactions} - {currency}:
            raise GatewayMismatch("Stripe has taken what is disputed in another currency.")
        taken = [each for each in transactions if each["amount"] < 0]
        returned = [each for each in transactions if each["amount"] > 0]
        if not taken:
            return None
        taken_minor, returned_minor = (
            abs(self.amounts.to_minor(sum(each["amount"] for each in moved), currency)) for moved in (taken, returned)
        )
        if returned_minor not in (0, taken_minor):
            raise GatewayMismatch("Stripe has returned only a part of what was disputed.")
        has_lost = dispute["status"] == "lost"
        return Dispute(
            dispute_id=_id(dispute["id"]),
            status="won" if returned else "lost" if has_lost else "open",
            amount_minor=taken_minor,
            reason=dispute["reason"] if dispute["reason"] in get_args(DisputeReason) else "other",
            opened_at=_time(taken[0]["created"]),
            ended_at=_time(returned[-1]["created"]) if returned else None,
        )

    def lines(self, transactions: Iterable[Object], *, arrived: int | None) -> Iterator[SettlementLine]:
        """The lines of balance transactions, which must be expanded by `source.payment_intent`; or of a payout's, with
        the time of its arrival. Raises SettlementUnreadable."""
        try:
            for each in transactions:
                # A payout's own transaction only says where the money of the others went.
                if each["type"] != "payout":
                    yield self._line(each, arrived)
        except (LookupError, TypeError, AttributeError, ValueError, OverflowError, OSError, GatewayMismatch) as error:
            problem = f"{type(error).__name__} {error}" if isinstance(error, KeyError) else type(error).__name__
            raise SettlementUnreadable(f"A balance transaction is not as documented: {problem}.") from None

    def _line(self, transaction: Object, arrived: int | None) -> SettlementLine:
        source = transaction["source"] if isinstance(transaction["source"], dict) else {}
        intent = source.get("payment_intent") if isinstance(source.get("payment_intent"), dict) else None
        line_type = LINE_TYPES.get(transaction["type"])
        if transaction["type"] == "adjustment":
            line_type = ADJUSTMENTS.get(transaction["reporting_category"])
        # One of a type that our books don't contain may concern anything, and perhaps no charge at all.
        line_id = source["id"] if line_type else transaction["id"]
        currency = transaction["currency"].upper()
        reference = (source.get("metadata") or {}).get("refund_reference")
        return SettlementLine(
            line_id=_id(line_id),
            type=line_type or text(transaction["type"], is_code),
            charge_id=_id(intent["id"]) if intent else None,
            reference=text(_payment_id(intent), is_gateway_id, optional=True) if intent else None,
            refund_reference=reference if is_gateway_id(reference) else None,
            amount_minor=self.amounts.to_minor(transaction["amount"], currency),
            fee_minor=self.amounts.to_minor(transaction["fee"], currency),
            currency=currency,
            settled_at=_time(arrived if arrived is not None else transaction["created"]),
            paid=arrived is not None,
        )


def cancellation(intent: Object) -> Object:
    """The parameters with which an intent is canceled. Stripe then clears the intent's error, and the reason says what
    the customer did; if no customer was asked, there is none."""
    if intent.get("status") == "requires_action":
        return {"cancellation_reason": "abandoned"}
    failed = decline_code(intent.get("last_payment_error")) == AUTHENTICATION_FAILED
    return {"cancellation_reason": "requested_by_customer"} if failed else {}


def _address(next_action: Object) -> str | None:
    """Where the customer is to be sent; None if only Stripe's own code in a page could ask."""
    return redirect_url(next_action["redirect_to_url"]["url"]) if next_action["type"] == "redirect_to_url" else None


def _authentication(three_d_secure: Object | None, declined: str | None) -> Authentication | None:
    """The authentication that a charge shows. Of a customer who failed, Stripe makes no charge.

    Stripe doesn't say who is liable. The indicator that it shows "doesn't determine the outcome by itself":
    https://docs.stripe.com/payments/electronic-commerce-indicator (seen 2026-11-29).
    """
    if declined == AUTHENTICATION_FAILED:
        return Authentication("failed")
    if not three_d_secure or three_d_secure["result"] not in AUTHENTICATIONS:
        return None
    return Authentication(AUTHENTICATIONS[three_d_secure["result"]], protocol_version(three_d_secure["version"]))


def _payment_id(intent: Object) -> Any:
    return (intent.get("metadata") or {}).get("payment_id")


def _id(value: Any) -> Any:
    return text(value, lambda id: is_gateway_id(id) and bool(_ID.fullmatch(id)))


def _time(seconds: Any) -> str:
    if type(seconds) is not int:
        raise TypeError
    return iso(datetime.fromtimestamp(seconds, UTC))


def _payment_method(card: Card) -> Object:
    numbers = {
        "number": card.pan,
        "exp_month": card.expiry_month,
        "exp_year": card.expiry_year,
        "cvc": card.security_code,
    }
    return {"type": "card", "card": present(numbers), "billing_details": {"name": card.card_holder}}
