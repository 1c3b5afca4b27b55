"""Clear the doubt about a payment whose execution ended unexpectedly, on the basis of evidence alone."""

from functions.shared.domain.adoption import adopt
from functions.shared.domain.charge import Charge
from functions.shared.domain.errors import PaymentNotFound
from functions.shared.domain.ledger import capture_entry, clear_suspense
from functions.shared.domain.payment import Payment
from functions.shared.ports import Executions, Gateways, Ledger, RecordedPayment
from functions.shared.use_cases.adopt_charge import adopt_charge
from functions.shared.use_cases.end_wait import end_wait
from functions.shared.use_cases.undo_charge import record_doubt, undo_charge
from functions.shared.use_cases.undo_other_charge import undo_other_charge


def resolve_payment(
    payment_id: str,
    *,
    gateways: Gateways,
    ledger: Ledger,
    executions: Executions,
    now: str,
    ask_gateway: bool = True,
    shown_charge: Charge | None = None,
) -> tuple[str, str | None]:
    """Return the payment's status (the ledger's, `rejected`, or `processing` while its execution runs) and its error.

    A payment that the ledger doesn't know is recorded as in doubt; without `ask_gateway`, nothing else happens.
    The gateway's evidence ends the doubt: a charge as requested is recorded with its later movements, and any other
    charge is undone. If there is no doubt, new movements at the gateway are adopted. A missing charge counts as
    evidence that none exists, so call this function only some time after the execution has ended, or with a
    `shown_charge`, which the gateway has just shown for this payment; even then, a reversal makes sure that no charge
    can follow.

    Raises PaymentNotFound, ReversalUnconfirmed and the errors of the ports; the payment then stays in doubt.
    """
    record = ledger.find(payment_id)
    if record is None:
        execution = executions.find(payment_id)
        if execution is None:
            raise PaymentNotFound("There is no payment with this id.")
        if execution.running:
            return "processing", None
        if execution.was_rejected:
            return "rejected", execution.cause
        request = execution.payment
        assert request  # otherwise it was rejected
        doubtful = Payment.first(
            payment_id,
            "in_doubt",
            request,
            None,
            None,
            started_at=execution.started_at,
            now=now,
            error=execution.error or "ExecutionStopped",
        )
        record = record_doubt(doubtful, request, ledger=ledger)
    if record.payment.status != "in_doubt" and ask_gateway:
        record = adopt_charge(record, gateways=gateways, ledger=ledger, now=now)
    if record.payment.status != "in_doubt":
        return _undo_other_charges(record.payment, gateways=gateways, ledger=ledger, now=now, ask_gateway=ask_gateway)
    if not ask_gateway:
        return "in_doubt", record.payment.error
    charge = None
    if not record.payment.reversing:
        charge = shown_charge or gateways.possible(record.payment).find_by_reference(record.payment.order)
        charge = charge and end_wait(charge, gateway=gateways.named(charge.gateway))
    # Only a payment that was to be captured has entries, which hold its money in suspense.
    capture = bool(record.entries)
    requested = payment_id, record.payment.amount_minor, record.payment.currency
    if charge is None or not charge.is_as_requested(*requested, capture=capture):
        ended = undo_charge(record, gateways=gateways, ledger=ledger, now=now)
    else:
        ended = _settle(charge, record, capture=capture, ledger=ledger, now=now)
    return ended.status, ended.error


def _undo_other_charges(
    payment: Payment, *, gateways: Gateways, ledger: Ledger, now: str, ask_gateway: bool
) -> tuple[str, str | None]:
    """Undo the second charges that Compensate could not undo. The payment itself is not in doubt."""
    for operation in payment.operations:
        if operation.charge_id and operation.is_open:
            if not ask_gateway:
                return "in_doubt", operation.error
            payment = undo_other_charge(payment, operation, gateways=gateways, ledger=ledger, now=now)
    return payment.status, payment.error


def _settle(charge: Charge, record: RecordedPayment, *, capture: bool, ledger: Ledger, now: str) -> Payment:
    """Record the charge as requested, and then its later movements."""
    status, entries, captured_minor = charge.outcome(capture=capture), clear_suspense(record.entries), 0
    if status == "captured":
        captured_minor = charge.amount_minor
        entries.append(capture_entry(charge.gateway, captured_minor, charge.currency))
    settled = record.payment.moved_to(
        status,
        captured_minor=captured_minor,
        gateway=charge.gateway,
        charge_id=charge.charge_id,
        decline_code=charge.decline_code,
        authentication=charge.authentication,
        updated_at=now,
    )
    settled, posted = settled.post(*entries)
    settled, adopted = adopt(settled, record.entries + posted, charge, now)
    ledger.record(settled, posted + adopted, previous=record.payment)
    return settled
