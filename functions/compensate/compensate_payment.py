"""Undo a charge that may have gone through, without ever guessing whether it did."""

from dataclasses import dataclass, replace
from typing import Any

from functions.shared.domain.errors import UNCONFIRMED, ReversalUnconfirmed
from functions.shared.domain.ledger import capture_entry
from functions.shared.domain.payment import Payment, PaymentRequest
from functions.shared.ports import ChargeLookUp, Gateways, Ledger, RecordedPayment, VelocityCounter
from functions.shared.use_cases.undo_charge import record_doubt, undo_charge
from functions.shared.use_cases.undo_other_charge import undo_other_charge


@dataclass(frozen=True, slots=True)
class ChargeResult:
    """The result of the state Charge: its outcome, or `unknown` if it did not return, and the charge's id. With the
    outcome `recorded`, it made no charge."""

    outcome: str
    charge_id: str | None = None


def payment_from(event: dict[str, Any], now: str) -> Payment:
    """The payment's first record, in doubt, from the state's input."""
    return Payment.first_of(
        event, "in_doubt", event["transaction_id"], now=now, error=event["error"], gateway=event["gateway"]
    )


def compensate_payment(
    payment: Payment,
    request: PaymentRequest,
    charge_result: ChargeResult,
    *,
    gateways: Gateways,
    ledger: Ledger,
    velocity_counter: VelocityCounter,
) -> Payment:
    """Bring the payment to an outcome that the gateway has confirmed, record it, and return the record.

    `payment` is the payment's first record, in doubt, with the error that led here. An existing record in the ledger
    takes precedence: an earlier state has recorded the outcome, and its answer was lost. If the charge in
    `charge_result` is not the recorded one, it is undone. If the gateway declined the payment, the decline is counted.

    Raises ReversalUnconfirmed while the gateway does not confirm the reversal (the ledger says in doubt),
    LedgerUnavailable, and LedgerConflict if another process recorded at the same time.
    """
    record = ledger.find(payment.payment_id)
    if record and charge_result.outcome == "recorded":
        return record.payment
    if record is None:
        record = record_doubt(replace(payment, reversing=True), request, ledger=ledger)
    now = payment.updated_at
    ended = record.payment
    if ended.status == "in_doubt":
        ended = undo_charge(record, gateways=gateways, ledger=ledger, now=now)
    if ended.was_declined_by_gateway:
        velocity_counter.count_decline(ended)
    if record.payment.status == "in_doubt":
        return ended
    if charge_result.outcome == "unknown":
        charge_result = _find_charge(record.payment, gateways.possible(payment))
    if charge_result.charge_id in (None, record.payment.charge_id) or charge_result.outcome not in (
        "captured",
        "authorized",
    ):
        return record.payment
    return _undo_second_charge(record, charge_result, gateways=gateways, ledger=ledger, now=now)


def _find_charge(payment: Payment, gateway: ChargeLookUp) -> ChargeResult:
    """The charge that the gateway has made under our reference. Raises ReversalUnconfirmed."""
    try:
        found = gateway.find_by_reference(payment.order)
    except UNCONFIRMED as error:
        raise ReversalUnconfirmed(f"It is unknown whether there is a second charge: {error}") from None
    if found is None and payment.charge_id:
        raise ReversalUnconfirmed("The gateway does not show the charge, and so not whether there is a second one.")
    return ChargeResult(found.status, found.charge_id) if found else ChargeResult("unknown")


def _undo_second_charge(
    record: RecordedPayment,
    charge_result: ChargeResult,
    *,
    gateways: Gateways,
    ledger: Ledger,
    now: str,
) -> Payment:
    """Record the existence of a second charge, then undo it. The record shows the undoing as open until confirmed."""
    payment = record.payment
    assert charge_result.charge_id and payment.amount_minor and payment.currency
    operation = payment.operation(charge_result.charge_id)
    if operation is None:
        captured = charge_result.outcome == "captured"
        # A second charge that took money is posted like any capture, to match its refund and the gateway's report.
        gateway = gateways.of(payment).name
        entries = [capture_entry(gateway, payment.amount_minor, payment.currency, charge_result.charge_id)]
        payment = payment.undo_other_charge(charge_result.charge_id, "refund" if captured else "void", now)
        payment, posted = payment.post(*entries if captured else ())
        ledger.record(payment, posted, previous=record.payment)
        operation = payment.operation(charge_result.charge_id)
    assert operation
    if not operation.is_open:
        return payment
    return undo_other_charge(payment, operation, gateways=gateways, ledger=ledger, now=now)
