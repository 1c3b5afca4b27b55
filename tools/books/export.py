"""Export the journal to a file for other tools. It is written day by day, so its length is not limited by memory.

CSV (RFC 4180, UTF-8) has one row a posting, with the header `time,entry,payment,reference,gateway,charge,kind,source,
reverses,account,debit,credit,currency,hash`. Times are UTC, an entry is `payment/number`, and amounts are decimals in
the currency's major unit.

XLSX (ECMA-376) has the same rows. A spreadsheet guesses numbers and dates when it opens CSV; in XLSX, texts are texts
and amounts are numbers in every spreadsheet and language.

Beancount (https://beancount.github.io) has one transaction per entry, with the other CSV columns as metadata. Credits
are negative there. The accounts are opened in a file of their own, so that one ledger can include any number of months.

In CSV and beancount, a text that a spreadsheet would take for a formula gets a single quote in front: callers choose
ids and references, and gateways choose sources.
"""

import csv
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from enum import StrEnum
from functools import cache
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, Protocol

import xlsxwriter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

from functions.shared.domain.ledger import PostedEntry, asset_disputed, asset_gateway
from functions.shared.domain.payment import Payment
from tools.books.money import decimal
from tools.books.reading import BooksReader, LedgerError, days, parse_period
from tools.output import counted, progress

_COLUMNS = (
    *("time", "entry", "payment", "reference", "gateway", "charge", "kind", "source", "reverses"),
    *("account", "debit", "credit", "currency", "hash"),
)
# The beginnings of the accounts of any gateway.
_GATEWAYS = asset_gateway(""), asset_disputed("")
_MAX_SHEET_ROWS = 1_048_576
_COLUMN_WIDTH = 24
# Beancount has five root accounts. Money in suspense is an asset until we know where it is.
_ROOTS = {"asset": "Assets", "liability": "Liabilities", "expense": "Expenses", "suspense": "Assets:Suspense"}


class Format(StrEnum):
    CSV = "csv"
    XLSX = "xlsx"
    BEANCOUNT = "beancount"


Row = dict[str, str | Decimal | None]


class Writer(Protocol):
    def __init__(self, out: BinaryIO, first: str, last: str) -> None: ...

    def write(self, posted: PostedEntry, payment: Payment) -> None: ...

    def end(self) -> None: ...


def export(
    books: BooksReader, first: str | None, last: str | None, format: Format, out: BinaryIO, console: Console
) -> None:
    """Write a period's entries in chronological order, and report progress to the console. Raises LedgerError."""
    begin, end = parse_period(first, last)
    period = list(days(max(begin, books.first_day), end))
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("days"))
    count, writer = 0, _WRITERS[format](out, begin, end)
    try:
        with progress(console, *columns) as bar:
            task = bar.add_task("", total=len(period))
            for day in period:
                for posted, payment in books.entries(day):
                    writer.write(posted, payment)
                    count += 1
                    bar.update(task, description=counted(count, "entry", "entries"))
                bar.update(task, advance=1)
    finally:
        writer.end()
    console.print(f"{counted(count, 'entry', 'entries')}, {begin} to {end}.", highlight=False)


def open_accounts(books: BooksReader, out: BinaryIO) -> None:
    """Write a beancount file that opens every account on the first day of the books, to be included beside the
    months."""
    lines = [f"{books.first_day} open {beancount_account(account)}\n" for account in books.accounts]
    out.write("".join(lines).encode())


@contextmanager
def replacing_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` once it is complete. Raises LedgerError if it can't be written."""
    part = path.with_name(f"{path.name}.part")
    try:
        try:
            with part.open("wb") as file:
                yield file
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise LedgerError(f"{path} can't be written: {error.strerror}.") from None


class CsvWriter:
    def __init__(self, out: BinaryIO, first: str, last: str) -> None:
        self._text = TextIOWrapper(out, encoding="utf-8", newline="")
        self._rows = csv.DictWriter(self._text, _COLUMNS)
        self._rows.writeheader()

    def write(self, posted: PostedEntry, payment: Payment) -> None:
        for row in _rows(posted, payment):
            self._rows.writerow(
                {name: _without_formulas(value) if isinstance(value, str) else value for name, value in row.items()}
            )

    def end(self) -> None:
        self._text.detach()


class XlsxWriter:
    def __init__(self, out: BinaryIO, first: str, last: str) -> None:
        # In constant-memory mode each row is written out before the next.
        self._book = xlsxwriter.Workbook(out, {"constant_memory": True})
        self._sheet = self._book.add_worksheet(f"{first} to {last}")
        self._sheet.freeze_panes(1, 0)
        self._sheet.set_column(0, len(_COLUMNS) - 1, _COLUMN_WIDTH)
        self._amount_format = cache(lambda zero: self._book.add_format({"num_format": zero}))
        self._next_row = 0
        self._write(dict(zip(_COLUMNS, _COLUMNS, strict=True)))

    def write(self, posted: PostedEntry, payment: Payment) -> None:
        for row in _rows(posted, payment):
            self._write(row)

    def end(self) -> None:
        self._book.close()

    def _write(self, row: Row) -> None:
        if self._next_row == _MAX_SHEET_ROWS:
            raise LedgerError(f"A sheet has {_MAX_SHEET_ROWS:,} rows, and this export has more. Export fewer days.")
        for column, name in enumerate(_COLUMNS):
            match row.get(name):
                case str(text):
                    self._sheet.write_string(self._next_row, column, text)
                case Decimal() as amount:
                    self._sheet.write_number(self._next_row, column, amount, self._amount_format(f"{amount * 0:f}"))
        self._next_row += 1


class BeancountWriter:
    def __init__(self, out: BinaryIO, first: str, last: str) -> None:
        self._text = TextIOWrapper(out, encoding="utf-8")
        self._text.write(f"; Payments, {first} to {last}. What `ledger accounts` writes opens the accounts.\n")

    def write(self, posted: PostedEntry, payment: Payment) -> None:
        self._text.write(f"\n{posted.posted_at[:10]} * {_quoted(posted.entry.kind)}\n")
        for name, value in _metadata(posted, payment).items():
            if value is not None:
                self._text.write(f"  {name}: {_quoted(_without_formulas(value))}\n")
        for posting in posted.entry.postings:
            amount = decimal(posting.signed_minor, posting.currency)
            self._text.write(f"  {beancount_account(posting.account):<24} {amount:>14f} {posting.currency}\n")

    def end(self) -> None:
        self._text.detach()


_WRITERS: dict[Format, type[Writer]] = {
    Format.CSV: CsvWriter,
    Format.XLSX: XlsxWriter,
    Format.BEANCOUNT: BeancountWriter,
}


def beancount_account(account: str) -> str:
    """`Assets:Gateway:Sparkle` for `asset:gateway:sparkle`."""
    root, *names = account.split(":")
    return ":".join([_ROOTS[root], *("".join(map(str.capitalize, name.split("_"))) for name in names)])


def _metadata(posted: PostedEntry, payment: Payment) -> dict[str, str | None]:
    """An entry's metadata: everything but its postings."""
    reverses = posted.entry.reverses
    return {
        "time": posted.posted_at,
        "entry": posted.entry_id,
        "payment": posted.payment_id,
        "reference": payment.merchant_reference,
        "gateway": _gateway(posted, payment),
        "charge": payment.charge_id,
        "kind": posted.entry.kind,
        "source": posted.entry.source,
        "reverses": f"{posted.payment_id}/{reverses}" if reverses else None,
        "hash": posted.hash,
    }


def _gateway(posted: PostedEntry, payment: Payment) -> str | None:
    """The payment's gateway. Older records don't name it, but the account does that an entry is posted to."""
    accounts = (posting.account for posting in posted.entry.postings)
    named = (account.rpartition(":")[2] for account in accounts if account.startswith(_GATEWAYS))
    return payment.gateway or next(named, None)


def _rows(posted: PostedEntry, payment: Payment) -> Iterator[Row]:
    metadata = _metadata(posted, payment)
    for posting in posted.entry.postings:
        amount = decimal(posting.amount_minor, posting.currency)
        yield {**metadata, "account": posting.account, "currency": posting.currency, posting.direction: amount}


def _without_formulas(text: str) -> str:
    """The text, with a quote in front if a spreadsheet could take it, or a cell that it splits it into, for a formula.

    Source: OWASP, "CSV Injection" (=, +, -, @, tab, carriage return, line feed, and the full-width forms).
    """
    return re.sub("(^|[,;\t\r\n])(?=[=+@\t\r\n＝＋－＠-])", r"\1'", text)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
