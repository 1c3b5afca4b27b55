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

from bench.measure import Chart, Count, Curve, Row, Samples, Section, Target
from functions.shared.adapters.table.books import DynamoDbBooks
from functions.shared.adapters.table.keys import RECORD
from functions.shared.adapters.table.ledger import DynamoDbLedger
from functions.shared.domain.ledger import asset_gateway, capture_entry, chart_of_accounts, turnover
from functions.shared.domain.times import end_of_day, iso
from tools.books import statements as commands
from tools.books.reading import BooksReader
from tools.deployment.stack import Stack
from tools.estimates.footprint import GATEWAY, PAYMENT, sealing

TABLE = "bench-ledger"
ACCOUNT = asset_gateway(GATEWAY)
CLOSED_DAYS = 30
QUIET_DAY_ENTRIES = TODAYS_ENTRIES = 100

_ENTRY = capture_entry(GATEWAY, 1999, "USD")
_BATCH = 25


class ReadCounter:
    """Counts a DynamoDB client's requests, and the items that these scanned."""

    def __init__(self, client: Any) -> None:
        self.requests = self.items = 0
        client.meta.events.register("after-call.dynamodb", self._count_reads)

    def _count_reads(self, parsed: dict[str, Any], **_: Any) -> None:
        self.requests += 1
        self.items += parsed.get("ScannedCount", 1 if "Item" in parsed else 0)

    def measure(self, command: Callable[[], object]) -> tuple[int, int, float]:
        """Run the command, and return its requests, items and milliseconds."""
        self.requests = self.items = 0
        started = time.perf_counter()
        command()
        return self.requests, self.items, 1000 * (time.perf_counter() - started)


class _ItemRecorder:
    """Takes the place of a DynamoDB client, and keeps the items that the ledger would write."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []

    def transact_write_items(self, TransactItems: list[dict[str, Any]]) -> None:  # noqa: N803
        self.items += [write["Put"]["Item"] for write in TransactItems]


def items_of(count: int, day: str) -> Iterator[dict[str, Any]]:
    """Yield all items of this many captured payments, as the ledger writes them."""
    midnight = datetime.fromisoformat(day).replace(tzinfo=UTC)
    for number in range(count):
        created_at = iso(midnight + timedelta(milliseconds=number))
        payment = replace(PAYMENT, payment_id=uuid.uuid4().hex, created_at=created_at, updated_at=created_at)
        recorder = _ItemRecorder()
        DynamoDbLedger(recorder, TABLE, sealing(created_at)).record(*payment.post(_ENTRY))  # type: ignore[arg-type]
        yield from recorder.items


def reads(stack: Stack, sizes: tuple[int, ...], rounds: int) -> Section:
    """Measure each command at each of the `sizes`: the total numbers of entries in the table, in ascending order."""
    client = stack.client("dynamodb")
    _create_table(stack)
    books = DynamoDbBooks(client, TABLE)
    today = datetime.now(UTC).date()
    days = [(today - timedelta(days=n)).isoformat() for n in range(CLOSED_DAYS, 0, -1)]
    growing_day, quiet_day = days[0], days[-1]
    open_books = BooksReader(DynamoDbLedger(client, TABLE), books, days[0], chart_of_accounts([GATEWAY]))
    counter, silent = ReadCounter(client), Console(file=io.StringIO(), width=200)
    [payment_id, *_] = _seed(client, QUIET_DAY_ENTRIES, quiet_day)
    _seed(client, TODAYS_ENTRIES, today.isoformat())
    seeded, growing_day_total = QUIET_DAY_ENTRIES + TODAYS_ENTRIES, 0
    measured: dict[str, list[tuple[int, int, Samples]]] = {}
    growing_day_sizes: list[int] = []

    def statement_of(day: str) -> Callable[[], object]:
        return lambda: commands.statement(open_books, ACCOUNT, day, day, silent)

    commands_of: dict[str, Callable[[], object]] = {
        "payment": lambda: commands.payment(open_books, payment_id, silent),
        "statement of a day of 100 entries": statement_of(quiet_day),
        "statement of a day that grows": statement_of(growing_day),
        "trial-balance of 30 closed days and an open one": lambda: commands.trial_balance(open_books, None, silent),
    }
    for size in sizes:
        new_payments = (size - seeded) // (CLOSED_DAYS - 1)
        for day in days[:-1]:
            _seed(client, new_payments, day)
        seeded, growing_day_total = seeded + new_payments * (CLOSED_DAYS - 1), growing_day_total + new_payments
        growing_day_sizes.append(growing_day_total)
        for day in days:
            entries = QUIET_DAY_ENTRIES if day == quiet_day else growing_day_total
            books.close(day, turnover(_ENTRY.postings * entries), end_of_day(day))
        for name, command in commands_of.items():
            runs = [counter.measure(command) for _ in range(rounds)]
            measured.setdefault(name, []).append((*runs[0][:2], Samples(tuple(each[2] for each in runs))))
    return _section(sizes, measured, growing_day_sizes)


def _section(
    sizes: tuple[int, ...], measured: dict[str, list[tuple[int, int, Samples]]], growing_day_sizes: list[int]
) -> Section:
    rows, counts = [], []
    for name, by_size in measured.items():
        grows = name.endswith("grows")
        _, first_items, first_samples = by_size[0]
        for size, growing_day_size, (requests, items, samples) in zip(sizes, growing_day_sizes, by_size, strict=True):
            what = f"{name}, {size:,} entries"
            target = None if grows or size == sizes[0] else Target("ratio", 1.25)
            rows.append(Row(what, "ms", samples, None if size == sizes[0] else first_samples, target))
            expected = first_items + (growing_day_size - growing_day_sizes[0] if grows else 0)
            why = f"{growing_day_size:,} postings in the answer" if grows else "as many as at the least size"
            counts.append(Count(f"{what}: items read, in {requests} requests", items, expected, why))
    curves = [Curve(name, sizes, [samples.median for *_, samples in by_size]) for name, by_size in measured.items()]
    return Section(
        "The ledger's commands",
        "the same command over the fewest entries",
        rows,
        counts,
        notes=(
            "The table is the emulator's own, filled by BatchWriteItem with the items that the ledger would write, "
            f"{CLOSED_DAYS} closed days and today. What AWS takes time and money for is the items read.",
        ),
        charts=[
            Chart("ledger", "How long the ledger's commands take", "entries in the ledger", "ms", curves, log_x=True)
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
