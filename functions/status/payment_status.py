"""The status of a payment, from the ledger or, failing that, from its execution."""

from collections.abc import Callable
from typing import Any

from functions.shared.domain.errors import error_code
from functions.shared.domain.operation import Operation
from functions.shared.domain.payment import Payment
from functions.shared.domain.payment_body import NOTHING_KNOWN, payment_body
from functions.shared.ports import (
    CardVault,
    CustomerWait,
    CustomerWaits,
    Execution,
    Executions,
    Ledger,
    StoredOnRequest,
)
from functions.status.follow import follow

# Many payments are captured before the first lookup. An invalid card is rejected within a second if the functions are
# warm, and within a few seconds after a cold start.
LOOKUP_AFTER_SECONDS = (1.5, 5.0)

_PROCESSING = {"status": "processing", "error": None}


class _OnlyStored(Exception):
    """The id is the key of a request that stored a card, and no payment's."""

    def __init__(self, stored: StoredOnRequest) -> None:
        super().__init__()
        self.stored = stored


class _Waits(Exception):
    """The payment waits for its customer."""

    def __init__(self, wait: CustomerWait) -> None:
        super().__init__()
        self.wait = wait


def payment_status(
    payment_id: str,
    *,
    ledger: Ledger,
    executions: Executions,
    customer_waits: CustomerWaits,
    card_vault: CardVault,
    now: Callable[[], str],
    sleep: Callable[[float], None],
    wait_seconds: int = 0,
) -> dict[str, Any] | None:
    """The payment as `GET /payments/{payment_id}` shows it, or None if it is unknown.

    Waits at most `wait_seconds` for the payment to end, which means that neither the payment nor any operation on it is
    processing, except for operations that are pending at the gateway, perhaps for days; or for the payment to wait for
    its customer, to whom the caller has to show the way (`action_required`). If there is no payment, but a
    request with this key has stored a card, the card is shown as a payment that is `stored`. Raises Unavailable.
    """

    def read_record() -> Payment | None:
        payment = ledger.payment(payment_id)
        if payment is None and (wait := customer_waits.find(payment_id)):
            raise _Waits(wait)
        return payment

    def find() -> Execution | None:
        execution = executions.find(payment_id)
        if execution is None and (stored := card_vault.stored_on_request(payment_id, now())):
            raise _OnlyStored(stored)
        return execution

    try:
        payment, execution = follow(
            read_record,
            find,
            has_ended=_has_ended,
            is_in_doubt=_is_in_doubt,
            lookup_after_seconds=LOOKUP_AFTER_SECONDS,
            wait_seconds=wait_seconds,
            sleep=sleep,
        )
    except _OnlyStored as only:
        return _stored(payment_id, only.stored)
    except _Waits as waiting:
        execution = executions.find(payment_id)
        if execution is None or not execution.running:  # somebody has stopped it, and the wait is about to be erased
            return _from_execution(payment_id, execution) if execution else None
        return _from_execution(payment_id, execution) | _action_required(waiting.wait)
    if payment is None:
        return _from_execution(payment_id, execution) if execution else None
    # If the ledger is in doubt while the execution runs, Compensate is still at work, and the doubt is not final.
    is_processing = _is_in_doubt(payment) and execution is not None and execution.running
    return payment_body(payment) | (_PROCESSING if is_processing else {})


def _has_ended(payment: Payment) -> bool:
    return not _is_in_doubt(payment) and all(map(operation_has_ended, payment.operations))


def _is_in_doubt(payment: Payment) -> bool:
    return payment.status == "in_doubt"


def operation_has_ended(operation: Operation) -> bool:
    """Whether waiting any longer is useless, which includes an operation that is pending at the gateway."""
    return operation.status != "processing" or operation.pending


def _from_execution(payment_id: str, execution: Execution) -> dict[str, Any]:
    """A payment that is running, was rejected, or ended unexpectedly, in which case its money is in doubt."""
    status, error, payment = "in_doubt", execution.error, execution.payment
    if execution.running:
        status = "processing"
    elif execution.was_rejected:
        status, error = "rejected", execution.cause if execution.error == "PaymentRejected" else execution.error
    return NOTHING_KNOWN | {
        "payment_id": payment_id,
        "status": status,
        "amount_minor": payment and payment.amount_minor,
        "currency": payment and payment.currency,
        "error": error_code(error) if error else None,
        "merchant_reference": execution.request.get("merchant_reference"),
        "metadata": execution.request.get("metadata") or {},
        "initiator": payment and payment.initiator,
        "reason": payment and payment.reason,
        "created_at": execution.started_at,
        "updated_at": execution.stopped_at or execution.started_at,
    }


def _action_required(wait: CustomerWait) -> dict[str, Any]:
    return {
        "status": "action_required",
        "charge_id": wait.charge_id,
        "gateway": wait.gateway,
        "next_action": {"type": "redirect", "url": wait.redirect_url},
        "action_required_since": wait.since,
    }


def _stored(payment_id: str, stored: StoredOnRequest) -> dict[str, Any]:
    """A card that was stored without a payment; erased since, if it is null."""
    return NOTHING_KNOWN | {
        "payment_id": payment_id,
        "status": "stored",
        "captured_minor": 0,
        "refunded_minor": 0,
        "disputed_minor": 0,
        "card": stored.card.to_dict() if stored.card else None,
        "created_at": stored.created_at,
        "updated_at": stored.created_at,
    }
