"""Clear the doubt about a payment whose execution did not come to a planned end, by evidence alone."""

from functions.shared.domain.charge import Charge
from functions.shared.domain.errors import PaymentNotFound
from functions.shared.domain.ledger import capture_entry
from functions.shared.domain.payment import Payment
from functions.shared.doubt import clear_suspense, record_doubt, undo_charge
from functions.shared.operations import undo_other_charge
from functions.shared.ports import Executions, Ledger, PaymentGateway, RecordedPayment


def resolve_payment(
    payment_id: str,
    *,
    gateway: PaymentGateway,
    ledger: Ledger,
    executions: Executions,
    now: str,
    ask_gateway: bool = True,
) -> tuple[str, str | None]:
    """Return the payment's status (the ledger's, `rejected`, or `processing` while its execution runs) and its error.

    A payment that the ledger doesn't know is recorded as in doubt; without `ask_gateway` that is all.
    Doubt ends as the gateway proves: what it did as asked is recorded as that, and anything else is undone.
    That the gateway knows no charge counts as absence, so this is to be called only some time after the execution
    ended; even then a reversal makes sure that none can come.

    Raises PaymentNotFound, ReversalUnconfirmed and what the ports raise; then the payment stays in doubt.
    """
    known = ledger.find(payment_id)
    if known is None:
        execution = executions.find(payment_id)
        if execution is None:
            raise PaymentNotFound("There is no payment with this id.")
        if execution.running:
            return "processing", None
        if execution.was_rejected:
            return "rejected", execution.cause
        doubtful = Payment.first(
            payment_id,
            "in_doubt",
            execution.payment,
            None,
            None,
            started_at=execution.started_at,
            now=now,
            error=execution.error or "ExecutionStopped",
        )
        known = record_doubt(doubtful, execution.payment, ledger=ledger)
    if known.payment.status != "in_doubt":
        return _undo_others(known.payment, gateway=gateway, ledger=ledger, now=now, ask_gateway=ask_gateway)
    if not ask_gateway:
        return "in_doubt", known.payment.error
    charge = None if known.payment.reversing else gateway.find_by_reference(payment_id)
    if charge is None or not _proves_the_outcome(charge, known):
        ended = undo_charge(known, gateway=gateway, ledger=ledger, now=now)
    else:
        ended = _settle(charge, known, gateway=gateway, ledger=ledger, now=now)
    return ended.status, ended.error


def _undo_others(
    payment: Payment, *, gateway: PaymentGateway, ledger: Ledger, now: str, ask_gateway: bool
) -> tuple[str, str | None]:
    """A payment that is in no doubt itself: undo the charges beside its own that Compensate could not."""
    for operation in payment.operations:
        if operation.charge_id and operation.is_open:
            if not ask_gateway:
                return "in_doubt", operation.error
            payment = undo_other_charge(payment, operation, gateway=gateway, ledger=ledger, now=now)
    return payment.status, payment.error


def _proves_the_outcome(charge: Charge, known: RecordedPayment) -> bool:
    payment = known.payment
    # Only a payment that was to be captured has money in suspense.
    wanted = "captured" if known.entries else "authorized"
    as_asked = charge.is_as_asked(payment.payment_id, payment.amount_minor, payment.currency)
    return as_asked and charge.status in (wanted, "declined")


def _settle(charge: Charge, known: RecordedPayment, *, gateway: PaymentGateway, ledger: Ledger, now: str) -> Payment:
    """Record what the gateway did, and did as asked."""
    assert charge.status in ("captured", "authorized", "declined")
    entries = clear_suspense(known)
    if charge.status == "captured":
        entries.append(capture_entry(gateway.name, charge.captured_minor, charge.currency))
    settled = known.payment.moved_to(
        charge.status,
        captured_minor=charge.captured_minor,
        charge_id=charge.charge_id,
        decline_code=charge.decline_code,
        updated_at=now,
    )
    settled, posted = settled.post(*entries)
    ledger.record(settled, posted)
    return settled
