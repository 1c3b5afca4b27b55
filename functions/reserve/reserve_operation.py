"""Reserve an operation in the payment's record before it is requested from the gateway."""

from functions.shared.domain.errors import PaymentNotFound, PaymentUnderWay
from functions.shared.domain.operation import OperationRequest
from functions.shared.domain.payment import Payment
from functions.shared.ports import Executions, Gateways, Ledger
from functions.shared.use_cases.adopt_charge import adopt_charge


def reserve_operation(
    request: OperationRequest, *, ledger: Ledger, executions: Executions, gateways: Gateways, now: str
) -> Payment:
    """Record the operation as processing, or as rejected if it is not allowed, and return the payment. Repeatable.

    Movements at the gateway itself also decide whether the operation is allowed, so they are adopted first.

    Raises PaymentNotFound (also for a rejected payment, which was never recorded), PaymentUnderWay while the payment
    has not ended or may not be visible yet, LedgerUnavailable, LedgerConflict if another process recorded at the same
    time, GatewayMismatch, and the gateway's errors.
    """
    record = ledger.find(request.payment_id)
    if record is None:
        execution = executions.find(request.payment_id)
        # DescribeExecution is eventually consistent: a payment requested just now may not be visible yet.
        if execution is None and not request.payment_would_be_visible(now):
            raise PaymentUnderWay("No payment with this id can be seen yet.")
        if execution is None or execution.was_rejected:
            raise PaymentNotFound("There is no payment with this id.")
        raise PaymentUnderWay("The payment has no end yet.")
    if record.payment.operation(request.operation_id):
        return record.payment
    payment = record.payment
    # If the request is too old, its execution ended long ago, and no other execution would send it to the gateway.
    if request.is_too_late(now):
        reserved = payment.reject(request, "expired", now)
    else:
        payment = adopt_charge(record, gateways=gateways, ledger=ledger, now=now).payment
        reserved = payment.reserve(request, now)
        in_part = request.amount_minor not in (None, payment.amount_minor)
        # A payment that can be reserved for has a charge, and so a gateway.
        if not _is_rejected(reserved, request) and not gateways.of(payment).abilities.include(
            request.type, in_part=in_part
        ):
            reserved = payment.reject(request, "not_supported_by_gateway", now)
    ledger.record(reserved, previous=payment)
    return reserved


def _is_rejected(payment: Payment, request: OperationRequest) -> bool:
    operation = payment.operation(request.operation_id)
    return operation is not None and not operation.is_open
