"""A merchant's client for the payments API. Copy this folder into your code base, under any name.

It needs the packages `botocore`, `requests` and `cryptography`.

    client = PaymentsClient("https://….execute-api.eu-central-1.amazonaws.com/v1", "eu-central-1")
    payment = client.pay(amount_minor=1999, currency="USD", card=sealed_card, idempotency_key=payment_id)
    payment = client.wait(payment.payment_id)
    if payment.status == "action_required":
        ...  # send the customer's browser to payment.next_action.url, and wait again after it has come back
    if payment.status == "captured":
        client.refund(payment.payment_id, 500)

A declined or rejected payment is a value, not an exception: look at `status`, `decline_code` and `error`. errors.py
lists the exceptions.
"""

from .client import PaymentsClient
from .currencies import decimals
from .errors import (
    AccessDenied,
    CardNotSealed,
    KeyUsedForAnother,
    NoAnswer,
    NotFound,
    NotSent,
    PaymentsError,
    RequestRefused,
    StillProcessing,
    TooManyRequests,
)
from .models import (
    Authentication,
    CardData,
    CardSummary,
    Dispute,
    NextAction,
    Operation,
    Payment,
    SealingKey,
    SingleUseKey,
)
from .sealing import fingerprint, seal

__all__ = [
    "AccessDenied",
    "Authentication",
    "CardData",
    "CardNotSealed",
    "CardSummary",
    "Dispute",
    "KeyUsedForAnother",
    "NextAction",
    "NoAnswer",
    "NotFound",
    "NotSent",
    "Operation",
    "Payment",
    "PaymentsClient",
    "PaymentsError",
    "RequestRefused",
    "SealingKey",
    "SingleUseKey",
    "StillProcessing",
    "TooManyRequests",
    "decimals",
    "fingerprint",
    "seal",
]
