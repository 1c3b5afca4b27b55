"""The books of all payments, in the ledger's table: postings by account and day, closed days, and breaks.

| pk             | sk                              | content                                                           |
|----------------|---------------------------------|-------------------------------------------------------------------|
| `CLOSE#{year}` | `{day}`                         | the totals of a day that is over, by account and currency         |
| `BREAK#{day}`  | `{type}#{payment_id}#{item}`    | a break found by reconciliation, its start and its resolution     |

The index `by_account` yields an account's postings of a day, with one query per shard, which are merged by time.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from operator import attrgetter
from typing import TYPE_CHECKING

from functions.shared.adapters.table.events import event_item
from functions.shared.adapters.table.items import (
    IS_NEW,
    ConditionFailed,
    Item,
    ledger_errors,
    marshal,
    put,
    query,
    write_transaction,
)
from functions.shared.adapters.table.keys import ACCOUNT_SHARDS, account_day, break_pk, payment_id_of
from functions.shared.adapters.table.shards import merged
from functions.shared.domain.event import break_found
from functions.shared.domain.ledger import Posting
from functions.shared.domain.settlement import Break
from functions.shared.ports import AccountPosting, DayTotals

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

# The number of postings per shard in memory at a time, however many the day has.
_PAGE_SIZE = 500
_POSTING_FIELDS = tuple(field.name for field in fields(Posting))
_BREAK_FIELDS = tuple(field.name for field in fields(Break))


class DynamoDbBooks:
    """`Books` in the ledger's table."""

    shards = ACCOUNT_SHARDS

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def postings(self, account: str, day: str, shards: Sequence[int] | None = None) -> Iterator[AccountPosting]:
        numbers = range(self.shards) if shards is None else shards
        by_shard = (self._shard(account, day, shard) for shard in numbers)
        return merged(by_shard, attrgetter("posted_at", "payment_id", "number"))

    def close(self, day: str, totals: DayTotals, at: str) -> None:
        item = {"pk": f"CLOSE#{day[:4]}", "sk": day, "totals": totals, "closed_at": at}
        with ledger_errors():
            self._client.put_item(TableName=self._table, Item=marshal(item))

    def closed_days(self, first_day: str, last_day: str) -> dict[str, DayTotals]:
        totals_by_day: dict[str, DayTotals] = {}
        for year in range(int(first_day[:4]), int(last_day[:4]) + 1):
            values = {":pk": f"CLOSE#{year}", ":first": first_day, ":last": last_day}
            items = query(self._client, self._table, "pk = :pk AND sk BETWEEN :first AND :last", values)
            totals_by_day |= {item["sk"]: _to_totals(item["totals"]) for item in items}
        return totals_by_day

    def _shard(self, account: str, day: str, shard: int) -> Iterator[AccountPosting]:
        items = query(
            self._client,
            self._table,
            "account_day = :key",
            {":key": account_day(account, day, shard)},
            IndexName="by_account",
            PaginationConfig={"PageSize": _PAGE_SIZE},
        )
        return map(_to_posting, items)


class DynamoDbBreaks:
    """`Breaks` in the ledger's table."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def record(self, found_break: Break, run: str, at: str) -> None:
        keys = {
            "pk": break_pk(found_break.day),
            "sk": f"{found_break.type}#{found_break.payment_id}#{found_break.item}",
        }
        open_before = [item for item in self._items("pk = :pk AND sk = :sk", **keys) if "resolved_at" not in item]
        since = open_before[0]["since"] if open_before else at
        item = keys | asdict(found_break) | {"run": run, "since": since, "seen_at": at}
        if open_before:
            self._put(item)
        else:
            event = put(self._table, event_item(break_found(found_break, at)), IS_NEW)
            # The event is there already if this was written before and the answer was lost.
            with suppress(ConditionFailed):
                write_transaction(self._client, [{"Put": {"TableName": self._table, "Item": marshal(item)}}, event])

    def found_in_run(self, day: str, run: str) -> list[Break]:
        return [_to_break(item) for item in self._breaks_of_day(day) if item["run"] == run]

    def open(self, day: str) -> dict[Break, str]:
        """The day's unresolved breaks, each with the time since which it has existed."""
        return {_to_break(item): item["since"] for item in self._breaks_of_day(day) if "resolved_at" not in item}

    def resolve_not_found(self, day: str, run: str, at: str) -> None:
        for item in self._breaks_of_day(day):
            if item["run"] != run and "resolved_at" not in item:
                self._put(item | {"resolved_at": at})

    def _breaks_of_day(self, day: str) -> Iterator[Item]:
        return self._items("pk = :pk", pk=break_pk(day))

    def _items(self, condition: str, **keys: str) -> Iterator[Item]:
        values = {f":{name}": value for name, value in keys.items()}
        return query(self._client, self._table, condition, values, ConsistentRead=True)

    def _put(self, item: Item) -> None:
        with ledger_errors():
            self._client.put_item(TableName=self._table, Item=marshal(item))


def _to_break(item: Item) -> Break:
    return Break(**{name: item[name] for name in _BREAK_FIELDS})


def _to_posting(item: Item) -> AccountPosting:
    return AccountPosting(
        payment_id=payment_id_of(item["pk"]),
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
