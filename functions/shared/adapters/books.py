"""The books over all payments, in the ledger's table: what was posted by account and day, closed days, and breaks.

| pk             | sk                              | what                                                              |
|----------------|---------------------------------|-------------------------------------------------------------------|
| `CLOSE#{year}` | `{day}`                         | what a day that is over comes to, by account and currency         |
| `BREAK#{day}`  | `{type}#{payment_id}#{item}`    | what reconciliation found, and when it was first not found again  |

An account's postings of a day are read from the index `by_account`, one query a shard, some at a time.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from functions.shared.adapters.dynamodb import ACCOUNT_SHARDS, account_day, ledger_errors, marshal, unmarshal
from functions.shared.domain.ledger import Posting
from functions.shared.domain.settlement import Break
from functions.shared.ports import AccountPosting, DayTotals

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_AT_A_TIME = 16
_POSTING_FIELDS = tuple(field.name for field in fields(Posting))
_BREAK_FIELDS = tuple(field.name for field in fields(Break))


class DynamoDbBooks:
    """`Books` in the ledger's table."""

    shards = ACCOUNT_SHARDS

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def postings(self, account: str, day: str, shards: Sequence[int] | None = None) -> Iterator[AccountPosting]:
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            read = range(self.shards) if shards is None else shards
            for items in pool.map(lambda shard: self._shard(account, day, shard), read):
                yield from map(_to_posting, items)

    def close(self, day: str, totals: DayTotals, at: str) -> None:
        item = {"pk": f"CLOSE#{day[:4]}", "sk": day, "totals": totals, "closed_at": at}
        with ledger_errors():
            self._client.put_item(TableName=self._table, Item=marshal(item))

    def closed_days(self, first: str, last: str) -> dict[str, DayTotals]:
        found: dict[str, DayTotals] = {}
        for year in range(int(first[:4]), int(last[:4]) + 1):
            values = {":pk": f"CLOSE#{year}", ":first": first, ":last": last}
            items = _query(self._client, self._table, "pk = :pk AND sk BETWEEN :first AND :last", values)
            found |= {item["sk"]: _to_totals(item["totals"]) for item in items}
        return found

    def _shard(self, account: str, day: str, shard: int) -> list[dict[str, Any]]:
        values = {":key": account_day(account, day, f"{shard:02}")}
        return list(_query(self._client, self._table, "account_day = :key", values, IndexName="by_account"))


class DynamoDbBreaks:
    """`Breaks` in the ledger's table."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def record(self, found: Break, run: str, at: str) -> None:
        self._put(asdict(found) | {"run": run, "seen_at": at})

    def of_run(self, day: str, run: str) -> list[Break]:
        items = [item for item in self._items(day) if item["run"] == run]
        return [Break(**{name: item[name] for name in _BREAK_FIELDS}) for item in items]

    def resolve_others(self, day: str, run: str, at: str) -> None:
        for item in self._items(day):
            if item["run"] != run and "resolved_at" not in item:
                self._put(item | {"resolved_at": at})

    def _items(self, day: str) -> Iterator[dict[str, Any]]:
        return _query(self._client, self._table, "pk = :pk", {":pk": f"BREAK#{day}"}, ConsistentRead=True)

    def _put(self, item: dict[str, Any]) -> None:
        keys = {"pk": f"BREAK#{item['day']}", "sk": f"{item['type']}#{item['payment_id']}#{item['item']}"}
        with ledger_errors():
            self._client.put_item(TableName=self._table, Item=marshal(item | keys))


def _query(
    client: "DynamoDBClient", table: str, condition: str, values: dict[str, Any], **more: Any
) -> Iterator[dict[str, Any]]:
    with ledger_errors():
        pages = client.get_paginator("query").paginate(
            TableName=table, KeyConditionExpression=condition, ExpressionAttributeValues=marshal(values), **more
        )
        for page in pages:
            yield from map(unmarshal, page["Items"])


def _to_posting(item: dict[str, Any]) -> AccountPosting:
    return AccountPosting(
        payment_id=item["pk"].removeprefix("PAYMENT#"),
        number=int(item["sk"].split("#")[1]),
        kind=item["kind"],
        source=item.get("source"),
        posted_at=item["posted_at"],
        posting=Posting(**{name: item[name] for name in _POSTING_FIELDS}),
    )


def _to_totals(totals: dict[str, dict[str, list[int]]]) -> DayTotals:
    return {
        account: {currency: (debits, credits) for currency, (debits, credits) in by_currency.items()}
        for account, by_currency in totals.items()
    }
