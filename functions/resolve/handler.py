"""States `Look` and `Resolve`: a payment or an operation whose execution ended badly in, its status out."""

from typing import Any

from functions.resolve.resolve_operation import resolve_operation
from functions.resolve.resolve_payment import resolve_payment
from functions.shared import runtime
from functions.shared.domain.errors import GatewayMismatch, PaymentUnderWay
from functions.shared.domain.shapes import is_id

USES = (
    runtime.ledger,
    runtime.gateway,
    runtime.executions,
    runtime.operation_executions,
    runtime.attendance,
)


@runtime.function("resolve", uses=USES)
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
    if not event["ask_gateway"]:
        if status == "processing":
            # An execution that has ended may be shown as running for a moment yet.
            raise PaymentUnderWay("The execution is not seen to have ended yet.")
        # There is no doubt, or whoever had this look taken goes on to ask the gateway. Not before it has ended, though:
        # who looks too early leaves, and somebody else has to come.
        machine = "operation" if event["operation_id"] else "payment"
        if is_id(name := event[f"{machine}_id"]):  # any other name could be a card number, and moved no money
            runtime.attendance().attend(machine, name, runtime.now())
    if event["ask_gateway"] and status not in ("in_doubt", "processing"):
        runtime.count("OperationResolved" if event["operation_id"] else "PaymentResolved")
        if error == GatewayMismatch.__name__:
            runtime.count(GatewayMismatch.__name__)
    return {"payment_id": payment_id, "operation_id": event["operation_id"], "status": status}
