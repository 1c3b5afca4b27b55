"""The journal as a file for other tools, written day by day and so of any length.

CSV (RFC 4180) has one posting a row under the header `time,entry,payment,kind,source,reverses,account,debit,credit,
currency,hash`. Times are UTC, an entry is `payment/number`, amounts are decimals with the currency's own places.

Beancount (https://beancount.github.io) has one transaction an entry, with what CSV has of it as metadata. Credits are
negative there.

What a spreadsheet would take for a formula has a single quote before it in both: callers make ids, gateways sources.
"""

import csv
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.books import ACCOUNTS, LedgerError, OpenBooks, a_period, days
from cli.money import decimal
from functions.shared.domain.ledger import PostedEntry

_COLUMNS = ("time", "entry", "payment", "kind", "source", "reverses", "account", "debit", "credit", "currency", "hash")
# Beancount knows five roots; money in suspense is owed to us until it is known where it is.
_ROOTS = {"asset": "Assets", "liability": "Liabilities", "expense": "Expenses", "suspense": "Assets:Suspense"}


class Format(StrEnum):
    CSV = "csv"
    BEANCOUNT = "beancount"


class Writer(Protocol):
    def begin(self, first: str, last: str) -> None: ...

    def write(self, posted: PostedEntry) -> None: ...


def export(
    books: OpenBooks, first: str | None, last: str | None, format: Format, out: TextIO, console: Console
) -> None:
    """Write a period's entries in the order of time; the console is told how far that is. Raises LedgerError."""
    begin, end = a_period(first, last)
    writer: Writer = CsvWriter(out) if format is Format.CSV else BeancountWriter(out)
    writer.begin(begin, end)
    period = list(days(max(begin, books.first_day), end))
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("days"),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    count = 0
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(period))
        for day in period:
            for posted in books.entries(day):
                writer.write(posted)
                count += 1
                progress.update(task, description=f"{count:,} entries")
            progress.advance(task)
    console.print(f"{count:,} entries, {begin} to {end}.", highlight=False)


@contextmanager
def replaced_file(path: Path) -> Iterator[TextIO]:
    """A file to write that is there, or replaced, once it is whole. Raises LedgerError where it can't be written."""
    part = path.with_name(f"{path.name}.part")
    try:
        try:
            with part.open("w", encoding="utf-8", newline="") as file:
                yield file
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise LedgerError(f"{path} can't be written: {error.strerror}.") from None


class CsvWriter:
    def __init__(self, out: TextIO) -> None:
        self._rows = csv.writer(out)

    def begin(self, first: str, last: str) -> None:
        self._rows.writerow(_COLUMNS)

    def write(self, posted: PostedEntry) -> None:
        about = _about(posted)
        for posting in posted.entry.postings:
            amount = {posting.direction: decimal(posting.amount_minor, posting.currency)}
            row = about | {"account": posting.account, "currency": posting.currency} | amount
            self._rows.writerow(row.get(column) for column in _COLUMNS)


class BeancountWriter:
    def __init__(self, out: TextIO) -> None:
        self._out = out

    def begin(self, first: str, last: str) -> None:
        self._out.write(f'option "title" "Payments, {first} to {last}"\n\n')
        for account in ACCOUNTS:
            self._out.write(f"{first} open {beancount_account(account)}\n")

    def write(self, posted: PostedEntry) -> None:
        self._out.write(f"\n{posted.posted_at[:10]} * {_quoted(posted.entry.kind)}\n")
        for name, value in _about(posted).items():
            if value is not None:
                self._out.write(f"  {name}: {_quoted(value)}\n")
        for posting in posted.entry.postings:
            amount = decimal(posting.signed_minor, posting.currency)
            self._out.write(f"  {beancount_account(posting.account):<24} {amount:>14f} {posting.currency}\n")


def beancount_account(account: str) -> str:
    """`Assets:Gateway:Sparkle` of `asset:gateway:sparkle`."""
    root, *names = account.split(":")
    return ":".join([_ROOTS[root], *("".join(map(str.capitalize, name.split("_"))) for name in names)])


def _about(posted: PostedEntry) -> dict[str, str | None]:
    """What is said of an entry besides its postings."""
    reverses = posted.entry.reverses
    return {
        "time": posted.posted_at,
        "entry": _harmless(posted.entry_id),
        "payment": _harmless(posted.payment_id),
        "kind": posted.entry.kind,
        "source": posted.entry.source and _harmless(posted.entry.source),
        "reverses": _harmless(f"{posted.payment_id}/{reverses}") if reverses else None,
        "hash": posted.hash,
    }


def _harmless(text: str) -> str:
    """With a quote before what would begin a formula, in the cell or in one that a spreadsheet splits it into.

    Source: OWASP, "CSV Injection" (=, +, -, @, tab, carriage return, line feed, and the full-width forms).
    """
    return re.sub("(^|[,;\t\r\n])(?=[=+@\t\r\n＝＋－＠-])", r"\1'", text)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
