"""Undo a charge that may have gone through, and never guess whether it did."""

from dataclasses import replace
from typing import Any

from functions.shared.domain.card import CardSummary
from functions.shared.domain.errors import (
    GatewayBusy,
    GatewayOutcomeUnknown,
    GatewayRefused,
    ReversalUnconfirmed,
    SecretUnavailable,
)
from functions.shared.domain.ledger import capture_entry, in_doubt_entry
from functions.shared.domain.payment import Payment, PaymentRequest
from functions.shared.ports import Ledger, PaymentGateway


def payment_from(event: dict[str, Any], now: str) -> Payment:
    """The payment's first record, in doubt, as the state's input tells it."""
    return Payment.first(
        event["payment_id"],
        "in_doubt",
        PaymentRequest.from_request(event["payment"]),
        CardSummary(**event["card"]),
        event["transaction_id"],
        started_at=event["started_at"],
        now=now,
        error=event["error"],
    )


def compensate_payment(
    payment: Payment, request: PaymentRequest, *, gateway: PaymentGateway, ledger: Ledger
) -> Payment:
    """Bring the payment to an end that the gateway has confirmed, record it, and return the record.

    `payment` is its first record: in doubt, with the error that led here. What the ledger already knows stays: an
    outcome that an earlier state did record, before its answer got lost, stands.

    While the gateway does not confirm, the ledger says in doubt, with the amount in suspense, and ReversalUnconfirmed
    is raised so that the state machine tries again. Raises LedgerUnavailable and LedgerConflict too.
    """
    known = ledger.find(payment.payment_id)
    if known is not None and known.payment.status != "in_doubt":
        return known.payment
    amount_minor, currency = request.amount_minor, request.currency
    assert amount_minor is not None and currency is not None  # a card that is only stored is not compensated
    try:
        charge = gateway.find_by_reference(payment.payment_id)
        reversal = gateway.reverse(payment.payment_id)
    except (GatewayBusy, GatewayOutcomeUnknown, GatewayRefused, SecretUnavailable) as error:
        if known is None:
            suspense = [in_doubt_entry(amount_minor, currency)] if request.capture else []
            ledger.record(replace(payment, entry_count=len(suspense)), suspense)
        raise ReversalUnconfirmed(f"The reversal is not confirmed: {error}") from None
    charge = charge or reversal.charge
    if known is not None:
        entries = [entry.reverse() for entry in known.entries]
    elif charge is not None and charge.captured_minor > 0:
        captured = capture_entry(gateway.name, amount_minor, currency)
        entries = [captured, captured.reverse()]
    else:
        entries = []
    before = known.payment if known is not None else replace(payment, version=0)
    ended = before.moved_to(
        "declined" if reversal.result == "declined" else "reversed",
        charge_id=charge.charge_id if charge else None,
        decline_code=charge.decline_code if charge else None,
        updated_at=payment.updated_at,
        entry_count=before.entry_count + len(entries),
    )
    ledger.record(ended, entries)
    return ended
