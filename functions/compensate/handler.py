"""State `Compensate`: takes a payment that failed after money may have moved, and returns its outcome."""

from typing import Any

from functions.compensate.compensate_payment import ChargeResult, compensate_payment, payment_from
from functions.shared import runtime
from functions.shared.domain.errors import GatewayMismatch, PaymentError
from functions.shared.domain.payment import PaymentRequest

# Counted only if Compensate recorded the outcome, which then has an error. Earlier states count what they record.
METRICS = {"reversed": "PaymentReversed", "declined": "PaymentDeclined"}


FACTORIES = (
    runtime.ledger,
    runtime.books_mac,
    runtime.held_cards,
    runtime.gateways,
    runtime.velocity_counter,
)


@runtime.function("compensate", uses=FACTORIES)
def handler(event: runtime.Event) -> dict[str, Any]:
    request = PaymentRequest.from_request(event["payment"])
    payment = payment_from(event, runtime.now())
    charge_result = ChargeResult(event["charge"]["outcome"], event["charge"].get("charge_id"))
    try:
        ended = compensate_payment(
            payment,
            request,
            charge_result,
            gateways=runtime.gateways(),
            ledger=runtime.ledger(),
            velocity_counter=runtime.velocity_counter(),
        )
        runtime.held_cards().erase(ended.payment_id, payment.updated_at)
    except PaymentError:
        runtime.count("CompensationFailed")
        raise
    if ended.error and ended.status in METRICS:
        runtime.count(METRICS[ended.status])
    if ended.error == GatewayMismatch.__name__ or any(operation.charge_id for operation in ended.operations):
        runtime.count(GatewayMismatch.__name__)
    return ended.outcome()
