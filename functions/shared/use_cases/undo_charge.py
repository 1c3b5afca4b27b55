"""Record a payment as in doubt, and undo a charge that may have gone through.

The ledger records `reversing` before the gateway is asked for the reversal. A charge that is found later is thus never
taken for a capture while a reversal may still be under way.
"""

from functions.shared.domain.errors import UNCONFIRMED, GatewayMismatch, ReversalUnconfirmed
from functions.shared.domain.ledger import capture_entry, clear_suspense, in_doubt_entry
from functions.shared.domain.payment import Payment, PaymentRequest
from functions.shared.ports import Gateways, Ledger, RecordedPayment
from functions.shared.use_cases.end_wait import end_wait


def record_doubt(payment: Payment, request: PaymentRequest, *, ledger: Ledger) -> RecordedPayment:
    """Record a payment's first version, which is in doubt, and return the resulting record.

    If the payment was to be captured, its amount is posted to suspense.

    Raises LedgerUnavailable, LedgerConflict.
    """
    suspense = [in_doubt_entry(request.amount_minor, request.currency)] if request.capture else []
    ledger.record(*payment.post(*suspense))
    # Another process may have recorded the same a moment earlier; the next entry then follows that process's entry.
    record = ledger.find(payment.payment_id)
    assert record
    return record


def undo_charge(record: RecordedPayment, *, gateways: Gateways, ledger: Ledger, now: str) -> Payment:
    """Reverse the charge of a payment in doubt, record the outcome, and return the record. The call may be repeated.

    The payment becomes `reversed`, or `declined` if the gateway says that it had declined the charge. Its error is
    GatewayMismatch if the charge is not the one requested. Raises ReversalUnconfirmed while the gateway does not
    confirm the reversal, LedgerUnavailable, LedgerConflict.
    """
    payment = record.payment
    if not payment.reversing:
        payment = payment.moved_to("in_doubt", reversing=True)
        ledger.record(payment, previous=record.payment)
    try:
        gateway = gateways.possible(payment)
        charge = gateway.find_by_reference(payment.order)
        charge = charge and end_wait(charge, gateway=gateways.named(charge.gateway))
        reversal = gateway.reverse(payment.order)
    except UNCONFIRMED as error:
        raise ReversalUnconfirmed(f"The reversal is not confirmed: {error}") from None
    charge = charge or reversal.charge
    entries = clear_suspense(record.entries)
    # Suspense entries exist only if the payment was to be captured.
    requested = payment.payment_id, payment.amount_minor, payment.currency
    as_requested = charge is None or charge.is_as_requested(*requested, capture=bool(entries))
    if charge is not None and charge.captured_minor > 0:
        captured = capture_entry(charge.gateway, charge.captured_minor, charge.currency)
        entries += [captured, captured.reverse(payment.entry_count + len(entries) + 1)]
    ended = payment.moved_to(
        "declined" if reversal.result == "declined" else "reversed",
        gateway=charge.gateway if charge else payment.gateway,
        charge_id=charge.charge_id if charge else None,
        decline_code=charge.decline_code if charge else None,
        authentication=charge.authentication if charge else None,
        error=payment.error if as_requested else GatewayMismatch.__name__,
        updated_at=now,
    )
    ended, posted = ended.post(*entries)
    ledger.record(ended, posted, previous=payment)
    return ended
