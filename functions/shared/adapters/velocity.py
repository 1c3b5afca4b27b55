"""The cards' velocity, in the table of what is forgotten after a while.

| pk                       | sk                     | what                                                           |
|--------------------------|------------------------|----------------------------------------------------------------|
| `VELOCITY#{fingerprint}` | `2026-11-23T09:05:00Z` | the card's payments that started from then on for five minutes |

Such a bucket has the number of `payments`, the sum of their amounts by currency (`USD`, `EUR` …), and `counted`, hashes
of the first payments' ids. It is there until `expires_at`.

The last hour is the bucket in which it began and all later ones: 60 to 65 minutes, and what started since. The last day
is up to five minutes longer too. A rule is never told of less than the time that it asks for, nor of fewer payments.
"""

import hashlib
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from functions.shared.adapters.dynamodb import ledger_errors, marshal, unmarshal
from functions.shared.ports import Velocity

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

BUCKET = timedelta(minutes=5)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

# Longer than any window reaches.
KEPT = DAY + HOUR

# So many payments a bucket knows again; a later one that is repeated counts twice. A bucket that knew all of them would
# grow with each, and a write costs by the size of its item: docs/scale.md.
KNOWN = 32

COUNT_ONE_MORE = "SET expires_at = :expires_at ADD payments :one, #currency :amount_minor"
COUNT_AND_KNOW_IT = f"{COUNT_ONE_MORE}, counted :these"
IS_NOT_KNOWN = "NOT contains(counted, :this)"
HAS_ROOM = "(attribute_not_exists(payments) OR payments < :known)"


class DynamoDbVelocityCounter:
    """`VelocityCounter` by a conditional update and a consistent query. Each payment counts itself, then looks."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def count(self, fingerprint: str, payment_id: str, amount_minor: int, currency: str, started_at: str) -> Velocity:
        started = datetime.fromisoformat(started_at)
        with ledger_errors():
            self._count(fingerprint, payment_id, amount_minor, currency, started)
            day = self._buckets(fingerprint, currency, since=_bucket(started - DAY))
        hour = [bucket for bucket in day if bucket["sk"] >= _bucket(started - HOUR)]
        return Velocity(
            payments_1h=sum(bucket["payments"] for bucket in hour),
            payments_24h=sum(bucket["payments"] for bucket in day),
            amount_minor_1h=sum(bucket.get(currency, 0) for bucket in hour),
            amount_minor_24h=sum(bucket.get(currency, 0) for bucket in day),
        )

    def _count(self, fingerprint: str, payment_id: str, amount_minor: int, currency: str, started: datetime) -> None:
        this = hashlib.sha256(payment_id.encode()).digest()[:8]
        values = {
            ":one": 1,
            ":amount_minor": amount_minor,
            ":this": this,
            ":expires_at": int((started + KEPT).timestamp()),
        }

        def update(expression: str, condition: str, **more: Any) -> None:
            self._client.update_item(
                TableName=self._table,
                Key=marshal({"pk": f"VELOCITY#{fingerprint}", "sk": _bucket(started)}),
                UpdateExpression=expression,
                ConditionExpression=condition,
                ExpressionAttributeNames={"#currency": currency},
                ExpressionAttributeValues=marshal(values | more),
            )

        is_counted_or_full = self._client.exceptions.ConditionalCheckFailedException
        try:
            update(COUNT_AND_KNOW_IT, f"{IS_NOT_KNOWN} AND {HAS_ROOM}", **{":these": {this}, ":known": KNOWN})
        except is_counted_or_full:
            with suppress(is_counted_or_full):
                update(COUNT_ONE_MORE, IS_NOT_KNOWN)

    def _buckets(self, fingerprint: str, currency: str, since: str) -> list[dict[str, Any]]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND sk >= :since",
            ProjectionExpression="sk, payments, #currency",
            ExpressionAttributeNames={"#currency": currency},
            ExpressionAttributeValues=marshal({":pk": f"VELOCITY#{fingerprint}", ":since": since}),
            ConsistentRead=True,
        )
        return [unmarshal(item) for page in pages for item in page["Items"]]


def _bucket(at: datetime) -> str:
    """When the bucket starts that a moment is in."""
    start = datetime.fromtimestamp(at.timestamp() // BUCKET.total_seconds() * BUCKET.total_seconds(), UTC)
    return start.strftime("%Y-%m-%dT%H:%M:%SZ")
