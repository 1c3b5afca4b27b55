"""Sums of journal entries, with which tests describe what a payment has moved."""

from collections import defaultdict
from collections.abc import Iterable

from functions.shared.domain.ledger import JournalEntry

Balances = dict[tuple[str, str], int]
"""Debits minus credits in minor units, by account and currency, without zeros."""


def balances(entries: Iterable[JournalEntry]) -> Balances:
    """Add up the entries."""
    totals: defaultdict[tuple[str, str], int] = defaultdict(int)
    for posting in (posting for entry in entries for posting in entry.postings):
        totals[posting.account, posting.currency] += posting.signed_minor
    return {key: total for key, total in totals.items() if total}
