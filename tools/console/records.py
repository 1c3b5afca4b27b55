"""Reads the ledger's items straight from its table, for display only: nothing is validated and nothing is written.

The payments' items are not read through the product's own classes, because those reject invalid items, which must be
visible here.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from itertools import islice
from operator import itemgetter
from threading import Lock
from typing import Any

from functions.shared.adapters.table.books import DynamoDbBooks
from functions.shared.adapters.table.index import DynamoDbPaymentIndex
from functions.shared.adapters.table.items import query, read_batch
from functions.shared.adapters.table.keys import (
    ACCOUNT_SHARDS,
    DOUBT_SHARDS,
    FIRST_ENTRY,
    FIRST_EVENT,
    RECORD,
    account_day,
    break_pk,
    payment_id_of,
    payment_pk,
    sequence_of,
)
from functions.shared.adapters.table.ledger import doubts_in
from functions.shared.adapters.table.shards import merged
from functions.shared.domain.ledger import Posting
from functions.shared.domain.payment import Status
from functions.shared.domain.times import iso
from functions.shared.ports import Position
from tools.books.money import money as money_text
from tools.books.reading import Item, accounts_of, days, first_day_of
from tools.deployment.stack import Stack

BREAK_DAYS = 7
MAX_POSTINGS_ADDED = 20_000
"""The maximum number of postings that are added up per request; the next request continues from there."""

_THREADS = 8
_PAGE_SIZE = 100
# The index lags behind the table, and a function may take minutes to write a posting. Older sums are final.
_FINAL_AFTER = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Entry:
    """A journal entry. `reverses` is the number of the entry that it reverses.

    `source` identifies what caused the entry if that was not the payment itself.
    """

    number: int
    kind: str
    posted_at: str
    postings: tuple[Posting, ...]
    source: str | None = None
    reverses: int | None = None


@dataclass(frozen=True, slots=True)
class PaymentEvent:
    """An event that tells others of a version of the payment's record. Who has received it is not in the ledger."""

    version: int
    type: str
    at: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """A payment in doubt, and the time since which it has been in doubt (ISO 8601)."""

    payment_id: str
    since: str


@dataclass(frozen=True, slots=True)
class Total:
    """A day's postings to an account in one currency, added up. Amounts are in the currency's minor unit."""

    account: str
    currency: str
    debit_minor: int
    credit_minor: int

    @property
    def net_minor(self) -> int:
        """The net amount: debits minus credits."""
        return self.debit_minor - self.credit_minor


@dataclass(frozen=True, slots=True)
class Totals:
    """A day's totals by account and currency. They reach up to `until` (ISO 8601); if it is None, they are complete."""

    accounts: list[Total]
    until: str | None = None


@dataclass(slots=True)
class _Tally:
    """The sums of a day's postings before a time; these postings no longer change."""

    before: str = ""
    sums: defaultdict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))


@dataclass(frozen=True, slots=True)
class Break:
    """A difference between the gateway's settlement and the ledger, found by reconciliation."""

    day: str
    type: str
    payment_id: str
    expected: str
    found: str
    seen_at: str


class LedgerItems:
    """The table's items, converted to Python types. All methods are thread-safe."""

    def __init__(self, stack: Stack) -> None:
        self._stack, self._table = stack, stack.ledger_table
        self._client = stack.client("dynamodb")
        self._books = DynamoDbBooks(self._client, stack.ledger_table)
        self._index = DynamoDbPaymentIndex(self._client, stack.ledger_table)
        self._tallies: defaultdict[date, _Tally] = defaultdict(_Tally)
        self._lock = Lock()

    @cached_property
    def first_day(self) -> date:
        """The first day on which the ledger may have payments."""
        created: datetime = self._client.describe_table(TableName=self._table)["Table"]["CreationDateTime"]
        return date.fromisoformat(first_day_of(self._books, created.astimezone(UTC).date().isoformat()))

    def started(
        self,
        status: Status | None,
        first: date,
        last: date,
        *,
        before: Position | None = None,
        after: Position | None = None,
    ) -> Iterator[Position]:
        """Yield the ledger's payments of these days, all or those that have this status, newest first; if `after` is
        given, oldest first from there."""
        listed = list(days(first.isoformat(), last.isoformat()))
        since, until = after or Position("0", ""), before or Position("9", "")
        for day in listed if after else reversed(listed):
            positions = self._index.on(day, status, since.created_at, until.created_at, oldest_first=after is not None)
            yield from (each for each in positions if since < each < until)

    def with_reference(
        self, reference: str, first: date | None, last: date | None, before: Position | None = None
    ) -> Iterator[Position]:
        """Yield the payments of these days that have this merchant's reference, newest first."""
        since, until = f"{first}T" if first else "0", f"{last}T99" if last else "9"
        positions = self._index.with_reference(reference, since, min(until, before.created_at) if before else until)
        return (each for each in positions if before is None or each < before)

    def records(self, payment_ids: Iterable[str]) -> dict[str, Item]:
        """Fetch the payments' records by id; payments without a record are missing from the result."""
        keys = [(payment_pk(payment_id), RECORD) for payment_id in payment_ids]
        items = read_batch(self._client, self._table, keys, ConsistentRead=False)
        return {payment_id_of(item["pk"]): item for item in items}

    def payment(self, payment_id: str) -> tuple[Item | None, list[Entry], list[PaymentEvent]]:
        """Return the payment's record, and its journal and its events with the oldest first."""
        # ENTRY#… and EVENT#… sort before PAYMENT, POSTING#… after it. The entries already include their postings.
        values = {":pk": payment_pk(payment_id), ":record": RECORD}
        items = self._query("pk = :pk AND sk <= :record", values, ConsistentRead=True)
        by_key = {item["sk"]: item for item in items}
        entries = [_entry(key, item) for key, item in by_key.items() if key.startswith(FIRST_ENTRY)]
        events = [
            PaymentEvent(int(sequence_of(key)), item["type"], item["at"])
            for key, item in by_key.items()
            if key.startswith(FIRST_EVENT)
        ]
        return by_key.get(RECORD), entries, events

    def doubts(self, limit: int) -> list[Doubt]:
        """Return at most `limit` payments in doubt, the oldest doubt first."""

        def doubts_of(shard: int) -> list[Doubt]:
            return [Doubt(*doubt) for doubt in doubts_in(self._client, self._table, shard, limit)]

        with ThreadPoolExecutor(_THREADS) as threads:
            found = [doubt for doubts in threads.map(doubts_of, range(DOUBT_SHARDS)) for doubt in doubts]
        return sorted(found, key=lambda doubt: doubt.since)[:limit]

    def totals(self, day: date) -> Totals:
        """Return a day's totals by account, either from the day's closing or, before that, as the sums of its postings.

        Sums are kept between calls, so each call adds only new postings and its cost does not grow over the day.
        """
        closed = self._books.closed_days(day.isoformat(), day.isoformat()).get(day.isoformat())
        if closed is not None:
            return Totals(_totals((account, *each) for account in closed for each in closed[account].items()))
        with self._lock:
            tally = self._tallies[day]
            posted = list(islice(self._postings(day, tally.before), MAX_POSTINGS_ADDED))
            final_until = iso(datetime.now(UTC) - _FINAL_AFTER)
            is_complete = len(posted) < MAX_POSTINGS_ADDED
            tally.before = max(tally.before, final_until if is_complete else min(final_until, posted[-1]["posted_at"]))
            sums = defaultdict(lambda: [0, 0], {key: list(sides) for key, sides in tally.sums.items()})
            for item in posted:
                key, side = (item["account"], item["currency"]), int(item["direction"] == "credit")
                sums[key][side] += item["amount_minor"]
                if item["posted_at"] < tally.before:
                    tally.sums[key][side] += item["amount_minor"]
        rows = ((account, currency, sides) for (account, currency), sides in sums.items())
        return Totals(_totals(rows), None if is_complete else posted[-1]["posted_at"])

    def _postings(self, day: date, since: str) -> Iterator[Item]:
        """Yield a day's postings to all accounts since a time, in chronological order."""
        accounts = accounts_of(self._stack)
        keys = [account_day(account, day.isoformat(), n) for account in accounts for n in range(ACCOUNT_SHARDS)]
        read: dict[str, Any] = {"IndexName": "by_account", "PaginationConfig": {"PageSize": _PAGE_SIZE}}
        condition = "account_day = :key AND posted_at >= :since"
        shards = (self._query(condition, {":key": key, ":since": since or "0"}, **read) for key in keys)
        return merged(shards, itemgetter("posted_at", "pk", "sk"))

    def breaks(self, today: date) -> list[Break]:
        """Return the open reconciliation breaks of the last BREAK_DAYS days, newest day first."""
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
            for item in self._query("pk = :pk", {":pk": break_pk(day)})
            if "resolved_at" not in item
        ]

    def _query(self, condition: str, values: dict[str, Any], **arguments: Any) -> Iterator[Item]:
        return query(self._client, self._table, condition, values, **arguments)


def _totals(rows: Iterable[tuple[str, str, Sequence[int]]]) -> list[Total]:
    """Sort the totals by currency, then by account, which is the order of the chart of accounts."""
    totals = [Total(account, currency, debit, credit) for account, currency, (debit, credit) in rows]
    return sorted(totals, key=lambda total: (total.currency, total.account))


def _entry(key: str, item: Item) -> Entry:
    postings = tuple(
        Posting(**{name: line[name] for name in ("account", "direction", "amount_minor", "currency")})
        for line in item["postings"]
    )
    number, posted_at = int(key.removeprefix(FIRST_ENTRY)), item.get("posted_at", "")
    return Entry(number, item["kind"], posted_at, postings, item.get("source"), item.get("reverses"))


def money(amount_minor: int | None, currency: str | None) -> str:
    """Format an amount like `19.99 USD`, with the currency's number of decimals; empty if anything is None."""
    if amount_minor is None or currency is None:
        return ""
    return money_text(amount_minor, currency)
