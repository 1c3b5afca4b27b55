"""What the ledger's commands read and how long they take as the number of entries grows."""

import io
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from rich.console import Console

from bench.measure import Count, Curve, Figure, Row, Samples, Section, Target
from functions.shared.adapters.table.books import DynamoDbBooks
from functions.shared.adapters.table.keys import RECORD
from functions.shared.adapters.table.ledger import DynamoDbLedger
from functions.shared.domain.ledger import capture_entry, turnover
from functions.shared.domain.times import end_of_day, iso
from tools.books import statements as commands
from tools.books.reading import OpenBooks
from tools.deployment.stack import Stack
from tools.estimates.footprint import PAYMENT, sealing

TABLE = "bench-ledger"
ACCOUNT = "asset:gateway:sparkle"
CLOSED_DAYS = 30
QUIET_DAY_ENTRIES = TODAYS_ENTRIES = 100

_ENTRY = capture_entry("sparkle", 1999, "USD")
_BATCH = 25


class Reads:
    """Counts a DynamoDB client's requests, and the items that these scanned."""

    def __init__(self, client: Any) -> None:
        self.requests = self.items = 0
        client.meta.events.register("after-call.dynamodb", self._answered)

    def _answered(self, parsed: dict[str, Any], **_: Any) -> None:
        self.requests += 1
        self.items += parsed.get("ScannedCount", 1 if "Item" in parsed else 0)

    def of(self, command: Callable[[], object]) -> tuple[int, int, float]:
        """Run the command, and return its requests, items and milliseconds."""
        self.requests = self.items = 0
        started = time.perf_counter()
        command()
        return self.requests, self.items, 1000 * (time.perf_counter() - started)


class _Kept:
    """Takes the place of a DynamoDB client, and keeps the items that the ledger would write."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []

    def transact_write_items(self, TransactItems: list[dict[str, Any]]) -> None:  # noqa: N803
        self.items += [write["Put"]["Item"] for write in TransactItems]


def items_of(payments: int, day: str) -> Iterator[dict[str, Any]]:
    """Yield all items of this many captured payments, as the ledger writes them."""
    midnight = datetime.fromisoformat(day).replace(tzinfo=UTC)
    for n in range(payments):
        at = iso(midnight + timedelta(milliseconds=n))
        first = replace(PAYMENT, payment_id=uuid.uuid4().hex, created_at=at, updated_at=at)
        kept = _Kept()
        DynamoDbLedger(kept, TABLE, sealing(at)).record(*first.post(_ENTRY))  # type: ignore[arg-type]
        yield from kept.items


def reads(stack: Stack, sizes: tuple[int, ...], rounds: int) -> Section:
    """Measure each command at each of the `sizes`: the total numbers of entries in the table, in ascending order."""
    client = stack.client("dynamodb")
    _create_table(stack)
    books = DynamoDbBooks(client, TABLE)
    today = datetime.now(UTC).date()
    days = [(today - timedelta(days=n)).isoformat() for n in range(CLOSED_DAYS, 0, -1)]
    busy, quiet = days[0], days[-1]
    opened = OpenBooks(DynamoDbLedger(client, TABLE), books, days[0])
    counter, nowhere = Reads(client), Console(file=io.StringIO(), width=200)
    [payment_id, *_] = _seed(client, QUIET_DAY_ENTRIES, quiet)
    _seed(client, TODAYS_ENTRIES, today.isoformat())
    seeded, per_day = QUIET_DAY_ENTRIES + TODAYS_ENTRIES, 0
    measured: dict[str, list[tuple[int, int, Samples]]] = {}
    busy_days: list[int] = []
    commands_of: dict[str, Callable[[], object]] = {
        "payment": lambda: commands.payment(opened, payment_id, nowhere),
        "statement of a day of 100 entries": lambda: commands.statement(opened, ACCOUNT, quiet, quiet, nowhere),
        "statement of a day that grows": lambda: commands.statement(opened, ACCOUNT, busy, busy, nowhere),
        "trial-balance of 30 closed days and an open one": lambda: commands.trial_balance(opened, None, nowhere),
    }
    for size in sizes:
        more = (size - seeded) // (CLOSED_DAYS - 1)
        for day in days[:-1]:
            _seed(client, more, day)
        seeded, per_day = seeded + more * (CLOSED_DAYS - 1), per_day + more
        busy_days.append(per_day)
        for day in days:
            entries = QUIET_DAY_ENTRIES if day == quiet else per_day
            books.close(day, turnover(_ENTRY.postings * entries), end_of_day(day))
        for name, command in commands_of.items():
            taken = [counter.of(command) for _ in range(rounds)]
            measured.setdefault(name, []).append((*taken[0][:2], Samples(tuple(each[2] for each in taken))))
    return _section(sizes, measured, busy_days)


def _section(
    sizes: tuple[int, ...], measured: dict[str, list[tuple[int, int, Samples]]], busy_days: list[int]
) -> Section:
    rows, counts = [], []
    for name, by_size in measured.items():
        grows = name.endswith("grows")
        _, least_items, fewest = by_size[0]
        for size, busy_day, (requests, items, taken) in zip(sizes, busy_days, by_size, strict=True):
            what = f"{name}, {size:,} entries"
            target = None if grows or size == sizes[0] else Target("times", 1.25)
            rows.append(Row(what, "ms", taken, None if size == sizes[0] else fewest, target))
            expected = least_items + (busy_day - busy_days[0] if grows else 0)
            why = f"{busy_day:,} postings in the answer" if grows else "as many as at the least size"
            counts.append(Count(f"{what}: items read, in {requests} requests", items, expected, why))
    curves = [Curve(name, sizes, [taken.median for *_, taken in by_size]) for name, by_size in measured.items()]
    return Section(
        "The ledger's commands",
        "the same command over the fewest entries",
        rows,
        counts,
        notes=(
            "The table is the emulator's own, filled by BatchWriteItem with the items that the ledger would write, "
            f"{CLOSED_DAYS} closed days and today. What AWS takes time and money for is the items read.",
        ),
        figures=[
            Figure("ledger", "How long the ledger's commands take", "entries in the ledger", "ms", curves, log_x=True)
        ],
    )


def _create_table(stack: Stack) -> None:
    """Create a table with the keys and indexes of the ledger's table."""
    client = stack.client("dynamodb")
    table = client.describe_table(TableName=stack.ledger_table)["Table"]
    indexes = [
        {name: index[name] for name in ("IndexName", "KeySchema", "Projection")}
        for index in table["GlobalSecondaryIndexes"]
    ]
    client.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=table["AttributeDefinitions"],
        KeySchema=table["KeySchema"],
        GlobalSecondaryIndexes=indexes,
    )


def _seed(client: Any, payments: int, day: str) -> list[str]:
    """Write the payments, and return their ids."""
    items = items_of(payments, day)
    ids: list[str] = []

    def write(batch: list[dict[str, Any]]) -> None:
        client.batch_write_item(RequestItems={TABLE: [{"PutRequest": {"Item": item}} for item in batch]})

    with ThreadPoolExecutor(2) as pool:
        while batches := list(islice(iter(lambda: list(islice(items, _BATCH)), []), 100)):
            ids += [item["payment_id"]["S"] for batch in batches for item in batch if item["sk"]["S"] == RECORD]
            list(pool.map(write, batches))
    return ids
