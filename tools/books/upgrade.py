"""Upgrade, once, from a version that kept everything in one table without seals."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rich.console import Console

from functions.shared.adapters.table import keys
from functions.shared.adapters.table.items import marshal
from functions.shared.domain.anchor import UNSEALED
from tools.books.reading import read_items
from tools.deployment.stack import Stack
from tools.output import counted

SEGMENTS = 16


def upgrade(stack: Stack, console: Console) -> None:
    """Move cards, counters and notes out of the ledger, each in one transaction, and mark records without a seal for
    the first anchor. Safe to interrupt and to repeat."""
    upgrade = _Upgrade(stack)
    with console.status("Reading the ledger"), ThreadPoolExecutor(SEGMENTS) as pool:
        counts = sum(pool.map(upgrade.segment, range(SEGMENTS)), Counter[str]())
    counters = counts["VELOCITY"] + counts["ENDED"]
    console.print(
        f"Moved {counted(counts['CARD'], 'card')}, and {counted(counters, 'counter or note', 'counters and notes')}. "
        f"Marked {counted(counts['PAYMENT'], 'unsealed payment')} for the first anchor: make anchor writes it.",
        highlight=False,
    )


class _Upgrade:
    def __init__(self, stack: Stack) -> None:
        self._client = stack.client("dynamodb")
        self._ledger = stack.ledger_table
        self._tables = {kind: stack.table_of(kind) for kind in ("CARD", "VELOCITY", "ENDED")}

    def segment(self, number: int) -> Counter[str]:
        """Upgrade one segment of the ledger, and count what was done by kind of item."""
        counts: Counter[str] = Counter()
        for item in self._items(number):
            kind = item["pk"]["S"].partition("#")[0]
            if kind in self._tables:
                counts[kind] += self._move(item, self._tables[kind])
            elif kind == "PAYMENT":
                counts[kind] += self._mark_unsealed(item)
        return counts

    def _items(self, number: int) -> Iterator[dict[str, Any]]:
        """The items that have to be moved or marked: everything but payments, and records without a seal."""
        return read_items(
            self._client,
            "scan",
            self._ledger,
            Segment=number,
            TotalSegments=SEGMENTS,
            FilterExpression="NOT begins_with(pk, :payment) OR (sk = :record AND attribute_not_exists(mac))",
            ExpressionAttributeValues=marshal({":payment": keys.payment_pk(""), ":record": keys.RECORD}),
            ConsistentRead=True,
        )

    def _move(self, item: dict[str, Any], table: str) -> bool:
        """Move an item unless the new table has one already, which is newer. An erased card stays erased."""
        key = {name: item[name] for name in ("pk", "sk")}
        new = {"TableName": table, "Item": item, "ConditionExpression": "attribute_not_exists(pk)"}
        old = {"TableName": self._ledger, "Key": key, "ConditionExpression": "attribute_exists(pk)"}
        try:
            self._client.transact_write_items(TransactItems=[{"Put": new}, {"Delete": old}])
        except self._client.exceptions.TransactionCanceledException as error:
            codes = [reason["Code"] for reason in error.response["CancellationReasons"]]
            if codes[0] == "ConditionalCheckFailed":
                self._client.delete_item(TableName=self._ledger, Key=key)
            elif codes[1] != "ConditionalCheckFailed":
                raise
            return False
        return True

    def _mark_unsealed(self, record: dict[str, Any]) -> bool:
        """Put the record where the first anchor looks, unless it is there, or has a seal by now."""
        shard = keys.written_shard(UNSEALED, keys.shard_of(record["payment_id"]["S"], keys.WRITTEN_SHARDS))
        if record.get("written_shard") == {"S": shard}:
            return False
        try:
            self._client.update_item(
                TableName=self._ledger,
                Key={name: record[name] for name in ("pk", "sk")},
                UpdateExpression="SET written_shard = :shard, written_at = :at",
                ConditionExpression="attribute_not_exists(mac)",
                ExpressionAttributeValues={":shard": {"S": shard}, ":at": record["updated_at"]},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True
