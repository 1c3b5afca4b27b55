"""Whether the ledger is as it was written: every payment's chain of hashes, every posting, and every closed day."""

import re
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TextColumn

from cli.books import ACCOUNTS, OpenBooks, Totals, add, now
from cli.money import money
from cli.output import counted, print_json, progress, table
from cli.stack import Stack
from functions.shared.adapters.dynamodb import entry_items, to_entry
from functions.shared.domain.ledger import NO_ENTRY, PostedEntry
from functions.shared.ports import DayTotals

Item = Mapping[str, Any]
"""An item in Python's types, numbers as Decimal."""

SEGMENTS = 64
_AT_A_TIME = 8
_SHOWN = 50

# A payment may be read while it is written, some items before and some after: so often, and so long, is it read anew.
LOOKS_AGAIN_AFTER_SECONDS = (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is not as it was written: an entry (`payment/number`), a payment's record, or a closed day."""

    where: str
    what: str


@dataclass(slots=True)
class Verified:
    """How much was read, what is wrong with it, and what the postings of each day come to."""

    payments: int = 0
    entries: int = 0
    flaws: list[Flaw] = field(default_factory=list)
    by_day: dict[str, Totals] = field(default_factory=dict)

    def count(self, item: Item) -> None:
        self.payments += item["sk"] == "PAYMENT"
        self.entries += item["sk"].startswith("ENTRY#")
        if item["sk"].startswith("POSTING#"):
            with suppress(KeyError, TypeError, ValueError):  # then it is a flaw of its entry
                side = item["account"], item["currency"], item["direction"]
                self.by_day.setdefault(item["posted_at"][:10], Totals())[side] += int(item["amount_minor"])

    def merge(self, other: "Verified") -> None:
        self.payments += other.payments
        self.entries += other.entries
        self.flaws += other.flaws
        for day, totals in other.by_day.items():
            self.by_day.setdefault(day, Totals()).update(totals)


def verify(stack: Stack, books: OpenBooks, console: Console, *, as_json: bool = False) -> bool:
    """Read the whole ledger and print what is not as it was written; whether all is."""
    # The closes first: a day that is closed meanwhile may have postings that were not read.
    closed = books.closed_days(now()[:10])
    verified, reader = Verified(), _Reader(stack)
    columns = (BarColumn(), TextColumn("{task.percentage:.0f} %"))
    with progress(console, *columns) as bar, ThreadPoolExecutor(_AT_A_TIME) as pool:
        task = bar.add_task("", total=SEGMENTS)
        for part in pool.map(reader.segment, range(SEGMENTS)):
            verified.merge(part)
            read = f"{counted(verified.payments, 'payment')}, {counted(verified.entries, 'entry', 'entries')}"
            bar.update(task, advance=1, description=read)
    flaws = sorted(verified.flaws, key=lambda flaw: flaw.where) + list(flaws_of_closes(closed, verified.by_day))
    if as_json:
        read_of = {"payments": verified.payments, "entries": verified.entries, "closed_days": len(closed)}
        print_json(read_of | {"flaws": flaws})
        return not flaws
    if flaws:
        shown = table("Not as it was written", ("where", "what is wrong"))
        for flaw in flaws[:_SHOWN]:
            shown.add_row(escape(flaw.where), escape(flaw.what))
        console.print(shown)
        if len(flaws) > _SHOWN:
            console.print(f"… and {len(flaws) - _SHOWN:,} more.", highlight=False)
    result = f"[red]{counted(len(flaws), 'flaw')}[/red] in" if flaws else "[green]Verified:[/green]"
    read = f"{counted(verified.payments, 'payment')} with {counted(verified.entries, 'entry', 'entries')}"
    console.print(f"{result} {read}, and {counted(len(closed), 'closed day')}.", highlight=False)
    return not flaws


def first_flaw(payment_id: str, items: Mapping[str, Item]) -> Flaw | None:
    """The first thing that is wrong with a payment's journal, given all its items by sort key; None if it is whole.

    From the first on, each entry must be there, balance, follow the one before it, be what its hash was made of, and
    have exactly its posting items. The record must count them, and have the last one's hash.
    """
    if "PAYMENT" not in items:
        return Flaw(payment_id, "its record is missing")
    by_number: defaultdict[int, dict[str, Item]] = defaultdict(dict)
    for key in items.keys() - {"PAYMENT"}:
        match = re.fullmatch(r"(?:ENTRY|POSTING)#(\d{4,})(?:#\d+)?", key)
        if match is None:
            return Flaw(payment_id, f"{key} is no item of the ledger")
        by_number[int(match[1])][key] = items[key]
    previous, last = NO_ENTRY, max(by_number, default=0)
    for number in range(1, last + 1):
        try:
            previous = _whole(number, previous, by_number[number]).hash
        except ValueError as error:
            return Flaw(f"{payment_id}/{number}", str(error))
        except (ArithmeticError, AttributeError, KeyError, TypeError) as error:
            return Flaw(f"{payment_id}/{number}", f"can't be read: {error!r}")
    count, journal_hash = (items["PAYMENT"].get(name) for name in ("entry_count", "journal_hash"))
    if isinstance(count, int | Decimal) and count > last:
        return Flaw(f"{payment_id}/{last + 1}", f"is missing: the record counts {count}")
    if count != last:
        return Flaw(f"{payment_id}/{last}", f"is not counted: the record counts {count}")
    if journal_hash != previous:
        return Flaw(f"{payment_id}/{last}" if last else payment_id, "the record's journal_hash is not its hash")
    return None


def flaws_of_closes(closed: Mapping[str, DayTotals], by_day: Mapping[str, Totals]) -> Iterator[Flaw]:
    """Where a closed day is not what its postings come to."""
    for day, totals in closed.items():
        kept, posted = Totals(), by_day.get(day, Totals())
        add(kept, totals)
        for account, currency, direction in sorted(kept.keys() | posted.keys()):
            amounts = [money(each[account, currency, direction], currency) for each in (kept, posted)]
            if amounts[0] != amounts[1]:
                what = (
                    f"{account}: its {direction}s were closed as {amounts[0]}, and its postings add up to {amounts[1]}"
                )
                yield Flaw(f"closed day {day}", what)


def _plain(value: Any) -> Any:
    """Numbers as int: we store no others."""
    match value:
        case Decimal():
            return int(value)
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {name: _plain(item) for name, item in value.items()}
    return value


def _whole(number: int, previous: str, items: Mapping[str, Item]) -> PostedEntry:
    """The entry that these items make. Raises ValueError, which says what is wrong, or what reading them raises."""
    key = f"ENTRY#{number:04}"
    if key not in items:
        raise ValueError("is missing, and its postings are there" if items else "is missing")
    posted = to_entry(_plain(items[key]))
    if posted.number != number:
        raise ValueError(f"says that it is number {posted.number}")
    if posted.previous_hash != previous:
        raise ValueError("does not follow the entry before it: its previous_hash is another")
    if not posted.is_intact:
        raise ValueError("is not what its hash was made of")
    for posting in posted.entry.postings:
        if posting.account not in ACCOUNTS:
            raise ValueError(f"is posted to {posting.account}, which is no account")
    written = {item["sk"]: item for item in entry_items(posted)}
    for key in sorted(written.keys() | items.keys()):
        if key not in items:
            raise ValueError(f"{key} is missing")
        if key not in written:
            raise ValueError(f"{key} is none of its postings")
        for name in sorted(written[key].keys() | items[key].keys()):
            found, expected = items[key].get(name), written[key].get(name)
            if found != expected:
                raise ValueError(f"{key}: {name} is {found}, and was written as {expected}")
    return posted


class _Reader:
    """Reads the table's payments, a segment at a time. May be shared between threads."""

    def __init__(self, stack: Stack) -> None:
        self._table = stack.ledger_table
        # A resource's client gives items in Python's types, and unlike the resource is safe to share.
        self._client = stack.resource("dynamodb").meta.client

    def segment(self, number: int) -> Verified:
        """Verify the payments in one segment of the table. A payment's items come together, or it is read again."""
        part = Verified()
        scan = {
            "Segment": number,
            "TotalSegments": SEGMENTS,
            "FilterExpression": "begins_with(pk, :payment)",
            "ExpressionAttributeValues": {":payment": "PAYMENT#"},
        }
        for pk, items in groupby(self._items("scan", **scan), key=itemgetter("pk")):
            payment_id, of_payment = pk.removeprefix("PAYMENT#"), {item["sk"]: item for item in items}
            for item in of_payment.values():
                part.count(item)
            if first_flaw(payment_id, of_payment) and (flaw := self._second_look(payment_id)):
                part.flaws.append(flaw)
        return part

    def _second_look(self, payment_id: str) -> Flaw | None:
        for pause in LOOKS_AGAIN_AFTER_SECONDS:
            time.sleep(pause)
            query = {
                "KeyConditionExpression": "pk = :pk",
                "ExpressionAttributeValues": {":pk": f"PAYMENT#{payment_id}"},
            }
            flaw = first_flaw(payment_id, {item["sk"]: item for item in self._items("query", **query)})
            if flaw is None:
                break
        return flaw

    def _items(self, operation: str, **arguments: Any) -> Iterator[Item]:
        pages = self._client.get_paginator(operation).paginate(TableName=self._table, ConsistentRead=True, **arguments)
        return (item for page in pages for item in page["Items"])
