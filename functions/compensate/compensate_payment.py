"""Undo a charge that may have gone through, and never guess whether it did."""

from dataclasses import replace
from typing import Any

from functions.shared.domain.card import CardSummary
from functions.shared.domain.payment import Payment, PaymentRequest
from functions.shared.doubt import record_doubt, undo_charge
from functions.shared.ports import Ledger, PaymentGateway, VelocityCounter


def payment_from(event: dict[str, Any], now: str) -> Payment:
    """The payment's first record, in doubt, as the state's input tells it."""
    return Payment.first(
        event["payment_id"],
        "in_doubt",
        PaymentRequest.from_request(event["payment"]),
        CardSummary.from_dict(event["card"]),
        event["transaction_id"],
        started_at=event["started_at"],
        now=now,
        error=event["error"],
        flags=tuple(event["flags"]),
    )


def compensate_payment(
    payment: Payment,
    request: PaymentRequest,
    *,
    gateway: PaymentGateway,
    ledger: Ledger,
    velocity_counter: VelocityCounter,
) -> Payment:
    """Bring the payment to an end that the gateway has confirmed, record it, and return the record.

    `payment` is its first record: in doubt, with the error that led here. What the ledger already knows stays: an
    outcome that an earlier state did record, before its answer got lost, stands. A decline of the gateway's is counted.

    Raises ReversalUnconfirmed while the gateway does not confirm (the ledger says in doubt), LedgerUnavailable, and
    LedgerConflict where somebody else recorded at the same time.
    """
    known = ledger.find(payment.payment_id)
    if known is None:
        known = record_doubt(replace(payment, reversing=True), request, ledger=ledger)
    ended = known.payment
    if ended.status == "in_doubt":
        ended = undo_charge(known, gateway=gateway, ledger=ledger, now=payment.updated_at)
    if ended.was_declined_by_gateway:
        velocity_counter.count_decline(ended)
    return ended
