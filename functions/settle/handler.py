"""State `Settle`: takes the gateway's answer to an operation, and returns the recorded outcome."""

from typing import Any

from functions.shared import runtime
from functions.shared.use_cases.perform_operation import Performed
from functions.shared.use_cases.settle_operation import outcome_of, settle_operation

METRICS = {
    "succeeded": "OperationSucceeded",
    "rejected": "OperationRejected",
    "in_doubt": "OperationInDoubt",
    "processing": "OperationPending",
}


@runtime.function("settle", uses=(runtime.ledger, runtime.books_mac))
def handler(event: runtime.Event) -> dict[str, Any]:
    payment_id, operation_id = event["payment_id"], event["operation_id"]
    performed = Performed.from_dict(event["performed"])
    payment = runtime.retry_conflicts(
        lambda: settle_operation(payment_id, operation_id, performed, ledger=runtime.ledger(), now=runtime.now())
    )
    settled = outcome_of(payment, operation_id)
    runtime.count(METRICS[settled["status"]])
    return settled
