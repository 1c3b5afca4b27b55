"""GET /payments/{payment_id}, and GET /payments/{payment_id}/operations/{operation_id}."""

from typing import Any

from functions.shared import http, runtime
from functions.shared.domain.shapes import canonical_id, is_id
from functions.status.follow import LONGEST_WAIT_SECONDS
from functions.status.operation_status import ForAnotherPayment, operation_status
from functions.status.payment_status import payment_status


def _payment_id(event: runtime.Event) -> object:
    """Read the id before the contract is checked, so that refusals are logged with the payment's id, too."""
    match event:
        case {"pathParameters": {"payment_id": payment_id}}:
            return payment_id
    return None


FACTORIES = (
    runtime.ledger,
    runtime.executions,
    runtime.operation_executions,
    runtime.customer_waits,
    runtime.card_vault,
)


@runtime.function("status", uses=FACTORIES, payment_id=_payment_id, if_unavailable=http.UNAVAILABLE)
def handler(event: runtime.Event) -> dict[str, Any]:
    payment_id, operation_id = (event["pathParameters"].get(name) for name in ("payment_id", "operation_id"))
    not_found = _PAYMENT_NOT_FOUND if operation_id is None else _OPERATION_NOT_FOUND
    if not is_id(payment_id) or not (operation_id is None or is_id(operation_id)):
        return not_found  # without a lookup, which could leave an invalid id, perhaps a card number, in logs
    wait_seconds = _WAITS.get((event.get("queryStringParameters") or {}).get("wait", "0"))
    if wait_seconds is None:
        return _INVALID_WAIT
    try:
        ledger = runtime.ledger()
        if operation_id is None:
            body = payment_status(
                canonical_id(payment_id),
                ledger=ledger,
                executions=runtime.executions(),
                customer_waits=runtime.customer_waits(),
                card_vault=runtime.card_vault(),
                now=runtime.now,
                sleep=runtime.sleep,
                wait_seconds=wait_seconds,
            )
        else:
            body = operation_status(
                canonical_id(payment_id),
                canonical_id(operation_id),
                ledger=ledger,
                executions=runtime.operation_executions(),
                sleep=runtime.sleep,
                wait_seconds=wait_seconds,
            )
    except ForAnotherPayment:
        return _KEY_USED
    return http.answer(200, body) if body else not_found


_WAITS = {str(seconds): seconds for seconds in range(LONGEST_WAIT_SECONDS + 1)}
_INVALID_WAIT = http.error(400, "invalid_request", "wait is a whole number of seconds from 0 to 25.")
_PAYMENT_NOT_FOUND = http.error(404, "payment_not_found", "There is no payment with this id.")
_OPERATION_NOT_FOUND = http.error(404, "operation_not_found", "There is no operation with this id.")
_KEY_USED = http.error(
    409, "key_used_for_another_request", "This Idempotency-Key was used for an operation on another payment."
)
