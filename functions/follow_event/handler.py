"""Follow the gateways' events that wait in the queue: SQS calls this function with them."""

import json
from typing import Any

from functions.follow_event.follow_event import follow_event
from functions.shared import runtime
from functions.shared.domain.errors import GatewayMismatch, LedgerConflict, Unavailable
from functions.shared.domain.gateway_event import GatewayEvent

FACTORIES = (runtime.ledger, runtime.books_mac, runtime.gateways, runtime.executions, runtime.customer_waits)


@runtime.function("follow_event", uses=FACTORIES, payment_id=lambda event: None)
def handler(event: runtime.Event) -> dict[str, Any]:
    failed = [record["messageId"] for record in event["Records"] if not _follow(json.loads(record["body"]))]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _follow(message: dict[str, Any]) -> bool:
    """Whether the event needs no other attempt. If it does, SQS delivers it again."""
    gateway_event = GatewayEvent(**message["event"])
    about = {"gateway": message["gateway"], "type": gateway_event.type, "payment_id": gateway_event.payment_id}

    def follow() -> str:
        return follow_event(
            message["gateway"],
            gateway_event,
            gateways=runtime.gateways(),
            ledger=runtime.ledger(),
            executions=runtime.executions(),
            customer_waits=runtime.customer_waits(),
            now=runtime.now(),
        )

    try:
        runtime.retry_conflicts(follow)
    except GatewayMismatch as error:
        # The alarm calls somebody at once; a retry would only raise it again.
        runtime.count("GatewayMismatch")
        runtime.logger.warning("event not followed", **about, reason=str(error))
    except (Unavailable, LedgerConflict) as error:
        runtime.logger.warning("event to be followed later", **about, error=type(error).__name__, reason=str(error))
        return False
    return True
