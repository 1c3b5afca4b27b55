"""Reserve an operation in the payment's record, before the gateway is asked for it."""

from functions.shared.domain.errors import PaymentNotFound, PaymentUnderWay
from functions.shared.domain.operation import OperationRequest
from functions.shared.domain.payment import Payment
from functions.shared.ports import Executions, Ledger, PaymentGateway
from functions.shared.use_cases.adopt_charge import adopt_charge


def reserve_operation(
    request: OperationRequest, *, ledger: Ledger, executions: Executions, gateway: PaymentGateway, now: str
) -> Payment:
    """Record the operation as processing, or as rejected if it may not be done, and return the payment. Safe to repeat.

    Whether it may be done also depends on what was done at the gateway itself, so that is adopted first.

    Raises PaymentNotFound (also for a payment that was rejected: it was never recorded), PaymentUnderWay while the
    payment has not ended or perhaps cannot be seen yet, LedgerUnavailable, LedgerConflict if another process recorded
    at the same time, GatewayMismatch, and what the gateway raises.
    """
    known = ledger.find(request.payment_id)
    if known is None:
        execution = executions.find(request.payment_id)
        # DescribeExecution is eventually consistent: a payment that was just asked for may not be seen yet.
        if execution is None and not request.is_old(now):
            raise PaymentUnderWay("No payment with this id can be seen yet.")
        if execution is None or execution.was_rejected:
            raise PaymentNotFound("There is no payment with this id.")
        raise PaymentUnderWay("The payment has no end yet.")
    if known.payment.operation(request.operation_id):
        return known.payment
    # The execution of a request that is too old has ended long ago, and no other would ask the gateway for it.
    if request.is_too_late(now):
        reserved = known.payment.reject(request, "expired", now)
    else:
        payment = adopt_charge(known, gateway=gateway, ledger=ledger, now=now).payment
        reserved = payment.reserve(request, now)
    ledger.record(reserved)
    return reserved
