"""Double-entry bookkeeping: balanced, immutable journal entries. Nothing is corrected but by a new entry."""

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Literal

Direction = Literal["debit", "credit"]
EntryKind = Literal["capture", "reversal", "in_doubt"]

LIABILITY_MERCHANT = "liability:merchant"
SUSPENSE_IN_DOUBT = "suspense:in_doubt"


def asset_gateway(gateway: str) -> str:
    """The account of what a gateway owes us, `asset:gateway:sparkle`."""
    return f"asset:gateway:{gateway}"


@dataclass(frozen=True, slots=True)
class Posting:
    """One side of an entry: a positive amount in the currency's minor unit, debited or credited to an account."""

    account: str
    direction: Direction
    amount_minor: int
    currency: str

    def reverse(self) -> "Posting":
        return replace(self, direction="credit" if self.direction == "debit" else "debit")


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """At least two postings whose debits equal their credits in every currency.

    Raises ValueError for anything else, so that an unbalanced entry can't exist.
    """

    kind: EntryKind
    postings: tuple[Posting, ...]

    def __post_init__(self) -> None:
        if len(self.postings) < 2:
            raise ValueError("A journal entry needs at least two postings.")
        if any(posting.amount_minor <= 0 for posting in self.postings):
            raise ValueError("A posting's amount must be positive; its direction says the sign.")
        balance: defaultdict[str, int] = defaultdict(int)
        for posting in self.postings:
            sign = 1 if posting.direction == "debit" else -1
            balance[posting.currency] += sign * posting.amount_minor
        if any(balance.values()):
            raise ValueError("Debits and credits must be equal in every currency.")

    def reverse(self) -> "JournalEntry":
        """The entry that undoes this one."""
        return JournalEntry("reversal", tuple(posting.reverse() for posting in self.postings))


def _transfer(kind: EntryKind, debit: str, credit: str, amount_minor: int, currency: str) -> JournalEntry:
    return JournalEntry(
        kind,
        (Posting(debit, "debit", amount_minor, currency), Posting(credit, "credit", amount_minor, currency)),
    )


def capture_entry(gateway: str, amount_minor: int, currency: str) -> JournalEntry:
    """The gateway owes us the money, and we owe it to the merchant."""
    return _transfer("capture", asset_gateway(gateway), LIABILITY_MERCHANT, amount_minor, currency)


def in_doubt_entry(amount_minor: int, currency: str) -> JournalEntry:
    """Nobody knows yet whether the gateway has the money: it is parked in suspense until there is evidence."""
    return _transfer("in_doubt", SUSPENSE_IN_DOUBT, LIABILITY_MERCHANT, amount_minor, currency)
