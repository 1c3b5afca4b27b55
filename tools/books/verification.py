"""Verify that the ledger is as it was written: every payment's record and journal, closed day, and anchor."""

import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TextColumn

from functions.shared.adapters.kms import KmsMac
from functions.shared.adapters.table import keys
from functions.shared.ports import DayTotals
from tools.books.anchors import Anchored, read_anchors
from tools.books.findings import Evidence, in_the_record
from tools.books.flaws import Flaw, first_flaw, flaw_of_anchors, flaw_of_seal
from tools.books.money import money
from tools.books.reading import Item, OpenBooks, Totals, add, day_before, items_of_payment, now, read_items
from tools.deployment.stack import Stack
from tools.output import counted, print_json, progress, table

SEGMENTS = 64
_AT_A_TIME = 8
_SHOWN = 50

# A scan may see a payment in the middle of a write. It is then read again after these seconds.
LOOKS_AGAIN_AFTER_SECONDS = (0.0, 1.0)

# The key attributes of the indexes. Only a payment's items may have them.
_INDEX_KEYS = {"account_day", "posted_at", "doubt_shard", "doubt_since", "open_shard", "written_shard", "written_at"}
_MOVED = ("CARD", "VELOCITY", "ENDED")  # to other tables
_CARD = {"pk", "sk", "token", "fingerprint", "brand", "bin", "last4", "expiry", "expires_at"}


@dataclass(slots=True)
class Verified:
    """How much was read, the flaws, and the sums of each day's postings.

    `written` counts payments by the day of their last version, `unsealed` those from before seals were introduced, and
    `payment_ids` are all that have a record.
    """

    payments: int = 0
    entries: int = 0
    unsealed: int = 0
    cards: int = 0
    flaws: list[Flaw] = field(default_factory=list)
    by_day: dict[str, Totals] = field(default_factory=dict)
    written: Counter[str] = field(default_factory=Counter)
    payment_ids: set[str] = field(default_factory=set)

    def count(self, item: Item) -> None:
        if item["sk"] == keys.RECORD:
            self.payments += 1
            self.unsealed += "mac" not in item
            self.payment_ids.add(keys.payment_id_of(item["pk"]))
            if "mac" in item:
                self.written[str(item.get("written_at"))[:10]] += 1
        self.entries += item["sk"].startswith(keys.FIRST_ENTRY)
        if item["sk"].startswith(keys.FIRST_POSTING):
            with suppress(KeyError, TypeError, ValueError):  # otherwise it is reported as its entry's flaw
                side = item["account"], item["currency"], item["direction"]
                self.by_day.setdefault(item["posted_at"][:10], Totals())[side] += int(item["amount_minor"])

    def merge(self, other: "Verified") -> None:
        self.payments += other.payments
        self.entries += other.entries
        self.unsealed += other.unsealed
        self.cards += other.cards
        self.flaws += other.flaws
        self.written.update(other.written)
        self.payment_ids |= other.payment_ids
        for day, totals in other.by_day.items():
            self.by_day.setdefault(day, Totals()).update(totals)


def verify(stack: Stack, books: OpenBooks, console: Console, *, as_json: bool = False) -> bool:
    """Read the whole ledger and print its flaws. Returns whether there are none."""
    # Anchors and closes come first: what they say stays true whatever is written in the meantime.
    with console.status("Reading the anchors"):
        anchored = read_anchors(stack)
    closed = books.closed_days(now()[:10])
    verified, reader = Verified(), _Reader(stack, anchored)
    columns = (BarColumn(), TextColumn("{task.percentage:.0f} %"))
    with progress(console, *columns) as bar, ThreadPoolExecutor(_AT_A_TIME) as pool:
        task = bar.add_task("", total=SEGMENTS)
        for part in pool.map(reader.segment, range(SEGMENTS)):
            verified.merge(part)
            read = f"{counted(verified.payments, 'payment')}, {counted(verified.entries, 'entry', 'entries')}"
            bar.update(task, advance=1, description=read)
    verified.merge(reader.cards())
    gone = [
        flaw_of_anchors(payment_id, {}, anchored.lines[payment_id])
        for payment_id in sorted(anchored.lines.keys() - verified.payment_ids)
    ]
    flaws = [*anchored.flaws, *filter(None, gone), *sorted(verified.flaws, key=lambda flaw: flaw.where)]
    flaws += [*flaws_of_closes(closed, verified.by_day), *days_without_anchor(anchored, verified.written, now()[:10])]
    if as_json:
        read_of = {"payments": verified.payments, "entries": verified.entries, "cards": verified.cards}
        read_of |= {"closed_days": len(closed), "anchors": len(anchored.anchors)}
        print_json(read_of | {"flaws": flaws})
    else:
        _show(flaws, verified, len(closed), anchored, console)
    return not flaws


def _show(flaws: list[Flaw], verified: Verified, closed: int, anchored: Anchored, console: Console) -> None:
    if flaws:
        shown = table("Changed or removed", ("where", "what is wrong"))
        for flaw in flaws[:_SHOWN]:
            shown.add_row(escape(flaw.where), escape(flaw.what))
        console.print(shown)
        if len(flaws) > _SHOWN:
            console.print(f"… and {len(flaws) - _SHOWN:,} more.", highlight=False)
    if verified.unsealed:
        unsealed = counted(verified.unsealed, "payment is", "payments are")
        console.print(f"{unsealed} from before seals were introduced.", highlight=False)
    if anchored.anchors:
        last = anchored.anchors[-1]
        console.print(
            f"No anchor covers what was written since {last.taken_at} yet: make audit compares it with the gateway.",
            highlight=False,
        )
    else:
        console.print(
            "There is no anchor yet. Until there is one, this can't detect a deleted payment, or an older record in "
            "place of a newer one: make audit compares the ledger with the gateway."
        )
    result = f"[red]{counted(len(flaws), 'flaw')}[/red] in" if flaws else "[green]Verified:[/green]"
    read = f"{counted(verified.payments, 'payment')} with {counted(verified.entries, 'entry', 'entries')}"
    rest = f"{counted(verified.cards, 'stored card')}, {counted(closed, 'closed day')}"
    console.print(f"{result} {read}, {rest}, and {counted(len(anchored.anchors), 'anchor')}.", highlight=False)


def days_without_anchor(anchored: Anchored, written: Mapping[str, int], today: str) -> Iterator[Flaw]:
    """Days since the first anchored one on which something was last written, but which have no anchor.

    Today has none yet, and yesterday's may still come tonight.
    """
    days = {anchor.day for anchor in anchored.anchors}
    for day in sorted(written):
        if days and min(days) < day < day_before(today) and day not in days:
            yield Flaw(f"day {day}", f"has no anchor, and {written[day]:,} payments were last written on it")


def flaws_of_closes(closed: Mapping[str, DayTotals], by_day: Mapping[str, Totals]) -> Iterator[Flaw]:
    """Closed days that differ from the sum of their postings."""
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


def flaw_elsewhere(item: Item, today: str) -> Flaw | None:
    """The flaw of an item outside payments: of a closed day, of a break, or of an item that doesn't belong in the
    table."""
    kind, _, of = item["pk"].partition("#")
    where = f"{item['pk']} {item['sk']}"
    if kind in _MOVED and not item.keys() & _INDEX_KEYS:
        return Flaw(where, "is from before it had a table of its own: make upgrade-ledger moves it")
    if item.keys() & _INDEX_KEYS or kind not in ("CLOSE", "BREAK"):
        return Flaw(where, "is nothing of the ledger's")
    if kind == "CLOSE" and not (
        re.fullmatch(r"\d{4}-\d\d-\d\d", item["sk"]) and of == item["sk"][:4] and item["sk"] < today
    ):
        return Flaw(where, "is no day that was closed")
    return None


class _Reader:
    """Reads the tables segment by segment. Can be shared between threads."""

    def __init__(self, stack: Stack, anchored: Anchored) -> None:
        self._table = stack.ledger_table
        self._cards_table = stack.known("cards_table")
        # Unlike the resource, its client can be shared, and it too returns items in Python types.
        self._client = stack.resource("dynamodb").meta.client
        self._mac = KmsMac(stack.client("kms"), stack.known("books_key_arn"))
        self._anchored = anchored

    def segment(self, number: int) -> Verified:
        """Verify one segment of the ledger. A payment's items come together; if they don't, the payment is read
        again."""
        part, today = Verified(), now()[:10]
        segment = {"Segment": number, "TotalSegments": SEGMENTS}
        scanned = read_items(self._client, "scan", self._table, ConsistentRead=True, **segment)
        for pk, items in groupby(scanned, key=itemgetter("pk")):
            if not keys.is_of_payment(pk):
                part.flaws += filter(None, (flaw_elsewhere(item, today) for item in items))
                continue
            payment_id, of_payment = keys.payment_id_of(pk), {item["sk"]: item for item in items}
            for item in of_payment.values():
                part.count(item)
            if self._flaw(payment_id, of_payment) and (flaw := self._second_look(payment_id)):
                part.flaws.append(flaw)
        return part

    def cards(self) -> Verified:
        """Verify that the table of cards holds only cards, and requests that stored one. No ciphertext is read."""
        part = Verified()
        for item in read_items(
            self._client,
            "scan",
            self._cards_table,
            ConsistentRead=True,
            ProjectionExpression=", ".join(sorted(_CARD - {"bin", "token"})) + ", #bin, #token",
            ExpressionAttributeNames={"#bin": "bin", "#token": "token"},
        ):
            if keys.is_of_request(item["pk"]):
                continue
            part.cards += 1
            key = {name: item[name] for name in ("pk", "sk")}
            if key != keys.card_key(str(item.get("token"))) or "expires_at" not in item:
                part.flaws.append(Flaw(f"{item['pk']} {item['sk']}", "is no stored card"))
        return part

    def _flaw(self, payment_id: str, items: Mapping[str, Item]) -> Flaw | None:
        lines = self._anchored.lines.get(payment_id, [])
        return (
            first_flaw(payment_id, items)
            or flaw_of_seal(payment_id, items[keys.RECORD], lines, self._mac.verify)
            or flaw_of_anchors(payment_id, items, lines)
            or self._flaw_of_day(payment_id, items[keys.RECORD])
            or self._flaw_of_sums(payment_id, items)
        )

    def _flaw_of_day(self, payment_id: str, record: Item) -> Flaw | None:
        """The flaw of a record that is missing in the anchor of the day on which it was last written."""
        if "mac" not in record:
            return None
        anchor = self._anchored.covering(record["written_at"][:10], record["written_at"])
        known = [line.version for by, line in self._anchored.lines.get(payment_id, []) if by == anchor]
        if anchor is None or int(record["version"]) in known:
            return None
        what = f"was written at {record['written_at']}, and anchor {anchor.number}, of that day, does not have it"
        return Flaw(payment_id, what)

    @staticmethod
    def _flaw_of_sums(payment_id: str, items: Mapping[str, Item]) -> Flaw | None:
        """The flaw of a record that differs from the sum of its entries and operations."""
        evidence = Evidence(payment_id, items=dict(items), in_index="doubt_shard" in items[keys.RECORD])
        finding = next(in_the_record(evidence, items[keys.RECORD], evidence.entries()), None)
        return Flaw(payment_id, f"{finding.kind}: {finding.expected}, and is {finding.found}") if finding else None

    def _second_look(self, payment_id: str) -> Flaw | None:
        for pause in LOOKS_AGAIN_AFTER_SECONDS:
            time.sleep(pause)
            items = items_of_payment(self._client, self._table, payment_id)
            flaw = self._flaw(payment_id, {item["sk"]: item for item in items})
            if flaw is None:
                break
        return flaw
