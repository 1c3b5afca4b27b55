"""The events, each recorded in the ledger's table by the transaction that makes its change; and what was delivered.

| table    | pk                          | sk                 | content                                                |
|----------|-----------------------------|--------------------|--------------------------------------------------------|
| ledger   | `PAYMENT#{payment_id}`      | `EVENT#{version}`  | the event of a version of the payment's record         |
| ledger   | `EVENTS#{token}`            | `EVENT#{time}`     | the event of an erased card                            |
| ledger   | `EVENTS#{day}#{type}#{…}`   | `EVENT#{time}`     | the event of a break                                   |
| counters | `DELIVERED#{endpoint}#{pk}` | `DELIVERED`        | the last of these events that an endpoint has accepted |
"""

from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from functions.shared.adapters.table import keys
from functions.shared.adapters.table.items import Item, get, ledger_errors, marshal, query, read_batch
from functions.shared.domain.event import Event
from functions.shared.domain.times import epoch_seconds

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

# Longer than anybody looks back for events that may not have been delivered.
DELIVERED_RETENTION = timedelta(days=60)

IS_LATER = "attribute_not_exists(delivered) OR delivered < :delivered"


class DynamoDbEvents:
    """`Events` in the ledger's table."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def read(self, places: Collection[tuple[str, str]]) -> list[Event]:
        items = {(item["pk"], item["sk"]): item for item in read_batch(self._client, self._table, places)}
        return [to_event(items[place]) for place in places if place in items]

    def before(self, event: Event, after: str) -> Iterator[Event]:
        if event.is_first:
            return iter(())
        values = {":pk": _pk(event), ":after": keys.event_sk(after), ":event": keys.event_sk(event.sequence)}
        condition = "pk = :pk AND sk BETWEEN :after AND :event"
        items = query(self._client, self._table, condition, values, ConsistentRead=True)
        return (earlier for earlier in map(to_event, items) if after < earlier.sequence < event.sequence)


class DynamoDbDeliveries:
    """`Deliveries` in the table whose items expire."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def last(self, endpoint: str, event: Event) -> str:
        last = get(self._client, self._table, _delivered_key(endpoint, event))
        return str(last["delivered"]) if last else ""

    def delivered(self, endpoint: str, event: Event, at: str) -> None:
        expires_at = epoch_seconds(at, DELIVERED_RETENTION)
        # If the condition fails, another delivery at the same time has got further.
        with ledger_errors(), suppress(self._client.exceptions.ConditionalCheckFailedException):
            self._client.update_item(
                TableName=self._table,
                Key=marshal(_delivered_key(endpoint, event)),
                UpdateExpression="SET delivered = :delivered, expires_at = :expires_at",
                ConditionExpression=IS_LATER,
                ExpressionAttributeValues=marshal({":delivered": event.sequence, ":expires_at": expires_at}),
            )


def event_item(event: Event) -> Item:
    """The event's item, to be written in the transaction that makes its change."""
    key = {"pk": _pk(event), "sk": keys.event_sk(event.sequence)}
    return key | {"type": event.type, "subject": event.subject, "at": event.at, "data": event.data}


def to_event(item: Item) -> Event:
    """The inverse of `event_item`. Raises KeyError for any other item."""
    return Event(item["type"], item["subject"], keys.sequence_of(item["sk"]), item["at"], item["data"])


def _pk(event: Event) -> str:
    return keys.payment_pk(event.subject) if event.is_of_payment else keys.events_pk(event.subject)


def _delivered_key(endpoint: str, event: Event) -> dict[str, str]:
    return keys.delivered_key(endpoint, _pk(event))
