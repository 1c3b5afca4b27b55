"""Deliver events to the webhook endpoints: SQS calls this function with the messages of each endpoint's queue."""

import json
from typing import Any

from functions.deliver.deliver_event import deliver_event, pause_seconds
from functions.shared import runtime
from functions.shared.domain.errors import QueueUnavailable, Unavailable
from functions.shared.domain.event import EndpointGone, Event, NotDelivered
from functions.shared.domain.shapes import is_id


@runtime.function(
    "deliver", uses=(runtime.webhook_endpoints, runtime.events, runtime.deliveries), payment_id=lambda event: None
)
def handler(event: runtime.Event) -> dict[str, Any]:
    failed = [record["messageId"] for record in event["Records"] if not _deliver(record)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _deliver(record: dict[str, Any]) -> bool:
    """Whether the message needs no other attempt. If it does, SQS delivers it again after its pause."""
    endpoint = runtime.webhook_endpoints()[record["eventSourceARN"]]
    event = Event.from_cloud_event(json.loads(record["body"]))
    attempt = int(record["attributes"]["ApproximateReceiveCount"])
    about: dict[str, Any] = {
        "endpoint": endpoint.name,
        "event_id": event.event_id,
        # What is no id might be anything, so it is not logged.
        "subject": event.subject if is_id(event.subject) else None,
        "attempt": attempt,
    }
    try:
        # Before the attempt, so that it also holds for one that is killed.
        endpoint.queue.postpone(record["receiptHandle"], pause_seconds(attempt))
    except QueueUnavailable as error:
        # If this attempt fails too, the next one comes sooner, as the queue has it.
        runtime.logger.warning("the pause was not set", **about, reason=str(error))
    try:
        delivered = deliver_event(
            event,
            endpoint=endpoint.name,
            types=endpoint.types,
            webhook=endpoint.webhook,
            events=runtime.events(),
            deliveries=runtime.deliveries(),
            now=runtime.now(),
        )
    except EndpointGone:
        endpoint.queue.set_aside(record["body"])
        runtime.count("WebhooksFailed")
        runtime.logger.warning("the endpoint wants no more events", **about)
    except (NotDelivered, Unavailable) as error:
        runtime.count("WebhooksFailed")
        runtime.logger.warning("event not delivered", **about, error=type(error).__name__, reason=str(error))
        return False
    else:
        runtime.count("WebhooksDelivered", delivered)
    return True
