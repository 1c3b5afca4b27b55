"""How somebody could rewrite the ledger unnoticed by the product: the rights it takes, and the check that finds it.

docs/permissions.yaml lists the ways, with the roles that have the rights; tests/unit/tools/books/test_rewriting.py
tries each.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Right = Literal["write payments", "write days", "seal", "delete", "write anchors", "hide anchors"]

VERIFY, AUDIT = "make verify-ledger", "make audit"


@dataclass(frozen=True, slots=True)
class Rewriting:
    """One way to rewrite the ledger, and all rights that it takes.

    Before the next anchor, `make audit` finds only what the executions or the gateway contradict.
    """

    what: str
    takes: tuple[Right, ...]
    found_by: str = VERIFY


def _rewritings(takes: tuple[Right, ...], *what: str, found_by: str = VERIFY) -> Iterable[Rewriting]:
    return (Rewriting(each, takes, found_by) for each in what)


REWRITINGS: tuple[Rewriting, ...] = (
    *_rewritings(
        ("write payments",),
        "a status is changed",
        "an amount is changed in the record alone",
        "an amount is multiplied by 100, with its entry, its postings, and the chain recomputed",
        "a payment is invented",
        "a payment is copied under another id, its seal with it",
        "another payment's seal is put in the place of a record's own",
        "a seal is taken away",
        "the next version of a record is written without a seal",
        "an older version of a record is put back",
        "a merchant reference is changed",
        "a card is changed",
        "the date of a payment is changed",
        "an attribute is added to a record",
        "an operation is taken out of a record",
        "an operation beside a record is changed",
        "an operation is put beside a record",
        "the amount of an operation is changed",
        "an operation is said to be the gateway's",
        "a payment is put into the index of doubts",
        "a payment is put into the index of open ones",
        "an authorization is taken out of the index of open ones",
        "a record is moved to another day of the index by writing",
        "an entry's source is changed",
        "an entry is added, and not counted",
        "a posting's amount is changed",
        "a posting is moved to another day of its account",
        "a posting is added to an entry",
        "postings are made for a payment that does not exist",
        "the newest event of a payment is changed",
        "an event is invented",
    ),
    *_rewritings(
        ("write payments", "seal"),
        "a status is changed, and sealed",
        "a status is changed in a next version, and sealed",
        "an amount is multiplied by 100, recomputed and sealed",
        "an amount is multiplied by 100, recomputed and sealed as a next version",
        "a merchant reference is changed in a next version, and sealed",
        "an operation is taken out in a next version, and sealed",
        "a payment is put into the index of open ones in a next version, and sealed",
        "an authorization is taken out of the index of open ones in a next version, and sealed",
        "a payment is invented and sealed, as of a day that has an anchor",
    ),
    *_rewritings(
        ("write payments", "seal"),
        "a payment is invented and sealed, as of now",
        found_by=AUDIT,
    ),
    *_rewritings(
        ("write days",),
        "the totals of a closed day are changed",
        "a day is closed that is not over",
    ),
    *_rewritings(
        ("delete",),
        "a payment is deleted, with all that it has",
        "an entry is deleted, with its postings",
        "a posting is deleted",
        "a record is deleted",
        "an event between others is deleted",
        "the newest event of a payment is deleted",
        "an operation beside a record is deleted",
    ),
    *_rewritings(
        ("delete", "write payments"),
        "the last entry is deleted, and the record mended",
        "an older version of a record is put back, and its later entry deleted",
        "postings are written that have no payment's key",
    ),
    *_rewritings(
        ("delete", "write payments", "seal"),
        "the last entry is deleted, and the record mended and sealed",
    ),
    *_rewritings(
        ("delete", "write payments"),
        "an older version of a record is put back, and its later entry deleted, before there is an anchor",
        "a payment is deleted before there is an anchor",
        found_by=AUDIT,
    ),
    *_rewritings(
        ("hide anchors",),
        "an anchor is hidden by a delete marker",
        "the lines of an anchor are hidden",
    ),
    *_rewritings(
        ("write anchors",),
        "another anchor is put in the place of one",
        "an anchor is added that no function wrote",
    ),
)
