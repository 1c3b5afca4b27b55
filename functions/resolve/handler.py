"""States `Look` and `Resolve`: take a payment or an operation whose execution failed, and return its status."""

from datetime import datetime, timedelta
from typing import Any

from functions.resolve.resolve_operation import resolve_operation
from functions.shared import runtime
from functions.shared.domain.errors import GatewayMismatch, PaymentUnderWay
from functions.shared.domain.shapes import is_id
from functions.shared.use_cases.resolve_payment import resolve_payment

# An execution of resolve runs for at least this long, the duration of its first wait. A later look was delayed, and the
# execution that requested it may have ended.
MIN_RUN_TIME = timedelta(minutes=5)

FACTORIES = (
    runtime.ledger,
    runtime.books_mac,
    runtime.held_cards,
    runtime.gateways,
    runtime.executions,
    runtime.operation_executions,
    runtime.attendance,
)


@runtime.function("resolve", uses=FACTORIES)
def handler(event: runtime.Event) -> dict[str, Any]:
    ports: dict[str, Any] = {
        "gateways": runtime.gateways(),
        "ledger": runtime.ledger(),
        "now": runtime.now(),
        "ask_gateway": event["ask_gateway"],
    }
    payment_id, error, payments = event["payment_id"], None, runtime.executions()
    if event["operation_id"]:
        executions = runtime.operation_executions()
        payment_id, status = resolve_operation(event["operation_id"], executions=executions, payments=payments, **ports)
    else:
        status, error = resolve_payment(payment_id, executions=payments, **ports)
        # A name that is no id could be a card number. Its execution was started by hand and held no card.
        if status != "processing" and is_id(payment_id):
            runtime.held_cards().erase(payment_id, ports["now"])
    if not event["ask_gateway"]:
        if status == "processing":
            # Step Functions may show an ended execution as running for another moment.
            raise PaymentUnderWay("The execution is not seen to have ended yet.")
        if _requester_is_running(event):
            machine = "operation" if event["operation_id"] else "payment"
            runtime.attendance().attend(machine, event[f"{machine}_id"], runtime.now())
    if event["ask_gateway"] and status not in ("in_doubt", "processing", "pending"):
        runtime.count("OperationResolved" if event["operation_id"] else "PaymentResolved")
        if error == GatewayMismatch.__name__:
            runtime.count(GatewayMismatch.__name__)
    return {"payment_id": payment_id, "operation_id": event["operation_id"], "status": status}


def _requester_is_running(event: runtime.Event) -> bool:
    """Whether the execution that requested this look must still be running and so looks after the payment or operation.

    A name that is not a valid id needs no attendance: it could be a card number, and its execution moved no money.
    """
    if "started_at" not in event or not is_id(event["operation_id"] or event["payment_id"]):
        return False
    return datetime.fromisoformat(runtime.now()) - datetime.fromisoformat(event["started_at"]) < MIN_RUN_TIME
