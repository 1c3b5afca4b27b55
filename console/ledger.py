"""The ledger's items as they lie in its table, for the eye: nothing is checked here, and nothing written.

They are not read by the product's own classes, which could not show what they would refuse.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import islice, product
from typing import Any

from cli.stack import Stack
from functions.shared.adapters.currencies import minor_unit
from functions.shared.adapters.dynamodb import SHARDS
from functions.shared.domain.ledger import LIABILITY_MERCHANT, SUSPENSE_IN_DOUBT, asset_gateway

Item = Mapping[str, Any]

ACCOUNTS = (asset_gateway("sparkle"), "asset:bank", "expense:fees", LIABILITY_MERCHANT, SUSPENSE_IN_DOUBT)
"""The accounts whose totals are shown: the index by account has to be asked for each."""

BREAK_DAYS = 7
_BATCH = 100
_AT_A_TIME = 8


@dataclass(frozen=True, slots=True)
class Posting:
    account: str
    direction: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A journal entry. `reverses` is the number of the entry that it undoes, where it says so."""

    number: int
    kind: str
    posted_at: str
    postings: tuple[Posting, ...]
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
    postings: int

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
        # A resource's client knows Python's types, other than a plain one.
        self._client = stack.resource("dynamodb").meta.client

    def records(self, payment_ids: Iterable[str]) -> dict[str, Item]:
        """The payments' records that there are."""
        keys = [{"pk": f"PAYMENT#{payment_id}", "sk": "PAYMENT"} for payment_id in payment_ids]
        found: dict[str, Item] = {}
        while keys:
            batch, keys = keys[:_BATCH], keys[_BATCH:]
            answer = self._client.batch_get_item(RequestItems={self._table: {"Keys": batch}})
            for item in answer["Responses"].get(self._table, ()):
                found[item["pk"].removeprefix("PAYMENT#")] = plain(item)
            keys += answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
        return found

    def payment(self, payment_id: str) -> tuple[Item | None, list[Entry]]:
        """The payment's record, and its journal, oldest entry first."""
        # ENTRY#… sorts before PAYMENT, POSTING#… after it: the entries hold their postings already.
        items = self._query(
            KeyConditionExpression="pk = :pk AND sk <= :payment",
            ExpressionAttributeValues={":pk": f"PAYMENT#{payment_id}", ":payment": "PAYMENT"},
            ConsistentRead=True,
        )
        by_key = {item["sk"]: item for item in items}
        entries = [_entry(key, item) for key, item in by_key.items() if key.startswith("ENTRY#")]
        return by_key.get("PAYMENT"), entries

    def doubts(self, limit: int) -> list[Doubt]:
        """The payments in doubt, the oldest first."""

        def of(shard: int) -> list[Doubt]:
            items = self._query(
                IndexName="in_doubt",
                KeyConditionExpression="doubt_shard = :shard",
                ExpressionAttributeValues={":shard": f"in_doubt#{shard:02}"},
                Limit=limit,
            )
            return [Doubt(item["pk"].removeprefix("PAYMENT#"), item["doubt_since"]) for item in islice(items, limit)]

        with ThreadPoolExecutor(_AT_A_TIME) as threads:
            found = [doubt for doubts in threads.map(of, range(SHARDS)) for doubt in doubts]
        return sorted(found, key=lambda doubt: doubt.since)[:limit]

    def totals(self, day: date) -> list[Total]:
        """What was posted to each account on a day. Reads all that day's postings."""

        def of(account_and_shard: tuple[str, int]) -> list[Item]:
            account, shard = account_and_shard
            postings = self._query(
                IndexName="by_account",
                KeyConditionExpression="account_day = :account_day",
                ExpressionAttributeValues={":account_day": f"{account}#{day.isoformat()}#{shard:02}"},
            )
            return list(postings)

        sums: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(lambda: {"debit": 0, "credit": 0, "n": 0})
        with ThreadPoolExecutor(_AT_A_TIME) as threads:
            for postings in threads.map(of, product(ACCOUNTS, range(SHARDS))):
                for posting in postings:
                    total = sums[posting["account"], posting["currency"]]
                    total[posting["direction"]] += posting["amount_minor"]
                    total["n"] += 1
        return [
            Total(account, currency, total["debit"], total["credit"], total["n"])
            for (account, currency), total in sorted(sums.items())
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
            for item in self._query(
                KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": f"BREAK#{day}"}
            )
            if "resolved_at" not in item
        ]

    def _query(self, **arguments: Any) -> Iterator[Item]:
        for page in self._client.get_paginator("query").paginate(TableName=self._table, **arguments):
            yield from map(plain, page["Items"])


def _entry(key: str, item: Item) -> Entry:
    postings = tuple(
        Posting(line["account"], line["direction"], line["amount_minor"], line["currency"]) for line in item["postings"]
    )
    return Entry(int(key.partition("#")[2]), item["kind"], item.get("posted_at", ""), postings, item.get("reverses"))


def plain(value: Any) -> Any:
    """The ledger's numbers as int: it has no others."""
    match value:
        case Decimal():
            return int(value)
        case dict():
            return {name: plain(each) for name, each in value.items()}
        case list():
            return [plain(each) for each in value]
    return value


def money(amount_minor: int | None, currency: str | None) -> str:
    """`19.99 USD`, with as many decimals as the currency has."""
    if amount_minor is None or currency is None:
        return ""
    return f"{Decimal(amount_minor).scaleb(-(minor_unit(currency) or 0)):,} {currency}"
