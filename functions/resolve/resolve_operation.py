"""Clear the doubt about an operation whose execution ended unexpectedly, by repeating the request to the gateway."""

from typing import get_args

from functions.shared.domain.errors import InvalidInput, PaymentNotFound, error_code
from functions.shared.domain.operation import Operation, OperationRequest, OperationType
from functions.shared.domain.payment import Payment
from functions.shared.ports import Execution, Executions, Gateways, Ledger
from functions.shared.use_cases.adopt_charge import adopt_charge
from functions.shared.use_cases.perform_operation import Performed, perform_operation, reserved_in
from functions.shared.use_cases.settle_operation import settle_operation


def resolve_operation(
    operation_id: str,
    *,
    gateways: Gateways,
    ledger: Ledger,
    executions: Executions,
    payments: Executions,
    now: str,
    ask_gateway: bool = True,
) -> tuple[str, str]:
    """Return the payment's id and the operation's status: `succeeded`, `rejected`, `in_doubt`, `processing`, or
    `pending` if the gateway has accepted the operation but not ended it yet.

    First the gateway's charge is adopted, which may reveal the operation's outcome. If it doesn't, a reserved operation
    is requested from the gateway, again or for the first time, which is safe and what the merchant wanted. An operation
    that was never reserved is rejected, which rules out reserving it later. Without `ask_gateway`, only the doubt is
    recorded. `executions` are the operations' executions, and `payments` the payments' executions.

    Raises PaymentNotFound if the operation is unknown, and the errors of the ports and the gateway; the operation then
    stays in doubt.
    """
    execution = executions.find(operation_id)
    if execution is None:
        raise PaymentNotFound("There is no operation with this id.")
    if _has_invalid_input(execution):
        return str(execution.request.get("payment_id")), "rejected"
    request = OperationRequest.from_request(operation_id, execution.request, execution.started_at)
    if execution.running:
        return request.payment_id, "processing"
    record = ledger.find(request.payment_id)
    if record is None:
        # Once the payment is recorded, a late Reserve could still find it, so the record must then show this operation
        # as rejected. Only a payment that was rejected itself is never recorded.
        payment_execution = payments.find(request.payment_id)
        may_be_recorded = payment_execution is not None and not payment_execution.was_rejected
        may_be_reserved = may_be_recorded or not request.is_too_late(now)
        return request.payment_id, "processing" if may_be_reserved else "rejected"
    payment = record.payment
    operation = payment.operation(operation_id)
    if operation is None:
        ledger.record(payment.reject(request, _failure_code(execution), now), previous=payment)
        return request.payment_id, "rejected"
    if operation.is_open and ask_gateway:
        payment = adopt_charge(record, gateways=gateways, ledger=ledger, now=now).payment
        operation = _recorded_operation(payment, operation_id)
    if operation.is_open and not operation.pending:
        performed = Performed(reason=_failure_code(execution))
        if ask_gateway:
            performed = perform_operation(reserved_in(payment, operation), gateways=gateways, ledger=ledger)
        payment = settle_operation(request.payment_id, operation_id, performed, ledger=ledger, now=now)
        operation = _recorded_operation(payment, operation_id)
    return request.payment_id, "pending" if operation.pending else operation.status


def _recorded_operation(payment: Payment, operation_id: str) -> Operation:
    operation = payment.operation(operation_id)
    assert operation  # the record contains the operation
    return operation


def _has_invalid_input(execution: Execution) -> bool:
    """Whether Reserve can't have accepted the input, because the execution was started by hand with arbitrary data."""
    is_readable = "payment_id" in execution.request and execution.request.get("operation") in get_args(OperationType)
    return not is_readable or (execution.error, execution.cause) == ("OperationRejected", InvalidInput.__name__)


def _failure_code(execution: Execution) -> str:
    return error_code(execution.error or "ExecutionStopped")
