"""State `Confirm`: takes a charge that waited for the customer, and returns the gateway's outcome as Charge does."""

from typing import Any

from functions.confirm.confirm_charge import confirm_charge
from functions.shared import runtime
from functions.shared.domain.card import CardSummary
from functions.shared.domain.caught import message
from functions.shared.domain.payment import PaymentRequest


@runtime.function("confirm", uses=(runtime.customer_waits, runtime.gateways))
def handler(event: runtime.Event) -> dict[str, Any]:
    action = message(event["action"])
    return confirm_charge(
        event["payment_id"],
        PaymentRequest.from_request(event["payment"]),
        CardSummary.from_dict(event["card"]),
        event["started_at"],
        action["charge_id"],
        customer_waits=runtime.customer_waits(),
        gateway=runtime.gateways().named(action["gateway"]),
    )
