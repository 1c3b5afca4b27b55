"""The events on their way to an Amazon EventBridge bus."""

from collections.abc import Iterator, Sequence
from typing import Any

from functions.shared.adapters.aws_errors import raised_as
from functions.shared.domain.errors import EventBusUnavailable
from functions.shared.domain.event import SOURCE, Event

# "PutEvents" (EventBridge API reference): at most ten entries in a request, of 256 KB in all. Little counts beside the
# detail ("Calculating PutEvents event entry size", EventBridge user guide).
MAX_ENTRIES = 10
MAX_DETAIL_BYTES = 240_000
ATTEMPTS = 3


class EventBridgeBus:
    """`EventBus`. The detail of an event on the bus is its CloudEvent, and its detail type is the CloudEvent's type."""

    def __init__(self, client: Any, bus: str) -> None:
        self._client = client
        self._bus = bus

    def publish(self, events: Sequence[Event]) -> None:
        for batch in _batches([self._entry(event) for event in events]):
            self._put(batch)

    def _put(self, entries: list[dict[str, Any]]) -> None:
        for _ in range(ATTEMPTS):
            with raised_as(EventBusUnavailable, "EventBridge"):
                results = self._client.put_events(Entries=entries)["Entries"]
            codes = [result["ErrorCode"] for result in results if "ErrorCode" in result]
            entries = [entry for entry, result in zip(entries, results, strict=True) if "ErrorCode" in result]
            if not entries:
                return
        raise EventBusUnavailable(f"EventBridge: {codes[0]}")

    def _entry(self, event: Event) -> dict[str, Any]:
        return {
            "EventBusName": self._bus,
            "Source": SOURCE,
            "DetailType": event.type,
            "Time": event.at,
            "Detail": event.to_cloud_event(),
        }


def _batches(entries: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for entry in entries:
        size = sum(len(each["Detail"]) for each in [*batch, entry])  # ASCII
        if batch and (len(batch) == MAX_ENTRIES or size > MAX_DETAIL_BYTES):
            yield batch
            batch = []
        batch = [*batch, entry]
    if batch:
        yield batch
