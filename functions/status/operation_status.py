"""What is known of one operation on a payment: from the ledger, else from its execution."""

from collections.abc import Callable
from typing import Any

from functions.shared.domain.errors import PaymentNotFound, error_code
from functions.shared.domain.operation import SEEN_WITHIN_SECONDS, Operation
from functions.shared.ports import Execution, Executions, Ledger
from functions.status.follow import follow
from functions.status.payment_status import operation_has_ended, shown_operation

# Most operations are recorded before the first. One on a payment that there is not is rejected once that would be seen.
ASKED_AFTER_SECONDS = (1.5, SEEN_WITHIN_SECONDS + 2.0)


class ForAnotherPayment(Exception):
    """The operation is one on another payment than the one that was asked about."""


def operation_status(
    payment_id: str,
    operation_id: str,
    *,
    ledger: Ledger,
    executions: Executions,
    sleep: Callable[[float], None],
    wait_seconds: int = 0,
) -> dict[str, Any] | None:
    """The operation as `GET /payments/{payment_id}/operations/{operation_id}` shows it, or None if nobody knows one.

    Waits so long for it to end. It is also the place where an operation shows whose payment has no record to show it
    in: there is none, or it was rejected. `executions` are the operations' executions. Raises ForAnotherPayment,
    Unavailable.
    """

    def recorded() -> Operation | None:
        payment = ledger.payment(payment_id)
        return payment.operation(operation_id) if payment else None

    def find() -> Execution | None:
        execution = executions.find(operation_id)
        if execution and execution.request.get("payment_id") != payment_id:
            raise ForAnotherPayment
        return execution

    operation, execution = follow(
        recorded,
        find,
        has_ended=operation_has_ended,
        is_in_doubt=lambda operation: False,
        asked_after=ASKED_AFTER_SECONDS,
        wait_seconds=wait_seconds,
        sleep=sleep,
    )
    if operation is not None:
        return {"payment_id": payment_id} | shown_operation(operation)
    return _not_recorded(payment_id, operation_id, execution) if execution else None


def _not_recorded(payment_id: str, operation_id: str, execution: Execution) -> dict[str, Any]:
    """One that runs, that was rejected as there is no payment, or that ended in a way that nobody planned."""
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
