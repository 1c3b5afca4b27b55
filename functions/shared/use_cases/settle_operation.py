"""Record an operation's outcome in the ledger, without ever guessing it."""

from dataclasses import replace
from typing import Any

from functions.shared.domain.adoption import adopt, adopt_undone
from functions.shared.domain.errors import GatewayMismatch, LedgerConflict, PaymentNotFound, error_code
from functions.shared.domain.ledger import (
    JournalEntry,
    PostedEntry,
    clear_suspense,
    in_doubt_entry,
    refund_in_doubt_entry,
)
from functions.shared.domain.operation import Operation
from functions.shared.domain.payment import Payment
from functions.shared.ports import Ledger
from functions.shared.use_cases.perform_operation import Performed


def outcome_of(payment: Payment, operation_id: str) -> dict[str, Any]:
    """The output for the state machine, which branches on the operation's status."""
    operation = payment.operation(operation_id)
    assert operation  # the caller has just recorded it or found it in the record
    return {
        "payment_id": payment.payment_id,
        "operation_id": operation_id,
        "type": operation.type,
        "amount_minor": operation.amount_minor,
        "currency": payment.currency,
        "charge_id": payment.charge_id,
        "status": operation.status,
        "error": {"Error": operation.error},
    }


def settle_operation(payment_id: str, operation_id: str, performed: Performed, *, ledger: Ledger, now: str) -> Payment:
    """Record an operation's outcome with its journal entries, and return the payment. The call may be repeated.

    Adopting the charge settles the operation if the gateway has carried it out. A refusal releases the reserved amount;
    while the operation is pending, the amount stays reserved. An unknown outcome, or a charge that can't be the
    payment's, leaves the operation in doubt, with the amount of a capture or refund in suspense. Raises
    LedgerUnavailable, LedgerConflict, PaymentNotFound.
    """
    record = ledger.find(payment_id)
    if record is None:
        raise PaymentNotFound("There is no payment with this id.")
    reserved = record.payment.operation(operation_id)
    if reserved is None:
        raise LedgerConflict("The operation was never reserved.")
    payment, posted = record.payment, tuple[PostedEntry, ...]()
    if performed.charge:
        try:
            if reserved.charge_id:
                payment, posted = adopt_undone(payment, record.entries, reserved, performed.charge, now)
            else:
                payment, posted = adopt(payment, record.entries, performed.charge, now, settling=operation_id)
        except GatewayMismatch as mismatch:
            performed = Performed(reason=type(mismatch).__name__)
    operation = payment.operation(operation_id)
    assert operation
    reason = error_code(performed.reason or "")
    if performed.charge and performed.reason and operation.is_open and not operation.pending:
        payment = payment.end(operation, "rejected", reason, now)
        payment, cleared = payment.post(*clear_suspense(record.entries, operation_id))
        posted += cleared
    elif performed.charge is None and operation.status == "processing" and not operation.pending:
        payment = payment.end(operation, "in_doubt", reason, now)
        payment, posted = payment.post(*_suspense_entries(payment, operation))
    if payment == record.payment:
        return payment
    updated = replace(payment, version=record.payment.version + 1)
    ledger.record(updated, posted, previous=record.payment)
    return updated


def _suspense_entries(payment: Payment, operation: Operation) -> list[JournalEntry]:
    assert operation.amount_minor and payment.currency
    match operation.type:
        case "capture":
            return [in_doubt_entry(operation.amount_minor, payment.currency, operation.operation_id)]
        case "refund":
            return [refund_in_doubt_entry(operation.amount_minor, payment.currency, operation.operation_id)]
    return []
