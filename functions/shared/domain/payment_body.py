"""A payment and an operation as the API shows them."""

from dataclasses import asdict
from typing import Any

from functions.shared.domain.errors import error_code
from functions.shared.domain.operation import Operation
from functions.shared.domain.payment import Payment

NOTHING_KNOWN: dict[str, Any] = {
    "payment_id": None,
    "status": None,
    "amount_minor": None,
    "currency": None,
    "captured_minor": None,
    "refunded_minor": None,
    "disputed_minor": None,
    "card": None,
    "transaction_id": None,
    "charge_id": None,
    "gateway": None,
    "decline_code": None,
    "error": None,
    "next_action": None,
    "action_required_since": None,
    "authentication": None,
    "merchant_reference": None,
    "metadata": {},
    "initiator": None,
    "reason": None,
    "operations": [],
    "disputes": [],
    "expires_at": None,
    "created_at": None,
    "updated_at": None,
}
"""The body of a payment of which nothing is known, not even its id."""


def payment_body(payment: Payment) -> dict[str, Any]:
    """A recorded payment as the API shows it."""
    return {
        "payment_id": payment.payment_id,
        "status": payment.status,
        "amount_minor": payment.amount_minor,
        "currency": payment.currency,
        "captured_minor": payment.captured_minor,
        "refunded_minor": payment.refunded_minor,
        "disputed_minor": payment.disputed_minor,
        "card": _card(payment),
        "transaction_id": payment.transaction_id,
        "charge_id": payment.charge_id,
        "gateway": payment.gateway,
        "decline_code": payment.decline_code,
        "error": error_code(payment.error) if payment.error else None,
        "next_action": None,
        "action_required_since": None,
        "authentication": asdict(payment.authentication) if payment.authentication else None,
        "merchant_reference": payment.merchant_reference,
        "metadata": payment.metadata or {},
        "initiator": payment.initiator,
        "reason": payment.reason,
        "operations": [operation_body(operation) for operation in payment.operations],
        "disputes": [asdict(dispute) for dispute in payment.disputes],
        "expires_at": payment.expires_at,
        "created_at": payment.created_at,
        "updated_at": payment.updated_at,
    }


def _card(payment: Payment) -> dict[str, Any] | None:
    """The card as shown. If a rule denied the payment, the fingerprint is hidden: it would tell somebody who tries out
    card numbers which one is right, and the limit on attempts would be useless."""
    if payment.card is None:
        return None
    return payment.card.to_dict() | ({"fingerprint": None} if payment.was_declined_by_rule else {})


def operation_body(operation: Operation) -> dict[str, Any]:
    """An operation as the API shows it."""
    body = asdict(operation)
    del body["updated_at"], body["caller"], body["pending"], body["kept_apart"]
    if operation.charge_id is None:
        del body["charge_id"]
    return body
