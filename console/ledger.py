"""The ledger's items as they lie in its table, for the eye: nothing is checked here, and nothing written.

They are not read by the product's own classes, which could not show what they would refuse.
"""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from typing import Any

from cli.money import money as written
from cli.stack import Stack
from functions.shared.adapters.books import DynamoDbBooks
from functions.shared.adapters.dynamodb import DOUBT_SHARDS, marshal, unmarshal
from functions.shared.adapters.sparkle import Sparkle
from functions.shared.domain.ledger import Posting, chart_of_accounts, turnover

Item = Mapping[str, Any]

BREAK_DAYS = 7
_BATCH = 100
_AT_A_TIME = 8


@dataclass(frozen=True, slots=True)
class Entry:
    """A journal entry. `source` is what it was posted for, if not for the payment itself; `reverses` is the number of
    the entry that it undoes."""

    number: int
    kind: str
    posted_at: str
    postings: tuple[Posting, ...]
    source: str | None = None
    reverses: int | None = None


@dataclass(frozen=True, slots=True)
class Doubt:
    """A payment in doubt, and since when it is (ISO 8601)."""

    payment_id: str
    since: str


@dataclass(frozen=True, slots=True)
class Total:
    """What was posted to an account on a day, in one currency. Amounts are in its minor unit."""

    account: str
    currency: str
    debit_minor: int
    credit_minor: int

    @property
    def net_minor(self) -> int:
        """Debits less credits."""
        return self.debit_minor - self.credit_minor


@dataclass(frozen=True, slots=True)
class Break:
    """Where the gateway's settlement and the ledger do not agree, as reconciliation has found it."""

    day: str
    type: str
    payment_id: str
    expected: str
    found: str
    seen_at: str


class LedgerItems:
    """The table's items, in Python's types. All methods may be called by several threads at once."""

    def __init__(self, stack: Stack) -> None:
        self._table = stack.ledger_table
        self._client = stack.client("dynamodb")
        self._books = DynamoDbBooks(self._client, stack.ledger_table)

    def records(self, payment_ids: Iterable[str]) -> dict[str, Item]:
        """The payments' records that there are."""
        keys = [marshal({"pk": f"PAYMENT#{payment_id}", "sk": "PAYMENT"}) for payment_id in payment_ids]
        found: dict[str, Item] = {}
        while keys:
            batch, keys = keys[:_BATCH], keys[_BATCH:]
            answer = self._client.batch_get_item(RequestItems={self._table: {"Keys": batch}})
            for item in map(unmarshal, answer["Responses"].get(self._table, ())):
                found[item["pk"].removeprefix("PAYMENT#")] = item
            keys += answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
        return found

    def payment(self, payment_id: str) -> tuple[Item | None, list[Entry]]:
        """The payment's record, and its journal, oldest entry first."""
        # ENTRY#… sorts before PAYMENT, POSTING#… after it: the entries hold their postings already.
        items = self._query(
            "pk = :pk AND sk <= :payment", {":pk": f"PAYMENT#{payment_id}", ":payment": "PAYMENT"}, ConsistentRead=True
        )
        by_key = {item["sk"]: item for item in items}
        entries = [_entry(key, item) for key, item in by_key.items() if key.startswith("ENTRY#")]
        return by_key.get("PAYMENT"), entries

    def doubts(self, limit: int) -> list[Doubt]:
        """The payments in doubt, the oldest first."""

        def of(shard: int) -> list[Doubt]:
            shard_key = {":shard": f"in_doubt#{shard:02}"}
            items = self._query("doubt_shard = :shard", shard_key, IndexName="in_doubt", Limit=limit)
            return [Doubt(item["pk"].removeprefix("PAYMENT#"), item["doubt_since"]) for item in islice(items, limit)]

        with ThreadPoolExecutor(_AT_A_TIME) as threads:
            found = [doubt for doubts in threads.map(of, range(DOUBT_SHARDS)) for doubt in doubts]
        return sorted(found, key=lambda doubt: doubt.since)[:limit]

    def totals(self, day: date) -> list[Total]:
        """What was posted to each account on a day: as it was closed, or else by reading all that day's postings."""
        totals = self._books.closed_days(day.isoformat(), day.isoformat()).get(day.isoformat())
        if totals is None:
            accounts = chart_of_accounts(Sparkle.name)
            posted = (each for account in accounts for each in self._books.postings(account, day.isoformat()))
            totals = turnover(each.posting for each in posted)
        return [
            Total(account, currency, debit, credit)
            for account, by_currency in sorted(totals.items())
            for currency, (debit, credit) in sorted(by_currency.items())
        ]

    def breaks(self, today: date) -> list[Break]:
        """The last days' open reconciliation breaks, the newest day first."""
        days = [(today - timedelta(days)).isoformat() for days in range(BREAK_DAYS)]
        return [
            Break(
                day,
                item["type"],
                item.get("payment_id", ""),
                str(item.get("expected", "")),
                str(item.get("found", "")),
                item.get("seen_at", ""),
            )
            for day in days
            for item in self._query("pk = :pk", {":pk": f"BREAK#{day}"})
            if "resolved_at" not in item
        ]

    def _query(self, condition: str, values: dict[str, Any], **more: Any) -> Iterator[Item]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table, KeyConditionExpression=condition, ExpressionAttributeValues=marshal(values), **more
        )
        for page in pages:
            yield from map(unmarshal, page["Items"])


def _entry(key: str, item: Item) -> Entry:
    postings = tuple(
        Posting(**{name: line[name] for name in ("account", "direction", "amount_minor", "currency")})
        for line in item["postings"]
    )
    number, posted_at = int(key.partition("#")[2]), item.get("posted_at", "")
    return Entry(number, item["kind"], posted_at, postings, item.get("source"), item.get("reverses"))


def money(amount_minor: int | None, currency: str | None) -> str:
    """`19.99 USD`, with as many decimals as the currency has."""
    if amount_minor is None or currency is None:
        return ""
    return written(amount_minor, currency)
