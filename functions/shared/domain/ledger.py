"""Double-entry bookkeeping: balanced, immutable journal entries. Only a new entry can correct an earlier one.

A payment's entries form a chain: each carries the hash of its predecessor, which reveals an entry that was changed,
removed or inserted later.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Literal

Direction = Literal["debit", "credit"]
EntryKind = Literal[
    "capture",
    "refund",
    "refund_failed",
    "dispute",
    "dispute_won",
    "dispute_lost",
    "settlement",
    "in_doubt",
    "reversal",
]

LIABILITY_MERCHANT = "liability:merchant"
SUSPENSE_IN_DOUBT = "suspense:in_doubt"
EXPENSE_FEES = "expense:fees"
ASSET_BANK = "asset:bank"

GENESIS_HASH = "0" * 64
"""The previous hash of a payment's first entry."""


def asset_gateway(gateway: str) -> str:
    """The account for the money that a gateway owes us, such as `asset:gateway:sparkle`."""
    return f"asset:gateway:{gateway}"


def asset_disputed(gateway: str) -> str:
    """The account for the money that a gateway holds while it is disputed, such as `asset:disputed:sparkle`."""
    return f"asset:disputed:{gateway}"


def chart_of_accounts(gateways: Iterable[str]) -> tuple[str, ...]:
    """All accounts of a ledger whose payments went to these gateways."""
    own = [account(gateway) for gateway in gateways for account in (asset_gateway, asset_disputed)]
    return *own, ASSET_BANK, LIABILITY_MERCHANT, SUSPENSE_IN_DOUBT, EXPENSE_FEES


@dataclass(frozen=True, slots=True)
class Posting:
    """One side of an entry: a positive amount in the currency's minor unit, debited or credited to an account."""

    account: str
    direction: Direction
    amount_minor: int
    currency: str

    @property
    def signed_minor(self) -> int:
        """The amount, negative if it is a credit."""
        return self.amount_minor if self.direction == "debit" else -self.amount_minor

    def reverse(self) -> "Posting":
        return replace(self, direction="credit" if self.direction == "debit" else "debit")


def turnover(postings: Iterable[Posting]) -> dict[str, dict[str, tuple[int, int]]]:
    """Total debits and credits in minor units, by account and currency."""
    totals: dict[str, dict[str, tuple[int, int]]] = {}
    for posting in postings:
        by_currency = totals.setdefault(posting.account, {})
        debits, credits = by_currency.get(posting.currency, (0, 0))
        if posting.direction == "debit":
            debits += posting.amount_minor
        else:
            credits += posting.amount_minor
        by_currency[posting.currency] = (debits, credits)
    return totals


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """At least two postings whose debits equal their credits in every currency.

    `source` is None for an entry of the payment itself; otherwise it names the operation, the dispute, or the line of a
    settlement report, that the entry was posted for. `reverses` is the number of the entry that this one undoes.

    Raises ValueError for unbalanced postings, so that an unbalanced entry can't exist.
    """

    kind: EntryKind
    postings: tuple[Posting, ...]
    source: str | None = None
    reverses: int | None = None

    def __post_init__(self) -> None:
        if len(self.postings) < 2:
            raise ValueError("A journal entry needs at least two postings.")
        if any(posting.amount_minor <= 0 for posting in self.postings):
            raise ValueError("A posting's amount must be positive; its direction says the sign.")
        balance: defaultdict[str, int] = defaultdict(int)
        for posting in self.postings:
            balance[posting.currency] += posting.signed_minor
        if any(balance.values()):
            raise ValueError("Debits and credits must be equal in every currency.")

    def reverse(self, number: int, kind: EntryKind = "reversal", source: str | None = None) -> "JournalEntry":
        """The entry that undoes this one; `number` is this entry's number in its payment's journal."""
        postings = tuple(posting.reverse() for posting in self.postings)
        return JournalEntry(kind, postings, source or self.source, number)


@dataclass(frozen=True, slots=True)
class PostedEntry:
    """An entry in a payment's journal, with its number, counted from 1, and the time of posting (ISO 8601 in UTC)."""

    payment_id: str
    number: int
    posted_at: str
    entry: JournalEntry
    previous_hash: str
    hash: str

    @classmethod
    def after(
        cls, previous_hash: str, entry: JournalEntry, *, payment_id: str, number: int, posted_at: str
    ) -> "PostedEntry":
        """The entry, chained to its predecessor by `previous_hash`, which is GENESIS_HASH for the first."""
        text = json.dumps(
            [previous_hash, payment_id, number, posted_at, asdict(entry)], sort_keys=True, separators=(",", ":")
        )
        return cls(payment_id, number, posted_at, entry, previous_hash, hashlib.sha256(text.encode()).hexdigest())

    @property
    def entry_id(self) -> str:
        return f"{self.payment_id}/{self.number}"

    @property
    def is_intact(self) -> bool:
        """Whether the entry still matches its hash."""
        return self == PostedEntry.after(
            self.previous_hash,
            self.entry,
            payment_id=self.payment_id,
            number=self.number,
            posted_at=self.posted_at,
        )


def entries_in_effect(journal: Iterable[PostedEntry]) -> list[PostedEntry]:
    """The entries still in effect: they neither reverse another entry nor have been reversed."""
    entries = list(journal)
    reversed_numbers = {posted.entry.reverses for posted in entries}
    return [posted for posted in entries if posted.entry.reverses is None and posted.number not in reversed_numbers]


def clear_suspense(journal: Iterable[PostedEntry], source: str | None = None) -> list[JournalEntry]:
    """The entries that reverse a doubt's postings to suspense, of the payment itself or of an operation (`source`)."""
    return [
        posted.entry.reverse(posted.number)
        for posted in entries_in_effect(journal)
        if posted.entry.kind == "in_doubt" and posted.entry.source == source
    ]


def _transfer(
    kind: EntryKind, debit: str, credit: str, amount_minor: int, currency: str, source: str | None = None
) -> JournalEntry:
    postings = (Posting(debit, "debit", amount_minor, currency), Posting(credit, "credit", amount_minor, currency))
    return JournalEntry(kind, postings, source)


def capture_entry(gateway: str, amount_minor: int, currency: str, source: str | None = None) -> JournalEntry:
    """The gateway owes us the money, and we owe it to the merchant."""
    return _transfer("capture", asset_gateway(gateway), LIABILITY_MERCHANT, amount_minor, currency, source)


def refund_entry(gateway: str, amount_minor: int, currency: str, source: str) -> JournalEntry:
    """The gateway gave money back to the card, and we owe the merchant less by that amount."""
    return _transfer("refund", LIABILITY_MERCHANT, asset_gateway(gateway), amount_minor, currency, source)


def dispute_entry(gateway: str, amount_minor: int, currency: str, source: str) -> JournalEntry:
    """The gateway took the money back until the dispute is decided. Its fee is posted when it is settled, like others.

    If the dispute is won, the entry is reversed.
    """
    return _transfer("dispute", asset_disputed(gateway), asset_gateway(gateway), amount_minor, currency, source)


def dispute_lost_entry(gateway: str, amount_minor: int, currency: str, source: str) -> JournalEntry:
    """The money is the cardholder's, and we owe the merchant less by that amount."""
    return _transfer("dispute_lost", LIABILITY_MERCHANT, asset_disputed(gateway), amount_minor, currency, source)


def in_doubt_entry(amount_minor: int, currency: str, source: str | None = None) -> JournalEntry:
    """It is unknown whether the gateway has the money, which stays in suspense until there is evidence."""
    return _transfer("in_doubt", SUSPENSE_IN_DOUBT, LIABILITY_MERCHANT, amount_minor, currency, source)


def refund_in_doubt_entry(amount_minor: int, currency: str, source: str) -> JournalEntry:
    """It is unknown whether the gateway gave the money back; the amount stays in suspense until there is evidence."""
    return _transfer("in_doubt", LIABILITY_MERCHANT, SUSPENSE_IN_DOUBT, amount_minor, currency, source)


def settlement_entry(gateway: str, amount_minor: int, fee_minor: int, currency: str, source: str) -> JournalEntry:
    """The gateway paid out the amount of one line of its report, less its fee; it withheld a negative amount."""
    debits = {ASSET_BANK: amount_minor - fee_minor, EXPENSE_FEES: fee_minor, asset_gateway(gateway): -amount_minor}
    postings = (
        Posting(account, "debit" if amount > 0 else "credit", abs(amount), currency)
        for account, amount in debits.items()
        if amount
    )
    return JournalEntry("settlement", tuple(postings), source)
