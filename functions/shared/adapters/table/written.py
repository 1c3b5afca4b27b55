"""The payments last written on a day, from the ledger's index `by_writing`. Anchors are made from them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from functions.shared.adapters.table.items import query, read_batch
from functions.shared.adapters.table.keys import WRITTEN_SHARDS, written_shard
from functions.shared.domain.anchor import Line

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient


class DynamoDbWritten:
    """`Written` from the index, which provides the keys; the records are read from the table itself."""

    shards = WRITTEN_SHARDS

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def lines(self, day: str, shard: int) -> Iterator[Line]:
        values = {":shard": written_shard(day, shard)}
        items = query(self._client, self._table, "written_shard = :shard", values, IndexName="by_writing")
        keys = [(item["pk"], item["sk"]) for item in items]
        return map(Line.of, read_batch(self._client, self._table, keys))
