"""The status of an operation on a payment, from the ledger or, failing that, from the operation's execution."""

from collections.abc import Callable
from typing import Any

from functions.shared.domain.errors import PaymentNotFound, error_code
from functions.shared.domain.operation import PAYMENT_VISIBLE_WITHIN_SECONDS, Operation
from functions.shared.domain.payment_body import operation_body
from functions.shared.ports import Execution, Executions, Ledger
from functions.status.follow import follow
from functions.status.payment_status import operation_has_ended

# Most operations are recorded before the first lookup. An operation on a payment that does not exist is rejected once
# the payment would have become visible.
LOOKUP_AFTER_SECONDS = (1.5, PAYMENT_VISIBLE_WITHIN_SECONDS + 2.0)


class ForAnotherPayment(Exception):
    """The operation belongs to a payment other than the requested one."""


def operation_status(
    payment_id: str,
    operation_id: str,
    *,
    ledger: Ledger,
    executions: Executions,
    sleep: Callable[[float], None],
    wait_seconds: int = 0,
) -> dict[str, Any] | None:
    """The operation as `GET /payments/{payment_id}/operations/{operation_id}` shows it, or None if it is unknown.

    Waits at most `wait_seconds` for the operation to end. It also shows an operation whose payment has no record,
    because the payment does not exist or was rejected. `executions` are the operations' executions. Raises
    ForAnotherPayment, Unavailable.
    """

    def read_record() -> Operation | None:
        payment = ledger.payment(payment_id)
        return payment.operation(operation_id) if payment else None

    def find_execution() -> Execution | None:
        execution = executions.find(operation_id)
        if execution and execution.request.get("payment_id") != payment_id:
            raise ForAnotherPayment
        return execution

    operation, execution = follow(
        read_record,
        find_execution,
        has_ended=operation_has_ended,
        is_in_doubt=lambda operation: False,
        lookup_after_seconds=LOOKUP_AFTER_SECONDS,
        wait_seconds=wait_seconds,
        sleep=sleep,
    )
    if operation is not None:
        return {"payment_id": payment_id} | operation_body(operation)
    return _from_execution(payment_id, operation_id, execution) if execution else None


def _from_execution(payment_id: str, operation_id: str, execution: Execution) -> dict[str, Any]:
    """An operation that is running, was rejected because its payment does not exist, or ended unexpectedly."""
    status, error = "in_doubt", execution.error
    if execution.running:
        status = "processing"
    elif execution.error == "OperationRejected":
        status, error = "rejected", execution.cause or PaymentNotFound.__name__
    return {
        "payment_id": payment_id,
        "operation_id": operation_id,
        "type": execution.request.get("operation"),
        "amount_minor": execution.request.get("amount_minor"),
        "status": status,
        "error": error_code(error) if error else None,
        "created_at": execution.started_at,
        "source": None,
    }
