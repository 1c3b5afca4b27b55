"""One payment of 19.99 USD, in the shapes that the functions pass to each other."""

import json
import uuid
from dataclasses import replace
from typing import Any

from functions.shared.contracts import load
from functions.shared.domain.card import Card, CardSummary
from functions.shared.domain.charge import Abilities, Charge, Order
from functions.shared.domain.ledger import chart_of_accounts
from functions.shared.domain.operation import OperationRequest, OperationType
from functions.shared.domain.payment import Payment, PaymentRequest, Status, StoreRequest
from functions.shared.ports import CustomerWait

TEST_CARDS: dict[str, dict[str, str]] = load("test_cards")

PAN = "4242424242424242"
DECLINED_PAN = "4000000000009995"
CHALLENGED_PAN = "4000002500003155"
CHALLENGED_AND_DECLINED_PAN = "4000008260003178"
UNLISTED_PAN = "4000056655665556"
"""A test number published by Stripe that is not on our own list."""

NETWORK_TRANSACTION_ID = "378282246310005"
"""An id of a card network that looks like a card number, as one in some hundred of Visa's does."""

SECURITY_CODE = "987"
WRONG_SECURITY_CODE = "000"
"""The security code that every gateway of our tests finds wrong."""

HOLDER = "Zebedee O'Brien"
SEALED = ".".join(["eyJ" + "a" * 200, "a" * 683, "a" * 16, "a" * 120, "a" * 22])
"""Has a sealed card's shape, and can't be opened."""

RETURN_ORIGIN = "https://shop.example"
RETURN_URL = f"{RETURN_ORIGIN}/orders/1001"

TOKEN = "tok_" + "a" * 52
FINGERPRINT = "fp_" + "b" * 52
TRANSACTION_ID = "0" * 64
STARTED_AT = "2026-11-23T09:00:00.000Z"
NOW = "2026-11-23T09:00:01.000Z"
LATER = "2026-11-23T09:05:00.000Z"
EXPIRES_AT = "2026-11-30T09:00:01.000Z"
"""The time at which the gateway lets an authorization of `NOW` expire."""

CARD_RETENTION_DAYS = 400
ACCEPTED_BRANDS = ("visa", "mastercard", "amex", "discover", "diners", "jcb", "unionpay", "maestro")
"""The default of `accepted_brands`."""
KEPT_UNTIL = "2027-12-28T09:00:01.000Z"
"""The time that many days after `NOW`."""

CARD_DATA = {"card_number": PAN, "expiry_date": "12/44", "card_holder": HOLDER}
CARD = Card.from_card_data(CARD_DATA)
SUMMARY = CardSummary(TOKEN, FINGERPRINT, "visa", "424242", "4242", "12/44")
REQUEST = PaymentRequest(1999, "USD", merchant_reference="order-1001")
STORE = StoreRequest()


def card(pan: str = PAN, **changes: str) -> Card:
    return Card.from_card_data(CARD_DATA | {"card_number": pan} | changes)


def configured(url: str, **changes: Any) -> str:
    """The environment variable GATEWAYS, for a deployment whose only gateway is at this URL."""
    timeouts = {"connect_timeout_seconds": 1, "read_timeout_seconds": 1}
    gateway = {"url": url, "secret_id": "gateway"} | timeouts  # pragma: allowlist secret
    return json.dumps({"sparkle": gateway | {"settings": {}} | changes})


ABLE = Abilities(
    void=True,
    partial_capture=True,
    settlement_report=True,
    three_d_secure=False,
    security_code=True,
)


def order(reference: str = "pay-1", **changes: Any) -> Order:
    return replace(Order(reference, 1999, "USD", NOW, "order-1001"), **changes)


WAIT = CustomerWait("sparkle", "ch_1", "https://acs.example/challenge/ch_1", NOW, LATER)


ACCOUNTS = chart_of_accounts(["sparkle"])
"""The chart of accounts of a ledger whose payments went to the gateway of these samples."""


def payment(
    payment_id: str = "pay-1", status: Status = "captured", request: PaymentRequest = REQUEST, **changes: Any
) -> Payment:
    """The first record of a payment."""
    charged: dict[str, Any] = {"gateway": "sparkle", "charge_id": "ch_1"}
    record = Payment.first(
        payment_id, status, request, SUMMARY, TRANSACTION_ID, started_at=STARTED_AT, now=NOW, **charged
    )
    return replace(record, **changes)


def stored(payment_id: str = "pay-1", **changes: Any) -> Payment:
    """A record of a card that was stored before POST /cards had a workflow of its own: it has no amount."""
    nothing: dict[str, Any] = dict.fromkeys(("amount_minor", "currency", "charge_id", "merchant_reference"))
    return payment(payment_id, "stored", **nothing | {"card": SUMMARY} | changes)


def charge_of(payment: Payment, **changes: Any) -> Charge:
    """The payment's charge as the gateway shows it, if nobody else has moved it."""
    assert payment.amount_minor
    assert payment.currency
    assert payment.charge_id
    charge = Charge(
        gateway="sparkle",
        charge_id=payment.charge_id,
        reference=payment.payment_id,
        status=payment.status,  # type: ignore[arg-type]
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        captured_minor=payment.captured_minor,
        decline_code=payment.decline_code,
        expires_at=EXPIRES_AT if payment.status == "authorized" else None,
    )
    return replace(charge, **changes)


def operation_request(
    payment: Payment, type: OperationType, amount_minor: int | None = None, operation_id: str | None = None
) -> OperationRequest:
    """An operation with its own id, unless one is given."""
    return OperationRequest(operation_id or str(uuid.uuid4()), payment.payment_id, type, amount_minor, LATER)


def refund_request(payment: Payment, amount_minor: int | None = None) -> OperationRequest:
    return operation_request(payment, "refund", amount_minor)


WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # pragma: allowlist secret
OLD_WEBHOOK_SECRET = "whsec_dGhlLW9uZS1iZWZvcmUtaXQtZHVyaW5nLXJvdGF0aW9u"  # pragma: allowlist secret
"""The secrets that sign a webhook's events, during a rotation."""
