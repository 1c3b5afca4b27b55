"""State `Reserve`: takes a request for a refund, capture or void, and returns whether it is allowed."""

from typing import Any

from functions.reserve.reserve_operation import reserve_operation
from functions.shared import runtime
from functions.shared.domain.operation import OperationRequest
from functions.shared.use_cases.settle_operation import outcome_of


def _payment_id(event: runtime.Event) -> object:
    """Read the id before the contract is checked, so that refusals are logged with the payment's id, too."""
    match event:
        case {"request": {"payment_id": payment_id}}:
            return payment_id
    return None


@runtime.function(
    "reserve",
    uses=(runtime.ledger, runtime.books_mac, runtime.executions, runtime.gateways),
    payment_id=_payment_id,
)
def handler(event: runtime.Event) -> dict[str, Any]:
    request = OperationRequest.from_request(event["operation_id"], event["request"], event["requested_at"])
    ledger, executions, gateways = runtime.ledger(), runtime.executions(), runtime.gateways()
    payment = runtime.retry_conflicts(
        lambda: reserve_operation(request, ledger=ledger, executions=executions, gateways=gateways, now=runtime.now())
    )
    reserved = outcome_of(payment, request.operation_id)
    if reserved["status"] == "rejected":
        runtime.count("OperationRejected")
    return reserved
