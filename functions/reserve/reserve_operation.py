"""Reserve an operation in the payment's record, before the gateway is asked for it."""

from functions.shared.domain.errors import PaymentNotFound, PaymentUnderWay
from functions.shared.domain.operation import OperationRequest
from functions.shared.domain.payment import Payment
from functions.shared.ports import Executions, Ledger


def reserve_operation(request: OperationRequest, *, ledger: Ledger, executions: Executions, now: str) -> Payment:
    """Record the operation as processing, or as rejected if it may not be done, and return the payment. Safe to repeat.

    Raises PaymentNotFound (also for a payment that was rejected: it was never recorded), PaymentUnderWay while the
    payment has no end, or may just not be seen, yet, LedgerUnavailable, and LedgerConflict where somebody else recorded
    at the same time.
    """
    payment = ledger.payment(request.payment_id)
    if payment is None:
        execution = executions.find(request.payment_id)
        # DescribeExecution is eventually consistent: a payment that was just asked for may not be seen yet.
        if execution is None and not request.is_old(now):
            raise PaymentUnderWay("No payment with this id can be seen yet.")
        if execution is None or execution.was_rejected:
            raise PaymentNotFound("There is no payment with this id.")
        raise PaymentUnderWay("The payment has no end yet.")
    if payment.operation(request.operation_id):
        return payment
    # When it is too late, its execution is long over, and nobody would ask the gateway for it.
    late = request.is_too_late(now)
    reserved = payment.reject(request, "expired", now) if late else payment.reserve(request, now)
    ledger.record(reserved)
    return reserved
