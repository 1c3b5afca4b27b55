"""State `AwaitCustomer`: takes a charge that waits for the customer, and the token with which the state ends."""

from datetime import timedelta
from typing import Any

from functions.await_customer.await_customer import await_customer
from functions.shared import runtime
from functions.shared.domain.caught import message

# `customer_waits` makes its cipher on first use. Every call uses it, so it is made before the first call.
FACTORIES = (runtime.customer_waits, runtime.ephemeral_cipher, runtime.gateways)


@runtime.function("await_customer", uses=FACTORIES)
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
