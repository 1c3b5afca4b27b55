"""GET /payments/{payment_id}."""

from typing import Any

from functions.shared import http, runtime
from functions.shared.domain.errors import Unavailable
from functions.shared.domain.shapes import canonical_id, is_id
from functions.status.payment_status import payment_status


def _payment_id(event: runtime.Event) -> object:
    """Read before the contract is checked, so that a refusal is logged under the payment's id too."""
    match event:
        case {"pathParameters": {"payment_id": payment_id}}:
            return payment_id
    return None


@runtime.function("status", uses=(runtime.ledger, runtime.executions), payment_id=_payment_id)
def handler(event: runtime.Event) -> dict[str, Any]:
    payment_id = event["pathParameters"]["payment_id"]
    if not is_id(payment_id):
        return _NOT_FOUND  # without a look: where it would be looked for, it would be written down
    try:
        ledger, executions = runtime.ledger(), runtime.executions()
        payment = payment_status(canonical_id(payment_id), ledger=ledger, executions=executions, sleep=runtime.sleep)
    except Unavailable as error:
        runtime.logger.warning("unavailable", reason=str(error))
        return http.error(503, "service_unavailable", "Nothing is known right now. Ask again in a moment.")
    return http.answer(200, payment) if payment else _NOT_FOUND


_NOT_FOUND = http.error(404, "payment_not_found", "There is no payment with this id.")
