"""States `Look` and `Resolve`: the id of a payment whose execution ended badly in, its status out."""

from typing import Any

from functions.resolve.resolve_payment import resolve_payment
from functions.shared import runtime
from functions.shared.domain.errors import GatewayMismatch


@runtime.function("resolve")
def handler(event: runtime.Event) -> dict[str, Any]:
    status, error = resolve_payment(
        event["payment_id"],
        gateway=runtime.gateway(),
        ledger=runtime.ledger(),
        executions=runtime.executions(),
        now=runtime.now(),
        ask_gateway=event["ask_gateway"],
    )
    if event["ask_gateway"] and status not in ("in_doubt", "processing"):
        runtime.count("PaymentResolved")
        if error == GatewayMismatch.__name__:
            runtime.count(GatewayMismatch.__name__)
    return {"payment_id": event["payment_id"], "status": status}
