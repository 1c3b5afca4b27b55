"""States `Look` and `Resolve`: a payment or an operation whose execution ended badly in, its status out."""

from typing import Any

from functions.resolve.resolve_operation import resolve_operation
from functions.resolve.resolve_payment import resolve_payment
from functions.shared import runtime
from functions.shared.domain.errors import GatewayMismatch


@runtime.function("resolve", uses=(runtime.ledger, runtime.gateway, runtime.executions, runtime.operation_executions))
def handler(event: runtime.Event) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "gateway": runtime.gateway(),
        "ledger": runtime.ledger(),
        "now": runtime.now(),
        "ask_gateway": event["ask_gateway"],
    }
    payment_id, error, payments = event["payment_id"], None, runtime.executions()
    if event["operation_id"]:
        executions = runtime.operation_executions()
        payment_id, status = resolve_operation(event["operation_id"], executions=executions, payments=payments, **asked)
    else:
        status, error = resolve_payment(payment_id, executions=payments, **asked)
    if event["ask_gateway"] and status not in ("in_doubt", "processing"):
        runtime.count("OperationResolved" if event["operation_id"] else "PaymentResolved")
        if error == GatewayMismatch.__name__:
            runtime.count(GatewayMismatch.__name__)
    return {"payment_id": payment_id, "operation_id": event["operation_id"], "status": status}
