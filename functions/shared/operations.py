"""Operations on a payment: asked of the gateway, then settled or released in the ledger, and never guessed.

Asking again is safe at any time: the idempotency key is the operation's own, a charge is captured or voided once, and a
refund has the operation's id as its reference. So what became of an operation is found out by asking again.
"""

from dataclasses import dataclass
from typing import Any, Literal

from functions.shared.domain.charge import Charge, Refund, Refused
from functions.shared.domain.errors import (
    GatewayBusy,
    GatewayMismatch,
    GatewayOutcomeUnknown,
    GatewayRefused,
    LedgerConflict,
    PaymentNotFound,
    ReversalUnconfirmed,
    SecretUnavailable,
    error_code,
)
from functions.shared.domain.ledger import (
    JournalEntry,
    capture_entry,
    in_doubt_entry,
    refund_entry,
    refund_in_doubt_entry,
)
from functions.shared.domain.operation import Operation, OperationType
from functions.shared.domain.payment import Payment
from functions.shared.doubt import clear_suspense
from functions.shared.ports import Ledger, PaymentGateway


@dataclass(frozen=True, slots=True)
class Reserved:
    """An operation that was reserved, as the gateway has to be asked for it."""

    payment_id: str
    operation_id: str
    type: OperationType
    amount_minor: int
    currency: str
    charge_id: str


@dataclass(frozen=True, slots=True)
class Performed:
    """What the gateway made of an operation, and why if it did not do it; or that the ledger knew how it had ended."""

    outcome: Literal["succeeded", "refused", "unknown", "recorded"]
    gateway: str | None = None
    reason: str | None = None


def outcome_of(payment: Payment, operation_id: str) -> dict[str, Any]:
    """What the state machine needs to go on and to end: it chooses by the operation's status."""
    operation = payment.operation(operation_id)
    assert operation  # it was just recorded, or found there
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


def reserved_in(payment: Payment, operation: Operation) -> Reserved:
    """An open operation of the payment's record, as the gateway has to be asked for it."""
    charge_id = operation.charge_id or payment.charge_id
    assert operation.amount_minor and payment.currency and charge_id
    return Reserved(
        payment.payment_id,
        operation.operation_id,
        operation.type,
        operation.amount_minor,
        payment.currency,
        charge_id,
    )


def perform_operation(reserved: Reserved, *, gateway: PaymentGateway, ledger: Ledger) -> Performed:
    """Have the gateway do what was reserved, unless it has ended: the ledger never forgets that, and gateways do.

    Raises GatewayOutcomeUnknown where neither its answer nor a look tells what happened, GatewayMismatch where it did
    something else, LedgerUnavailable, and what the gateway raises.
    """
    payment = ledger.payment(reserved.payment_id)
    operation = payment.operation(reserved.operation_id) if payment else None
    if operation is None or not operation.is_open:
        return Performed("recorded")
    try:
        done = _ask(reserved, gateway)
    except GatewayOutcomeUnknown:
        found = _look(reserved, gateway)
        if found is None:
            raise  # not there yet is not the same as never there
        done = found
    if isinstance(done, Refused):
        # Perhaps because it was done, by an attempt whose answer was lost.
        found = _look(reserved, gateway)
        if found is None:
            return Performed("refused", reason=done.reason)
        done = found
    if not _is_as_asked(done, reserved):
        raise GatewayMismatch(f"The gateway's {reserved.type} is not the one that was asked for.")
    return Performed("succeeded", gateway.name)


def undo_other_charge(
    payment: Payment, operation: Operation, *, gateway: PaymentGateway, ledger: Ledger, now: str
) -> Payment:
    """Undo a second charge of the payment, as its record says that it is to be undone, and return the record.

    Raises ReversalUnconfirmed while the gateway does not confirm that it is undone (the operation is in doubt then),
    LedgerUnavailable, LedgerConflict.
    """
    try:
        performed = perform_operation(reserved_in(payment, operation), gateway=gateway, ledger=ledger)
    except (GatewayBusy, GatewayMismatch, GatewayOutcomeUnknown, GatewayRefused, SecretUnavailable) as error:
        performed = Performed("unknown", reason=type(error).__name__)
    if performed.outcome == "refused":  # it is there, and somebody has to look at why it stays
        performed = Performed("unknown", reason=performed.reason)
    undone = settle_operation(payment.payment_id, operation.operation_id, performed, ledger=ledger, now=now)
    if performed.outcome == "unknown":
        raise ReversalUnconfirmed(f"It is not confirmed that a second charge is undone: {performed.reason}.")
    return undone


def settle_operation(payment_id: str, operation_id: str, performed: Performed, *, ledger: Ledger, now: str) -> Payment:
    """Record what became of an operation, with its entries, and return the payment. Safe to repeat.

    A success is settled, a refusal gives the reserved amount free, and an unknown outcome leaves the operation in doubt
    with its amount in suspense. Raises LedgerUnavailable, LedgerConflict, PaymentNotFound.
    """
    known = ledger.find(payment_id)
    if known is None:
        raise PaymentNotFound("There is no payment with this id.")
    payment, operation = known.payment, known.payment.operation(operation_id)
    if operation is None:
        raise LedgerConflict("The operation was never reserved.")
    doubted = operation.status == "in_doubt"
    if not operation.is_open or (doubted and performed.outcome == "unknown"):
        return payment
    entries = clear_suspense(known, operation_id)
    reason = error_code(performed.reason or "")
    match performed.outcome:
        case "succeeded":
            payment = payment.settle(operation, now)
            entries += _movement(payment, operation, performed.gateway or "")
        case "refused":
            payment = payment.end(operation, "rejected", reason, now)
        case "unknown":
            payment = payment.end(operation, "in_doubt", reason, now)
            entries += _suspense(payment, operation)
    recorded, posted = payment.post(*entries)
    ledger.record(recorded, posted)
    return recorded


def _ask(reserved: Reserved, gateway: PaymentGateway) -> Charge | Refund | Refused:
    key = f"{reserved.payment_id}-{reserved.type}-{reserved.operation_id}"
    match reserved.type:
        case "capture":
            return gateway.capture(reserved.charge_id, reserved.amount_minor, reserved.currency, key)
        case "void":
            return gateway.void(reserved.charge_id, key)
        case "refund":
            return gateway.refund(
                reserved.charge_id, reserved.amount_minor, reserved.currency, reserved.operation_id, key
            )


def _look(reserved: Reserved, gateway: PaymentGateway) -> Charge | Refund | None:
    """What the gateway has done, whoever asked for it: None if it has not done it (yet).

    Raises GatewayOutcomeUnknown where it does not show the charge: there is one, so it has not caught up.
    """
    if reserved.type == "refund":
        return gateway.find_refund(reserved.charge_id, reserved.operation_id)
    charge = gateway.find_by_reference(reserved.payment_id)
    if charge is None:
        raise GatewayOutcomeUnknown("The gateway does not show the charge, and so not what became of it.")
    done = ("voided",) if reserved.type == "void" else ("captured", "partially_refunded", "refunded")
    return charge if charge.status in done else None


def _is_as_asked(done: Charge | Refund, reserved: Reserved) -> bool:
    if isinstance(done, Refund):
        asked = (reserved.charge_id, reserved.operation_id, reserved.amount_minor, reserved.currency)
        return (done.charge_id, done.reference, done.amount_minor, done.currency) == asked
    captured_minor = reserved.amount_minor if reserved.type == "capture" else 0
    return (done.charge_id, done.currency, done.captured_minor) == (
        reserved.charge_id,
        reserved.currency,
        captured_minor,
    )


def _movement(payment: Payment, operation: Operation, gateway: str) -> list[JournalEntry]:
    assert operation.amount_minor and payment.currency
    match operation.type:
        case "capture":
            return [capture_entry(gateway, operation.amount_minor, payment.currency, operation.operation_id)]
        case "refund":
            return [refund_entry(gateway, operation.amount_minor, payment.currency, operation.operation_id)]
    return []


def _suspense(payment: Payment, operation: Operation) -> list[JournalEntry]:
    assert operation.amount_minor and payment.currency
    match operation.type:
        case "capture":
            return [in_doubt_entry(operation.amount_minor, payment.currency, operation.operation_id)]
        case "refund":
            return [refund_in_doubt_entry(operation.amount_minor, payment.currency, operation.operation_id)]
    return []
