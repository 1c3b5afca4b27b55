"""Operations on a payment: asked of the gateway, then settled or released in the ledger, and never guessed.

Asking again is safe at any time: the idempotency key is the operation's own, a charge is captured or voided once, and a
refund has the operation's id as its reference. So what became of an operation is found out by asking again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from functions.shared.domain.adoption import ADOPTING, adopt, adopt_undone, is_undone
from functions.shared.domain.charge import Charge, Refused
from functions.shared.domain.errors import (
    UNCONFIRMED,
    GatewayMismatch,
    GatewayOutcomeUnknown,
    LedgerConflict,
    PaymentNotFound,
    ReversalUnconfirmed,
    error_code,
)
from functions.shared.domain.ledger import (
    JournalEntry,
    PostedEntry,
    clear_suspense,
    in_doubt_entry,
    refund_in_doubt_entry,
)
from functions.shared.domain.operation import Operation, OperationType
from functions.shared.domain.payment import Payment
from functions.shared.ports import Ledger, PaymentGateway, RecordedPayment


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
    """The charge as the gateway showed it then, or None where nobody knows; and why it has refused, or is not known."""

    charge: Charge | None = None
    reason: str | None = None

    @classmethod
    def from_dict(cls, performed: Mapping[str, Any]) -> "Performed":
        """Read what `to_dict` gave to the next state."""
        charge = performed["charge"]
        return cls(Charge.from_dict(charge) if charge else None, performed["reason"])

    def to_dict(self) -> dict[str, Any]:
        return {"charge": self.charge.to_dict() if self.charge else None, "reason": self.reason}


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

    Raises GatewayOutcomeUnknown where neither its answer nor a look tells what happened, GatewayMismatch where it
    answered that it did something else, LedgerUnavailable, and what the gateway raises.
    """
    payment = ledger.payment(reserved.payment_id)
    operation = payment.operation(reserved.operation_id) if payment else None
    if operation is None or not operation.is_open:
        return Performed()  # the record stands
    try:
        done = _ask(reserved, gateway)
    except GatewayOutcomeUnknown:
        charge = look(reserved.charge_id, gateway=gateway)
        if not _shows(charge, reserved):
            raise  # not there yet is not the same as never there
        return Performed(charge)
    if isinstance(done, Refused):
        # Perhaps because it was done, by an attempt whose answer was lost, or something else by somebody else.
        charge = look(reserved.charge_id, gateway=gateway)
        if reserved.type != "refund" and done.reason == "invalid_state" and charge.status == "authorized":
            raise GatewayOutcomeUnknown("The gateway refuses what the charge allows: what it shows is not the newest.")
        return Performed(charge, done.reason)
    if not _is_as_asked(done, reserved):
        raise GatewayMismatch(f"The gateway's {reserved.type} is not the one that was asked for.")
    return Performed(done)


def look(charge_id: str, *, gateway: PaymentGateway) -> Charge:
    """The charge as the gateway shows it, by its own id: gateways forget references.

    Raises GatewayOutcomeUnknown where it does not show it, though there is one: it has not caught up.
    """
    charge = gateway.find(charge_id)
    if charge is None:
        raise GatewayOutcomeUnknown("The gateway does not show the charge, and so not what became of it.")
    return charge


def adopt_charge(known: RecordedPayment, *, gateway: PaymentGateway, ledger: Ledger, now: str) -> RecordedPayment:
    """Look at the payment's charge, record what the books don't know of it, and return what is recorded then.

    `known` has to be read before: what is recorded meanwhile is a conflict. Raises GatewayMismatch for a charge that
    can't be the payment's, LedgerConflict, LedgerUnavailable, and what `look` and the gateway raise.
    """
    if known.payment.status not in ADOPTING:
        return known
    assert known.payment.charge_id  # of these statuses, each has one
    return adopt_shown(known, look(known.payment.charge_id, gateway=gateway), ledger=ledger, now=now)


def adopt_shown(known: RecordedPayment, charge: Charge, *, ledger: Ledger, now: str) -> RecordedPayment:
    """Record what the books don't know of the payment's charge, and return what is recorded then.

    Raises GatewayMismatch, LedgerConflict, LedgerUnavailable.
    """
    payment, posted = adopt(known.payment, known.entries, charge, now)
    if payment == known.payment:
        return known
    payment = replace(payment, version=payment.version + 1)
    ledger.record(payment, posted)
    return RecordedPayment(payment, known.entries + posted)


def undo_other_charge(
    payment: Payment, operation: Operation, *, gateway: PaymentGateway, ledger: Ledger, now: str
) -> Payment:
    """Undo a second charge of the payment, as its record says that it is to be undone, and return the record.

    Raises ReversalUnconfirmed while the gateway does not confirm that it is undone (the operation is in doubt then, or
    pending), LedgerUnavailable, LedgerConflict.
    """
    reserved = reserved_in(payment, operation)
    try:
        if operation.pending:
            performed = Performed(look(reserved.charge_id, gateway=gateway))
        else:
            performed = perform_operation(reserved, gateway=gateway, ledger=ledger)
        if performed.charge and not is_undone(performed.charge) and not _is_pending(performed.charge, operation):
            # It is there, and somebody has to look at why it stays.
            performed = Performed(reason=performed.reason or "refund_failed")
    except UNCONFIRMED as error:
        performed = Performed(reason=type(error).__name__)
    settled = settle_operation(payment.payment_id, operation.operation_id, performed, ledger=ledger, now=now)
    undone = settled.operation(operation.operation_id)
    assert undone
    if undone.status != "succeeded":
        raise ReversalUnconfirmed(f"It is not confirmed that a second charge is undone: {performed.reason}.")
    return settled


def settle_operation(payment_id: str, operation_id: str, performed: Performed, *, ledger: Ledger, now: str) -> Payment:
    """Record what became of an operation, with its entries, and return the payment. Safe to repeat.

    What the charge shows is adopted, which settles the operation if it was done. If it was refused, that gives the
    reserved amount free; one that is pending goes on reserving it; and an unknown outcome, or a charge that can't be
    the payment's, leaves the operation in doubt with its amount in suspense. Raises LedgerUnavailable, LedgerConflict,
    PaymentNotFound.
    """
    known = ledger.find(payment_id)
    if known is None:
        raise PaymentNotFound("There is no payment with this id.")
    reserved = known.payment.operation(operation_id)
    if reserved is None:
        raise LedgerConflict("The operation was never reserved.")
    payment, posted = known.payment, tuple[PostedEntry, ...]()
    if performed.charge:
        try:
            if reserved.charge_id:
                payment, posted = adopt_undone(payment, known.entries, reserved, performed.charge, now)
            else:
                payment, posted = adopt(payment, known.entries, performed.charge, now)
        except GatewayMismatch as mismatch:
            performed = Performed(reason=type(mismatch).__name__)
    operation = payment.operation(operation_id)
    assert operation
    reason = error_code(performed.reason or "")
    if performed.charge and performed.reason and operation.is_open and not operation.pending:
        payment = payment.end(operation, "rejected", reason, now)
        payment, more = payment.post(*clear_suspense(known.entries, operation_id))
        posted += more
    elif performed.charge is None and operation.status == "processing" and not operation.pending:
        payment = payment.end(operation, "in_doubt", reason, now)
        payment, posted = payment.post(*_suspense(payment, operation))
    if payment == known.payment:
        return payment
    recorded = replace(payment, version=known.payment.version + 1)
    ledger.record(recorded, posted)
    return recorded


def _ask(reserved: Reserved, gateway: PaymentGateway) -> Charge | Refused:
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


def _is_pending(charge: Charge, operation: Operation) -> bool:
    refund = charge.refund(operation.operation_id)
    return refund is not None and refund.status == "pending"


def _shows(charge: Charge, reserved: Reserved) -> bool:
    """Whether the charge shows what became of the operation, whoever asked for it."""
    if reserved.type == "refund":
        return charge.refund(reserved.operation_id) is not None
    return charge.status != "authorized"


def _is_as_asked(charge: Charge, reserved: Reserved) -> bool:
    asked = (reserved.charge_id, reserved.currency)
    if (charge.charge_id, charge.currency) != asked:
        return False
    if reserved.type == "refund":
        refund = charge.refund(reserved.operation_id)
        return refund is not None and refund.amount_minor == reserved.amount_minor
    if reserved.type == "void":
        return charge.status == "voided"
    return charge.captured_minor == reserved.amount_minor


def _suspense(payment: Payment, operation: Operation) -> list[JournalEntry]:
    assert operation.amount_minor and payment.currency
    match operation.type:
        case "capture":
            return [in_doubt_entry(operation.amount_minor, payment.currency, operation.operation_id)]
        case "refund":
            return [refund_in_doubt_entry(operation.amount_minor, payment.currency, operation.operation_id)]
    return []
