"""The payments that wait for their customers, in the table `ephemeral`, each in its item beside the held card.

| attribute       | content                                                                         |
|-----------------|---------------------------------------------------------------------------------|
| `customer_wait` | the gateway, its charge, where the customer is to go, and since and until when  |
| `task_token`    | encrypted by KMS, bound to the payment: whoever has it can resume the execution |
| `wait_shard`    | `waiting#{shard}`, the hash key of the index `waiting`, which lists these items |

held_cards.py removes all of them when the payment ends.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from functions.shared.adapters.table.items import get, ledger_errors, marshal, query
from functions.shared.adapters.table.keys import shard_of
from functions.shared.domain.errors import LedgerConflict
from functions.shared.ports import CardCipher, CustomerWait

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

# In the worst case, all payments are challenged, and each writes to the index twice.
SHARDS = 128

ATTRIBUTES = ("customer_wait", "task_token", "wait_shard")

_random = random.SystemRandom()


class DynamoDbCustomerWaits:
    """`CustomerWaits` in the table `ephemeral`. `cipher` makes the cipher of the task tokens, and is called only if a
    token is read or written."""

    def __init__(self, client: "DynamoDBClient", table: str, cipher: Callable[[], CardCipher]) -> None:
        self._client = client
        self._table = table
        self._cipher = cipher

    def begin(self, payment_id: str, task_token: str, wait: CustomerWait) -> None:
        values = {
            ":customer_wait": asdict(wait),
            ":task_token": self._cipher().encrypt(task_token.encode(), _context(payment_id)),
            ":wait_shard": wait_shard(shard_of(payment_id, SHARDS)),
        }
        with ledger_errors():
            try:
                # The item exists, and expires, as it holds the card.
                self._client.update_item(
                    TableName=self._table,
                    Key=marshal({"payment_id": payment_id}),
                    UpdateExpression="SET " + ", ".join(f"{name} = :{name}" for name in ATTRIBUTES),
                    ConditionExpression="attribute_exists(ciphertext)",
                    ExpressionAttributeValues=marshal(values),
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                raise LedgerConflict("The payment has ended, and waits for nobody any more.") from None

    def find(self, payment_id: str) -> CustomerWait | None:
        wait = self._read(payment_id, "customer_wait")
        return CustomerWait(**wait) if wait else None

    def task_token(self, payment_id: str) -> str | None:
        encrypted = self._read(payment_id, "task_token")
        return self._cipher().decrypt(encrypted, _context(payment_id)).decode() if encrypted else None

    def waiting(self) -> Iterator[str]:
        # In random order, so that a reader that runs out of time gets to other payments the next time.
        for shard in _random.sample(range(SHARDS), SHARDS):
            of_shard = {":wait_shard": wait_shard(shard)}
            for item in query(self._client, self._table, "wait_shard = :wait_shard", of_shard, IndexName="waiting"):
                yield item["payment_id"]

    def end(self, payment_id: str) -> None:
        with ledger_errors(), suppress(self._client.exceptions.ConditionalCheckFailedException):
            self._client.update_item(
                TableName=self._table,
                Key=marshal({"payment_id": payment_id}),
                UpdateExpression=f"REMOVE {', '.join(ATTRIBUTES)}",
                ConditionExpression="attribute_exists(customer_wait)",
            )

    def _read(self, payment_id: str, attribute: str) -> Any:
        item = get(self._client, self._table, {"payment_id": payment_id}, ProjectionExpression=attribute)
        return item and item.get(attribute)


def wait_shard(shard: int) -> str:
    return f"waiting#{shard:02}"


def _context(payment_id: str) -> dict[str, str]:
    return {"payment_id": payment_id, "purpose": "task_token"}
