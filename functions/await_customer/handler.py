"""State `AwaitCustomer`: takes a charge that waits for the customer, and the token with which the state ends."""

from datetime import timedelta
from typing import Any

from functions.await_customer.await_customer import await_customer
from functions.shared import runtime
from functions.shared.domain.caught import message


@runtime.function("await_customer", uses=(runtime.customer_waits, runtime.gateways))
def handler(event: runtime.Event) -> dict[str, Any]:
    action = message(event["action"])
    wait = await_customer(
        event["payment_id"],
        action["charge_id"],
        event["task_token"],
        customer_waits=runtime.customer_waits(),
        gateway=runtime.gateways().named(action["gateway"]),
        now=runtime.now(),
        timeout=timedelta(minutes=runtime.customer_timeout_minutes()),
    )
    return {"until": wait.until}
