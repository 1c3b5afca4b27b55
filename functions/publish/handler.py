"""Publish the events that were recorded: the stream of the ledger's table calls this function with their keys.

Lambda repeats a batch until this function succeeds, so each event is published at least once.
"""

from typing import Any

from functions.shared import runtime


@runtime.function("publish", uses=(runtime.events, runtime.event_bus), payment_id=lambda event: None)
def handler(event: runtime.Event) -> dict[str, Any]:
    places = [
        (keys["pk"]["S"], keys["sk"]["S"]) for keys in (record["dynamodb"]["Keys"] for record in event["Records"])
    ]
    events = runtime.events().read(places)
    if len(events) < len(places):
        # No role of ours can delete an event. Repeating the batch would hold back all others.
        runtime.count("EventsMissing", len(places) - len(events))
        runtime.logger.error("events are missing in the ledger", missing=len(places) - len(events))
    runtime.event_bus().publish(events)
    runtime.count("EventsPublished", len(events))
    return {}
