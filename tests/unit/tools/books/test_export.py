"""The exported journal, read back by the csv module and by beancount itself."""

import csv
import random
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree
from zipfile import ZipFile

import pytest
from beancount import loader
from beancount.core.data import Open, Transaction
from rich.console import Console

from functions.shared.domain.ledger import (
    EntryKind,
    JournalEntry,
    PostedEntry,
    capture_entry,
    dispute_entry,
    dispute_lost_entry,
    in_doubt_entry,
    refund_entry,
    refund_in_doubt_entry,
    settlement_entry,
)
from tests.balances import balances
from tests.fakes import FakeBooks, FakeLedger
from tests.samples import ACCOUNTS
from tests.unit.tools.books.conftest import KnownBooks, Run, post
from tools.books.export import Format, beancount_account, export, open_accounts
from tools.books.money import decimal
from tools.books.reading import BooksReader, LedgerError, days
from tools.output import ExitCode

CSV_COLUMNS = [
    "time",
    "entry",
    "payment",
    "reference",
    "gateway",
    "charge",
    "kind",
    "source",
    "reverses",
    "account",
    "debit",
    "credit",
    "currency",
    "hash",
]
Payments = Callable[..., Run]
PAYMENTS = 60
BEAN_CHECK = Path(sys.executable).with_name("bean-check")


def parsed(text: str) -> list[Any]:
    """The entries that beancount reads and checks without an error."""
    directives, errors, _ = loader.load_string(text)
    assert errors == []
    return list(directives)


def journal(dice: random.Random, amount: int, currency: str) -> list[list[JournalEntry]]:
    """A payment's entries in groups that are posted together: doubts, failed refunds, disputes, settlements with
    fees."""
    captured, refunded = capture_entry("sparkle", amount, currency), dice.randint(1, amount)
    steps = [[captured]]
    if dice.random() < 0.3:
        doubt = in_doubt_entry(amount, currency)
        steps = [[doubt], [doubt.reverse(1), captured]]
    if dice.random() < 0.3:
        doubt, number = refund_in_doubt_entry(refunded, currency, "op-1"), sum(map(len, steps)) + 1
        steps += [[doubt], [doubt.reverse(number), refund_entry("sparkle", refunded, currency, "op-1")]]
    elif dice.random() < 0.5:
        refund, number = refund_entry("sparkle", refunded, currency, "op-2"), sum(map(len, steps)) + 1
        steps += [[refund], [refund.reverse(number, "refund_failed")]]
    elif dice.random() < 0.7:
        disputed, number = dispute_entry("sparkle", amount, currency, "dp_1"), sum(map(len, steps)) + 1
        lost = dispute_lost_entry("sparkle", amount, currency, "dp_1")
        steps += [[disputed, settlement_entry("sparkle", -amount, 1500, currency, "dispute:dp_1@2026")]]
        steps += [dice.choice(([lost], [disputed.reverse(number, "dispute_won")]))]
    fee = dice.choice((0, amount // 30, amount))
    return [*steps, [settlement_entry("sparkle", amount, fee, currency, f'charge:ch_"{amount}"\\@2026')]]


@pytest.fixture(scope="module")
def generated() -> BooksReader:
    """Payments of every kind on several days, the first of which is closed."""
    dice, ledger, period = random.Random(7), FakeLedger(), list(days("2024-02-27", "2024-03-02"))  # noqa: S311
    for n in range(PAYMENTS):
        currency = dice.choice(("USD", "JPY", "KWD"))
        times = sorted(f"{dice.choice(period)}T{dice.randrange(24):02}:00:00.000Z" for _ in range(6))
        for at, entries in zip(times, journal(dice, dice.randint(1, 10**8), currency), strict=False):
            post(ledger, f"pay-{n}", currency, at, *entries)
    return BooksReader(ledger, FakeBooks(ledger), period[0], ACCOUNTS)


def written(books: BooksReader, format: Format, first: str = "2024-02-27", last: str = "2024-03-02") -> bytes:
    """The generated payments as a file."""
    export(books, first, last, format, out := BytesIO(), Console(file=StringIO()))
    return out.getvalue()


def exported(books: BooksReader, format: Format) -> str:
    return written(books, format).decode()


def opened(books: BooksReader) -> str:
    """The file that opens the accounts."""
    open_accounts(books, out := BytesIO())
    return out.getvalue().decode()


def posted(books: BooksReader) -> list[PostedEntry]:
    assert isinstance(books.ledger, FakeLedger)
    return [posted for recorded in books.ledger.records.values() for posted in recorded.entries]


class TestBeancount:
    def test_beancount_reads_every_entry_and_computes_our_balances(self, generated: BooksReader) -> None:
        file = opened(generated) + exported(generated, Format.BEANCOUNT)
        transactions = [each for each in parsed(file) if isinstance(each, Transaction)]
        assert {each.meta["entry"] for each in transactions} == {each.entry_id for each in posted(generated)}
        assert len(transactions) == len(posted(generated))
        assert {each.meta["kind"] for each in transactions} == set(get_args(EntryKind))
        sums: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
        for transaction in transactions:
            for posting in transaction.postings:
                amount, currency = str(posting.units).split()
                sums[posting.account, currency] += Decimal(amount)
        assert {key: amount for key, amount in sums.items() if amount} == balances_of(generated)

    def test_beancounts_own_assertions_of_our_balances_hold(self, generated: BooksReader) -> None:
        file, balances = opened(generated) + exported(generated, Format.BEANCOUNT), balances_of(generated)
        assert len(balances) > len(ACCOUNTS)
        assertions = [
            f"2024-03-03 balance {account} {amount:f} {currency}\n" for (account, currency), amount in balances.items()
        ]
        parsed(file + "".join(assertions))
        _, errors, _ = loader.load_string(file + "2024-03-03 balance Assets:Bank 0.01 USD\n")
        assert ["Balance failed for 'Assets:Bank'" in error.message for error in errors] == [True]

    def test_a_transaction_says_what_the_entry_says(self) -> None:
        ledger, day = FakeLedger(), "2024-02-29"
        doubt = in_doubt_entry(1234, "KWD")
        post(ledger, "pay-1", "KWD", f"{day}T09:00:00.000Z", doubt, doubt.reverse(1, source='"op\\1"'))
        books = BooksReader(ledger, FakeBooks(ledger), day, ACCOUNTS)
        *_, transaction = parsed(opened(books) + exported(books, Format.BEANCOUNT))
        assert {name: value for name, value in transaction.meta.items() if name in CSV_COLUMNS} == {
            "time": f"{day}T09:00:00.000Z",
            "entry": "pay-1/2",
            "payment": "pay-1",
            "reference": "order-1001",
            "gateway": "sparkle",
            "charge": "ch_1",
            "kind": "reversal",
            "source": '"op\\1"',
            "reverses": "pay-1/1",
            "hash": posted(books)[1].hash,
        }
        assert (transaction.date.isoformat(), transaction.narration) == (day, "reversal")
        assert [(each.account, str(each.units)) for each in transaction.postings] == [
            ("Assets:Suspense:InDoubt", "-1.234 KWD"),
            ("Liabilities:Merchant", "1.234 KWD"),
        ]

    def test_every_account_is_opened_by_a_valid_beancount_name(self, generated: BooksReader) -> None:
        directives = parsed(opened(generated))
        assert {type(each) for each in directives} == {Open}
        assert sorted(each.account for each in directives) == [
            "Assets:Bank",
            "Assets:Disputed:Sparkle",
            "Assets:Gateway:Sparkle",
            "Assets:Suspense:InDoubt",
            "Expenses:Fees",
            "Liabilities:Merchant",
        ]
        assert {each.date.isoformat() for each in directives} == {"2024-02-27"}

    def test_months_side_by_side_pass_bean_check(self, generated: BooksReader, tmp_path: Path) -> None:
        (tmp_path / "accounts.beancount").write_text(opened(generated))
        for month, last in (("2024-02", "2024-02-29"), ("2024-03", "2024-03-02")):
            (tmp_path / f"{month}.beancount").write_bytes(written(generated, Format.BEANCOUNT, f"{month}-01", last))
        ledger = tmp_path / "ledger.beancount"
        ledger.write_text("".join(f'include "{file.name}"\n' for file in sorted(tmp_path.glob("*.beancount"))))
        process = subprocess.run([BEAN_CHECK, ledger], capture_output=True, text=True, check=False)  # noqa: S603
        assert (process.returncode, process.stdout + process.stderr) == (0, "")
        transactions = [each for each in loader.load_file(str(ledger))[0] if isinstance(each, Transaction)]
        assert len(transactions) == len(posted(generated))


def balances_of(books: BooksReader) -> dict[tuple[str, str], Decimal]:
    """The balances, by account name in beancount."""
    return {
        (beancount_account(account), currency): decimal(amount, currency)
        for (account, currency), amount in balances(each.entry for each in posted(books)).items()
    }


class TestCsv:
    def test_it_has_a_posting_a_row_in_the_order_of_time(
        self, payments: Payments, books: KnownBooks, tmp_path: Path
    ) -> None:
        file = tmp_path / "journal.csv"
        run = payments("ledger", "export", "--from", books.first, "--to", books.first, "--out", str(file))
        assert (run.status, run.output.strip()) == (0, f"2 entries, {books.first} to {books.first}.")
        text = file.read_bytes().decode()
        assert text.startswith(",".join(CSV_COLUMNS) + "\r\n")
        captured = books.ledger.entries([("pay-usd", 1), ("pay-jpy", 1)])
        order = ["order-1001", "sparkle", "ch_1", "capture", "", ""]
        usd = [f"{books.first}T09:00:00.000Z", "pay-usd/1", "pay-usd", *order]
        jpy = [f"{books.first}T10:00:00.000Z", "pay-jpy/1", "pay-jpy", *order]
        assert list(csv.reader(StringIO(text, newline="")))[1:] == [
            [*usd, "asset:gateway:sparkle", "1234.50", "", "USD", captured["pay-usd", 1].hash],
            [*usd, "liability:merchant", "", "1234.50", "USD", captured["pay-usd", 1].hash],
            [*jpy, "asset:gateway:sparkle", "1234", "", "JPY", captured["pay-jpy", 1].hash],
            [*jpy, "liability:merchant", "", "1234", "JPY", captured["pay-jpy", 1].hash],
        ]

    def test_entries_posted_together_stay_separate_and_texts_are_quoted(self, generated: BooksReader) -> None:
        rows = list(csv.DictReader(StringIO(exported(generated, Format.CSV), newline="")))
        assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
        sums: defaultdict[str, Decimal] = defaultdict(Decimal)
        for row in rows:
            sums[row["entry"]] += Decimal(row["debit"] or 0) - Decimal(row["credit"] or 0)
        assert sums == {each.entry_id: 0 for each in posted(generated)}
        assert any(re.fullmatch(r'charge:ch_"\d+"\\@2026', row["source"]) for row in rows)

    def test_without_a_file_it_goes_to_standard_output_and_progress_does_not(
        self, payments: Payments, books: KnownBooks, capfd: pytest.CaptureFixture[str]
    ) -> None:
        run = payments("ledger", "export", "--from", books.first, "--to", books.first)
        rows = list(csv.reader(StringIO(run.stdout)))
        assert len(rows) == 5
        assert {len(row) for row in rows} == {14}


class TestXlsx:
    def test_it_has_the_rows_of_csv_with_texts_as_texts_and_amounts_as_numbers(self, generated: BooksReader) -> None:
        rows = list(csv.DictReader(StringIO(exported(generated, Format.CSV), newline="")))
        header, *cells = sheet(written(generated, Format.XLSX))
        assert header == {place: ("text", name) for place, name in enumerate(CSV_COLUMNS)}
        assert cells == [
            {
                place: ("number", Decimal(row[name])) if name in ("debit", "credit") else ("text", row[name])
                for place, name in enumerate(CSV_COLUMNS)
                if row[name]
            }
            for row in rows
        ]

    def test_more_rows_than_a_sheet_holds_are_an_error(
        self, generated: BooksReader, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tools.books.export._MAX_SHEET_ROWS", 5)
        with pytest.raises(LedgerError, match="Export fewer days"):
            written(generated, Format.XLSX)


def sheet(xlsx: bytes) -> list[dict[int, tuple[str, Any]]]:
    """The type and the value of each row's cells, by column."""
    names = {"m": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}
    root = ElementTree.fromstring(ZipFile(BytesIO(xlsx)).read("xl/worksheets/sheet1.xml"))  # noqa: S314

    def cell(element: Any) -> tuple[str, Any]:
        if element.get("t") == "inlineStr":
            return "text", element.findtext(".//m:t", namespaces=names)
        return "number", Decimal(element.findtext("m:v", "", names))

    return [
        {ord(element.attrib["r"][0]) - ord("A"): cell(element) for element in row.iterfind("m:c", names)}
        for row in root.iterfind(".//m:row", names)
    ]


FORMULAS = {
    "=1+1": "'=1+1",
    "+1": "'+1",
    "-2+3": "'-2+3",
    "@SUM(A1)": "'@SUM(A1)",
    "\t=1": "'\t'=1",
    "\r=1": "'\r'=1",
    "\n=1": "'\n'=1",
    "＝1": "'＝1",
    "x;=1": "x;'=1",
    'x",=1': "x\",'=1",
    "refund:re_1-2+3@4=5": "refund:re_1-2+3@4=5",
}


@pytest.mark.parametrize(("source", "written"), FORMULAS.items())
@pytest.mark.parametrize("format", [Format.CSV, Format.BEANCOUNT])
def test_formulas_are_exported_as_text(source: str, written: str, format: Format) -> None:
    ledger, day, payment_id = FakeLedger(), "2024-02-29", "-1-payment-of-ours"
    captured = capture_entry("sparkle", 1999, "USD")
    post(ledger, payment_id, "USD", f"{day}T09:00:00.000Z", captured, captured.reverse(1, source=source))
    books = BooksReader(ledger, FakeBooks(ledger), day, ACCOUNTS)
    text = exported(books, format)
    if format is Format.CSV:
        metadata: dict[str, Any] = list(csv.DictReader(StringIO(text, newline="")))[-1]
    else:
        metadata = parsed(opened(books) + text)[-1].meta
    assert {name: metadata[name] for name in ("entry", "payment", "source", "reverses")} == {
        "entry": f"'{payment_id}/2",
        "payment": f"'{payment_id}",
        "source": written,
        "reverses": f"'{payment_id}/1",
    }


class TestTheFile:
    def test_an_existing_file_stays_until_the_new_one_is_complete(
        self, payments: Payments, books: KnownBooks, tmp_path: Path
    ) -> None:
        file = tmp_path / "journal.csv"
        file.write_text("the last one")
        dynamodb, key = books.aws.dynamodb, {"pk": {"S": "PAYMENT#pay-jpy"}, "sk": {"S": "ENTRY#0001"}}
        entry = dynamodb.get_item(TableName="ledger", Key=key)["Item"]
        dynamodb.delete_item(TableName="ledger", Key=key)
        try:
            run = payments("ledger", "export", "--from", books.first, "--out", str(file))
        finally:
            dynamodb.put_item(TableName="ledger", Item=entry)
        assert run.status == ExitCode.FAILED
        assert f"an entry of {books.first} is damaged." in run.output
        assert file.read_text() == "the last one"
        assert list(tmp_path.glob("journal*")) == [file]

    def test_a_file_that_cannot_be_written_is_an_error(self, payments: Payments, tmp_path: Path) -> None:
        run = payments("ledger", "export", "--out", str(tmp_path / "none" / "journal.csv"))
        assert run.status == ExitCode.FAILED
        assert "can't be written: No such file or directory." in " ".join(run.output.split())

    def test_an_invalid_period_is_an_error(self, payments: Payments, books: KnownBooks) -> None:
        run = payments("ledger", "export", "--from", books.second, "--to", books.first)
        assert run.status == ExitCode.FAILED
        assert "the period contains no day" in run.output
