"""What is known of one operation on a payment: from the ledger, else from its execution."""

from collections.abc import Callable
from typing import Any

from functions.shared.domain.errors import PaymentNotFound, error_code
from functions.shared.ports import Execution, Executions, Ledger
from functions.status.payment_status import PAUSES_SECONDS, shown_operation


class ForAnotherPayment(Exception):
    """The operation is one on another payment than the one that was asked about."""


def operation_status(
    payment_id: str, operation_id: str, *, ledger: Ledger, executions: Executions, sleep: Callable[[float], None]
) -> dict[str, Any] | None:
    """The operation as `GET /payments/{payment_id}/operations/{operation_id}` shows it, or None if nobody knows one.

    It is also the place where an operation shows whose payment has no record to show it in: there is none, or it was
    rejected. `executions` are the operations' executions. Raises ForAnotherPayment, Unavailable.
    """
    for pause in PAUSES_SECONDS:
        if shown := _look(payment_id, operation_id, ledger=ledger, executions=executions):
            return shown
        sleep(pause)
    return _look(payment_id, operation_id, ledger=ledger, executions=executions)


def _look(payment_id: str, operation_id: str, *, ledger: Ledger, executions: Executions) -> dict[str, Any] | None:
    if shown := _recorded(payment_id, operation_id, ledger):
        return shown
    execution = executions.find(operation_id)
    if execution is None:
        return None
    if execution.request.get("payment_id") != payment_id:
        raise ForAnotherPayment
    # It may have been recorded, and have ended, since the first look.
    return _recorded(payment_id, operation_id, ledger) or _not_recorded(payment_id, operation_id, execution)


def _recorded(payment_id: str, operation_id: str, ledger: Ledger) -> dict[str, Any] | None:
    payment = ledger.payment(payment_id)
    operation = payment.operation(operation_id) if payment else None
    return {"payment_id": payment_id} | shown_operation(operation) if operation else None


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
