"""The status of a payment, from the ledger or, failing that, from its execution."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from functions.shared.domain.errors import error_code
from functions.shared.domain.operation import Operation
from functions.shared.domain.payment import Payment
from functions.shared.ports import Execution, Executions, Ledger
from functions.status.follow import follow

# Many payments are captured before the first lookup. An invalid card is rejected within a second if the functions are
# warm, and within a few seconds after a cold start.
ASKED_AFTER_SECONDS = (1.5, 5.0)

_UNDER_WAY = {"status": "processing", "error": None}


def payment_status(
    payment_id: str, *, ledger: Ledger, executions: Executions, sleep: Callable[[float], None], wait_seconds: int = 0
) -> dict[str, Any] | None:
    """The payment as `GET /payments/{payment_id}` shows it, or None if it is unknown.

    Waits at most `wait_seconds` for the payment to end, which means that neither the payment nor any operation on it is
    processing, except for operations that are pending at the gateway, perhaps for days. Raises Unavailable.
    """
    payment, execution = follow(
        lambda: ledger.payment(payment_id),
        lambda: executions.find(payment_id),
        has_ended=_has_ended,
        is_in_doubt=_is_in_doubt,
        asked_after=ASKED_AFTER_SECONDS,
        wait_seconds=wait_seconds,
        sleep=sleep,
    )
    if payment is None:
        return _not_recorded(payment_id, execution) if execution else None
    # If the ledger is in doubt while the execution runs, Compensate is still at work, and the doubt is not final.
    is_under_way = _is_in_doubt(payment) and execution is not None and execution.running
    return _recorded(payment) | (_UNDER_WAY if is_under_way else {})


def _has_ended(payment: Payment) -> bool:
    return not _is_in_doubt(payment) and all(map(operation_has_ended, payment.operations))


def _is_in_doubt(payment: Payment) -> bool:
    return payment.status == "in_doubt"


def operation_has_ended(operation: Operation) -> bool:
    """Whether waiting any longer is useless, which includes an operation that is pending at the gateway."""
    return operation.status != "processing" or operation.pending


def _recorded(payment: Payment) -> dict[str, Any]:
    return {
        "payment_id": payment.payment_id,
        "status": payment.status,
        "amount_minor": payment.amount_minor,
        "currency": payment.currency,
        "captured_minor": payment.captured_minor,
        "refunded_minor": payment.refunded_minor,
        "card": _card(payment),
        "transaction_id": payment.transaction_id,
        "charge_id": payment.charge_id,
        "decline_code": payment.decline_code,
        "error": error_code(payment.error) if payment.error else None,
        "merchant_reference": payment.merchant_reference,
        "operations": [shown_operation(operation) for operation in payment.operations],
        "expires_at": payment.expires_at,
        "created_at": payment.created_at,
        "updated_at": payment.updated_at,
    }


def _card(payment: Payment) -> dict[str, Any] | None:
    """The card as shown. If a rule denied the payment, the fingerprint is hidden: it would tell somebody who tries out
    card numbers which one is right, and the limit on attempts would be useless."""
    if payment.card is None:
        return None
    return payment.card.to_dict() | ({"fingerprint": None} if payment.was_screened else {})


def shown_operation(operation: Operation) -> dict[str, Any]:
    """An operation as the API shows it."""
    shown = asdict(operation)
    del shown["updated_at"], shown["caller"], shown["pending"], shown["kept_apart"]
    if operation.charge_id is None:
        del shown["charge_id"]
    return shown


def _not_recorded(payment_id: str, execution: Execution) -> dict[str, Any]:
    """A payment that is running, was rejected, or ended unexpectedly, in which case its money is in doubt."""
    status, error = "in_doubt", execution.error
    if execution.running:
        status = "processing"
    elif execution.was_rejected:
        status, error = "rejected", execution.cause if execution.error == "PaymentRejected" else execution.error
    return {
        "payment_id": payment_id,
        "status": status,
        "amount_minor": execution.payment.amount_minor,
        "currency": execution.payment.currency,
        "captured_minor": None,
        "refunded_minor": None,
        "card": None,
        "transaction_id": None,
        "charge_id": None,
        "decline_code": None,
        "error": error_code(error) if error else None,
        "merchant_reference": execution.payment.merchant_reference,
        "operations": [],
        "expires_at": None,
        "created_at": execution.started_at,
        "updated_at": execution.stopped_at or execution.started_at,
    }
