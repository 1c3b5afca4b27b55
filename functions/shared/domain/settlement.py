"""A gateway's settlement report for one day, and its comparison with the payments' journals."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from functions.shared.domain.adoption import adopted_id
from functions.shared.domain.ledger import JournalEntry, PostedEntry
from functions.shared.domain.payment import Payment

LineType = Literal["charge", "refund", "refund_failed", "dispute", "dispute_reversal"]
"""The types of report lines that our books contain. A person has to look at a line of any other type."""

BreakType = Literal["missing_in_ledger", "missing_at_gateway", "amount_differs", "status_differs", "duplicate"]


@dataclass(frozen=True, slots=True)
class SettlementLine:
    """One movement of money at the gateway. Amounts are in the currency's minor unit, times are ISO 8601.

    `line_id` is the gateway's id of the charge, refund or dispute, `reference` our payment's id, and `refund_reference`
    our operation's id. `type` is a LineType or a term of the gateway's; a line with such a term may concern no charge.
    Amounts that go to the card are negative. The line is final once `settled_at` has passed.

    A `paid` movement has reached the bank. If a gateway pays out later than it moves the money, each movement has two
    lines, often in the reports of two days: one that is compared with the books, and one, `paid`, that is posted.
    """

    line_id: str
    type: str
    charge_id: str | None
    reference: str | None
    refund_reference: str | None
    amount_minor: int
    fee_minor: int
    currency: str
    settled_at: str
    paid: bool = True

    @property
    def key(self) -> str:
        """A unique key for the line. It contains the type, as a failed refund has the same id as the refund."""
        return f"{self.type}:{self.line_id}" + ("" if self.paid else ":unpaid")

    @property
    def is_known(self) -> bool:
        """Whether our books contain lines of this type."""
        return self.type in get_args(LineType)

    @property
    def settled(self) -> datetime:
        return datetime.fromisoformat(self.settled_at)

    def __str__(self) -> str:
        return f"{self.type} {self.line_id} of {self.amount_minor} {self.currency}"


@dataclass(frozen=True, slots=True)
class SettlementPage:
    """One page of a report's lines, in order. The count and the totals, `{currency: (amount, fee)}`, cover the whole
    report; they are None for a gateway that gives none, whose adapter has to find out by other means if a line is
    missing."""

    lines: tuple[SettlementLine, ...]
    line_count: int | None
    totals: dict[str, tuple[int, int]] | None
    next_page: str | None


@dataclass(frozen=True, slots=True)
class Break:
    """A disagreement between two sides about a day (UTC, YYYY-MM-DD). `item` is a line's key, an entry or an execution.

    `payment_id` is empty if the gateway names no payment.
    """

    day: str
    type: BreakType
    payment_id: str
    item: str
    expected: str
    found: str


def settlement_source(line: SettlementLine, day: str) -> str:
    """The `source` of a settlement entry: one line of one day's report."""
    return f"{line.key}@{day}"


def settled_as(line: SettlementLine, journal: tuple[PostedEntry, ...]) -> str | None:
    """The source of the entry that already settled the line, from any day's report; None if there is no such entry."""
    sources = (posted.entry.source or "" for posted in journal if posted.entry.kind == "settlement")
    return next((source for source in sources if source.rpartition("@")[0] == line.key), None)


def entry_of(line: SettlementLine, payment: Payment, journal: tuple[PostedEntry, ...]) -> PostedEntry | None:
    """The entry in our books that corresponds to the gateway's line."""
    # A refund line is a refund of ours, an adopted one, or the gateway's reversal of the charge.
    refunds = (line.refund_reference, adopted_id("refund", line.line_id))
    other_charge_ids = payment.other_charges
    for posted in journal:
        entry = posted.entry
        match line.type:
            case "charge" if line.charge_id in other_charge_ids:
                fits = entry.kind == "capture" and entry.source == line.charge_id
            case "charge":
                fits = entry.kind == "capture" and entry.source not in other_charge_ids
            case "dispute" | "dispute_reversal":
                kind = "dispute" if line.type == "dispute" else "dispute_won"
                fits = (entry.kind, entry.source) == (kind, line.line_id)
            case _ if entry.kind == "refund":
                fits = entry.source in refunds
            case _:
                reverses_capture = (
                    entry.kind == "reversal" and journal[(entry.reverses or 0) - 1].entry.kind == "capture"
                )
                fits = reverses_capture and (line.type, line.refund_reference, entry.source) == ("refund", None, None)
        if fits:
            return posted
    return None


def compare(line: SettlementLine, payment: Payment, journal: tuple[PostedEntry, ...], day: str) -> Break | None:
    """The break between a line of a known type and its payment's journal, or None if they agree."""

    def broken(type: BreakType, expected: str, found: str) -> Break:
        return Break(day, type, payment.payment_id, line.key, expected, found)

    if payment.charge_id and line.charge_id not in {payment.charge_id, *payment.other_charges}:
        return broken("duplicate", f"charge {payment.charge_id} alone", str(line))
    earlier = settled_as(line, journal)
    if earlier and earlier != settlement_source(line, day):
        return broken("duplicate", f"once, as on {earlier.rpartition('@')[2]}", str(line))
    posted = entry_of(line, payment, journal)
    if posted is None:
        return broken("status_differs", f"{line.type}, as at the gateway", payment.status)
    recorded = signed_minor(line, posted.entry)
    if recorded != (line.amount_minor, line.currency):
        return broken("amount_differs", f"{recorded[0]} {recorded[1]}, as in the ledger", str(line))
    return None


def signed_minor(line: SettlementLine, entry: JournalEntry) -> tuple[int, str]:
    """The amount that the entry moved between the gateway and us, negative if to the card, and its currency."""
    (posting,) = (posting for posting in entry.postings if posting.account.startswith("asset:gateway:"))
    # A failed refund's line is compared with the entry of the refund itself, whose sign is the opposite.
    sign = -1 if line.type == "refund_failed" else 1
    return sign * posting.signed_minor, posting.currency
