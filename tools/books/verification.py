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
from functions.shared.domain.times import now
from functions.shared.ports import DayTotals
from tools.books.anchors import TrustedAnchors, read_anchors
from tools.books.findings import Evidence, record_findings
from tools.books.flaws import Flaw, first_flaw, flaw_of_anchors, flaw_of_event, flaw_of_seal
from tools.books.money import money
from tools.books.reading import BooksReader, Item, Totals, add_day_totals, day_before, items_of_payment, read_items
from tools.deployment.stack import Stack
from tools.output import counted, print_json, progress, table
from tools.times import time_text

SEGMENTS = 64
_THREADS = 8
_MAX_SHOWN = 50

# A scan may see a payment in the middle of a write. It is then read again after these seconds.
REREAD_PAUSES_SECONDS = (0.0, 1.0)

# The key attributes of the indexes. Only a payment's items may have them.
_INDEX_KEYS = {"account_day", "posted_at", "doubt_shard", "doubt_since", "open_shard", "written_shard", "written_at"}
_MOVED_KINDS = ("CARD", "VELOCITY", "ENDED")  # to other tables
_FIRST_EVENT = keys.event_sk("000001")
_CARD_ATTRIBUTES = {"pk", "sk", "token", "fingerprint", "brand", "bin", "last4", "expiry", "expires_at"}


@dataclass(slots=True)
class VerificationResult:
    """How much was read, the flaws, and the sums of each day's postings.

    `payments_written` counts payments by the day of their last version, `unsealed` and `without_events` those from
    before seals and events were introduced, and `payment_ids` are all that have a record.
    """

    payments: int = 0
    entries: int = 0
    unsealed: int = 0
    without_events: int = 0
    cards: int = 0
    flaws: list[Flaw] = field(default_factory=list)
    by_day: dict[str, Totals] = field(default_factory=dict)
    payments_written: Counter[str] = field(default_factory=Counter)
    payment_ids: set[str] = field(default_factory=set)

    def count(self, item: Item) -> None:
        if item["sk"] == keys.RECORD:
            self.payments += 1
            self.unsealed += "mac" not in item
            self.payment_ids.add(keys.payment_id_of(item["pk"]))
            if "mac" in item:
                self.payments_written[str(item.get("written_at"))[:10]] += 1
        self.entries += item["sk"].startswith(keys.FIRST_ENTRY)
        if item["sk"].startswith(keys.FIRST_POSTING):
            with suppress(KeyError, TypeError, ValueError):  # otherwise it is reported as its entry's flaw
                side = item["account"], item["currency"], item["direction"]
                self.by_day.setdefault(item["posted_at"][:10], Totals())[side] += int(item["amount_minor"])

    def merge(self, other: "VerificationResult") -> None:
        self.payments += other.payments
        self.entries += other.entries
        self.unsealed += other.unsealed
        self.without_events += other.without_events
        self.cards += other.cards
        self.flaws += other.flaws
        self.payments_written.update(other.payments_written)
        self.payment_ids |= other.payment_ids
        for day, totals in other.by_day.items():
            self.by_day.setdefault(day, Totals()).update(totals)


def verify(stack: Stack, books: BooksReader, console: Console, *, as_json: bool = False) -> bool:
    """Read the whole ledger and print its flaws. Returns whether there are none."""
    # Anchors and closes come first: what they say stays true whatever is written in the meantime.
    with console.status("Reading the anchors"):
        trusted = read_anchors(stack)
    closed = books.closed_days(now()[:10])
    total, reader = VerificationResult(), _Reader(stack, trusted)
    columns = (BarColumn(), TextColumn("{task.percentage:.0f} %"))
    with progress(console, *columns) as bar, ThreadPoolExecutor(_THREADS) as pool:
        task = bar.add_task("", total=SEGMENTS)
        for result in pool.map(reader.segment, range(SEGMENTS)):
            total.merge(result)
            read = f"{counted(total.payments, 'payment')}, {counted(total.entries, 'entry', 'entries')}"
            bar.update(task, advance=1, description=read)
    total.merge(reader.cards())
    missing = [
        flaw_of_anchors(payment_id, {}, trusted.lines[payment_id])
        for payment_id in sorted(trusted.lines.keys() - total.payment_ids)
    ]
    flaws = [*trusted.flaws, *filter(None, missing), *sorted(total.flaws, key=lambda flaw: flaw.where)]
    flaws += [*flaws_of_closes(closed, total.by_day), *days_without_anchor(trusted, total.payments_written, now()[:10])]
    if as_json:
        counts = {"payments": total.payments, "entries": total.entries, "cards": total.cards}
        counts |= {"closed_days": len(closed), "anchors": len(trusted.anchors)}
        print_json(counts | {"flaws": flaws})
    else:
        _show(flaws, total, len(closed), trusted, console)
    return not flaws


def _show(flaws: list[Flaw], total: VerificationResult, closed: int, trusted: TrustedAnchors, console: Console) -> None:
    if flaws:
        grid = table("Changed or removed", ("where", "what is wrong"))
        for flaw in flaws[:_MAX_SHOWN]:
            grid.add_row(escape(flaw.where), escape(flaw.what))
        console.print(grid)
        if len(flaws) > _MAX_SHOWN:
            console.print(f"… and {len(flaws) - _MAX_SHOWN:,} more.", highlight=False)
    if total.unsealed:
        unsealed = counted(total.unsealed, "payment is", "payments are")
        console.print(f"{unsealed} from before seals were introduced.", highlight=False)
    if total.without_events:
        without_events = counted(total.without_events, "payment is", "payments are")
        console.print(f"{without_events} from before events were introduced.", highlight=False)
    if trusted.anchors:
        last = trusted.anchors[-1]
        since = f"{time_text(last.taken_at)} UTC"
        console.print(
            f"No anchor covers what was written since {since} yet: make audit compares it with the gateway.",
            highlight=False,
        )
    else:
        console.print(
            "There is no anchor yet. Until there is one, this can't detect a deleted payment, or an older record in "
            "place of a newer one: make audit compares the ledger with the gateway."
        )
    result = f"[red]{counted(len(flaws), 'flaw')}[/red] in" if flaws else "[green]Verified:[/green]"
    read = f"{counted(total.payments, 'payment')} with {counted(total.entries, 'entry', 'entries')}"
    rest = f"{counted(total.cards, 'stored card')}, {counted(closed, 'closed day')}"
    console.print(f"{result} {read}, {rest}, and {counted(len(trusted.anchors), 'anchor')}.", highlight=False)


def days_without_anchor(trusted: TrustedAnchors, payments_written: Mapping[str, int], today: str) -> Iterator[Flaw]:
    """Days since the first anchored one on which something was last written, but which have no anchor.

    Today has none yet, and yesterday's may still come tonight.
    """
    days = {anchor.day for anchor in trusted.anchors}
    for day in sorted(payments_written):
        if days and min(days) < day < day_before(today) and day not in days:
            written = counted(payments_written[day], "payment was", "payments were")
            yield Flaw(f"day {day}", f"has no anchor, and {written} last written on it")


def flaws_of_closes(closed: Mapping[str, DayTotals], by_day: Mapping[str, Totals]) -> Iterator[Flaw]:
    """Closed days that differ from the sum of their postings."""
    for day, totals in closed.items():
        closed_totals, posted_totals = Totals(), by_day.get(day, Totals())
        add_day_totals(closed_totals, totals)
        for account, currency, direction in sorted(closed_totals.keys() | posted_totals.keys()):
            amounts = [money(each[account, currency, direction], currency) for each in (closed_totals, posted_totals)]
            if amounts[0] != amounts[1]:
                what = (
                    f"{account}: its {direction}s were closed as {amounts[0]}, and its postings add up to {amounts[1]}"
                )
                yield Flaw(f"closed day {day}", what)


def flaw_outside_payments(item: Item, today: str) -> Flaw | None:
    """The flaw of an item outside payments: of a closed day, of a break, of a break's or a card's event, or of an item
    that doesn't belong in the table."""
    kind, _, year = item["pk"].partition("#")
    where = f"{item['pk']} {item['sk']}"
    if kind in _MOVED_KINDS and not item.keys() & _INDEX_KEYS:
        return Flaw(where, "is from before it had a table of its own: make upgrade-ledger moves it")
    if item.keys() & _INDEX_KEYS or kind not in ("CLOSE", "BREAK", "EVENTS"):
        return Flaw(where, "does not belong to the ledger")
    if kind == "EVENTS" and (flaw := flaw_of_event(item)):
        return Flaw(where, flaw)
    if kind == "CLOSE" and not (
        re.fullmatch(r"\d{4}-\d\d-\d\d", item["sk"]) and year == item["sk"][:4] and item["sk"] < today
    ):
        return Flaw(where, "is not the close of a past day")
    return None


class _Reader:
    """Reads the tables segment by segment. Can be shared between threads."""

    def __init__(self, stack: Stack, trusted: TrustedAnchors) -> None:
        self._table = stack.ledger_table
        self._cards_table = stack.required("cards_table")
        # Unlike the resource, its client can be shared, and it too returns items in Python types.
        self._client = stack.resource("dynamodb").meta.client
        self._mac = KmsMac(stack.client("kms"), stack.required("books_key_arn"))
        self._trusted = trusted

    def segment(self, number: int) -> VerificationResult:
        """Verify one segment of the ledger. A payment's items come together; if they don't, the payment is read
        again."""
        result, today = VerificationResult(), now()[:10]
        segment = {"Segment": number, "TotalSegments": SEGMENTS}
        scanned = read_items(self._client, "scan", self._table, ConsistentRead=True, **segment)
        for pk, items in groupby(scanned, key=itemgetter("pk")):
            if not keys.is_of_payment(pk):
                result.flaws += filter(None, (flaw_outside_payments(item, today) for item in items))
                continue
            payment_id, payment_items = keys.payment_id_of(pk), {item["sk"]: item for item in items}
            for item in payment_items.values():
                result.count(item)
            result.without_events += keys.RECORD in payment_items and _FIRST_EVENT not in payment_items
            if self._flaw(payment_id, payment_items) and (flaw := self._flaw_after_rereading(payment_id)):
                result.flaws.append(flaw)
        return result

    def cards(self) -> VerificationResult:
        """Verify that the table of cards holds only cards, and requests that stored one. No ciphertext is read."""
        result = VerificationResult()
        for item in read_items(
            self._client,
            "scan",
            self._cards_table,
            ConsistentRead=True,
            ProjectionExpression=", ".join(sorted(_CARD_ATTRIBUTES - {"bin", "token"})) + ", #bin, #token",
            ExpressionAttributeNames={"#bin": "bin", "#token": "token"},
        ):
            if keys.is_of_request(item["pk"]):
                continue
            result.cards += 1
            key = {name: item[name] for name in ("pk", "sk")}
            if key != keys.card_key(str(item.get("token"))) or "expires_at" not in item:
                result.flaws.append(Flaw(f"{item['pk']} {item['sk']}", "is no stored card"))
        return result

    def _flaw(self, payment_id: str, items: Mapping[str, Item]) -> Flaw | None:
        lines = self._trusted.lines.get(payment_id, [])
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
        anchor = self._trusted.covering(record["written_at"][:10], record["written_at"])
        anchored_versions = [
            line.version for line_anchor, line in self._trusted.lines.get(payment_id, []) if line_anchor == anchor
        ]
        if anchor is None or int(record["version"]) in anchored_versions:
            return None
        at = f"{time_text(record['written_at'])} UTC"
        what = f"was written at {at}, and anchor {anchor.number}, of that day, does not have it"
        return Flaw(payment_id, what)

    @staticmethod
    def _flaw_of_sums(payment_id: str, items: Mapping[str, Item]) -> Flaw | None:
        """The flaw of a record that differs from the sum of its entries and operations."""
        evidence = Evidence(payment_id, items=dict(items), in_index="doubt_shard" in items[keys.RECORD])
        finding = next(record_findings(evidence, items[keys.RECORD], evidence.entries()), None)
        return Flaw(payment_id, f"{finding.kind}: {finding.expected}, and is {finding.found}") if finding else None

    def _flaw_after_rereading(self, payment_id: str) -> Flaw | None:
        for pause in REREAD_PAUSES_SECONDS:
            time.sleep(pause)
            items = items_of_payment(self._client, self._table, payment_id)
            flaw = self._flaw(payment_id, {item["sk"]: item for item in items})
            if flaw is None:
                break
        return flaw
