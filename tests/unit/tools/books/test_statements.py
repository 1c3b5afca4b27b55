"""The books in the terminal, on the known books of conftest.py."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from functions.shared.domain.ledger import Posting
from functions.shared.domain.operation import Operation, OperationStatus
from functions.shared.domain.payment import PaymentRequest, Status
from functions.shared.ports import AccountPosting
from tests.samples import payment
from tests.unit.tools.books.conftest import KnownBooks, Run, days_ago
from tools.books import statements as ledger
from tools.output import ExitCode

Payments = Callable[..., Run]


def rows(output: str) -> list[list[str]]:
    """The cells of the tables' rows."""
    lines = (line for line in output.splitlines() if line.startswith("│"))
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


class TestTheTrialBalance:
    def test_it_has_every_account_in_every_currency_and_balances(self, payments: Payments) -> None:
        run = payments("ledger", "trial-balance")
        assert run.status == 0
        assert rows(run.output) == [
            ["JPY", "asset:gateway:sparkle", "1,234", "0", "1,234"],
            ["JPY", "liability:merchant", "0", "1,234", "-1,234"],
            ["JPY", "total", "1,234", "1,234", "0"],
            ["KWD", "asset:gateway:sparkle", "1.234", "0.000", "1.234"],
            ["KWD", "liability:merchant", "1.234", "2.468", "-1.234"],
            ["KWD", "suspense:in_doubt", "1.234", "1.234", "0.000"],
            ["KWD", "total", "3.702", "3.702", "0.000"],
            ["USD", "asset:gateway:sparkle", "1,234.50", "1,269.00", "-34.50"],
            ["USD", "asset:bank", "1,198.70", "0.00", "1,198.70"],
            ["USD", "liability:merchant", "34.50", "1,234.50", "-1,200.00"],
            ["USD", "expense:fees", "35.80", "0.00", "35.80"],
            ["USD", "total", "2,503.50", "2,503.50", "0.00"],
        ]
        assert "In balance: debits equal credits in JPY, KWD, USD." in run.output

    def test_as_of_a_closed_day_it_has_that_days_closing_balances(self, payments: Payments, books: KnownBooks) -> None:
        run = payments("ledger", "trial-balance", "--as-of", books.first)
        assert [row[:3] for row in rows(run.output)] == [
            ["JPY", "asset:gateway:sparkle", "1,234"],
            ["JPY", "liability:merchant", "0"],
            ["JPY", "total", "1,234"],
            ["USD", "asset:gateway:sparkle", "1,234.50"],
            ["USD", "liability:merchant", "0.00"],
            ["USD", "total", "1,234.50"],
        ]

    @pytest.mark.parametrize(
        ("time", "gateway"),
        [("T00:00:00Z", "1,200.00"), ("T23:59:59.998Z", "1,200.00"), ("T23:59:59.999Z", "-34.50"), ("", "-34.50")],
    )
    def test_as_of_a_time_it_has_the_postings_until_then(
        self, payments: Payments, books: KnownBooks, time: str, gateway: str
    ) -> None:
        run = payments("ledger", "trial-balance", "--as-of", books.second + time)
        assert ["USD", "asset:gateway:sparkle", gateway] in [[*row[:2], row[4]] for row in rows(run.output)]

    def test_before_the_first_posting_it_says_so(self, payments: Payments) -> None:
        run = payments("ledger", "trial-balance", "--as-of", days_ago(4))
        assert run.status == 0
        assert f"Nothing was posted by {days_ago(4)} 23:59:59.999 UTC." in run.output

    def test_debits_unequal_to_credits_are_reported_and_fail(
        self, payments: Payments, books: KnownBooks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ledger, "REREAD_PAUSES_SECONDS", (0,))
        stray = AccountPosting(
            "pay-x", 1, "capture", None, f"{books.third}T09:00:00.000Z", Posting("asset:bank", "debit", 1, "EUR")
        )
        show_too(monkeypatch, books, lambda: [stray])
        run = payments("ledger", "trial-balance")
        assert run.status == 1
        assert "Out of balance: debits minus credits are 0.01 EUR." in run.output

    def test_an_index_that_lags_behind_is_waited_for(
        self, payments: Payments, books: KnownBooks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ledger, "REREAD_PAUSES_SECONDS", (0, 0))
        stray = AccountPosting(
            "pay-x", 1, "capture", None, f"{books.third}T09:00:00.000Z", Posting("asset:bank", "debit", 1, "EUR")
        )
        looks = iter([[stray]])
        show_too(monkeypatch, books, lambda: next(looks, []))
        assert payments("ledger", "trial-balance").status == 0

    def test_a_tampered_posting_refers_to_the_verification(self, payments: Payments, books: KnownBooks) -> None:
        key = {"pk": {"S": "PAYMENT#pay-kwd"}, "sk": {"S": "POSTING#0003#1"}}
        posting: dict[str, Any] = books.aws.dynamodb.get_item(TableName="ledger", Key=key)["Item"]
        broken = {name: value for name, value in posting.items() if name != "amount_minor"}
        books.aws.dynamodb.put_item(TableName="ledger", Item=broken)
        try:
            run = payments("ledger", "trial-balance")
        finally:
            books.aws.dynamodb.put_item(TableName="ledger", Item=posting)
        assert run.status == ExitCode.FAILED
        assert f"a posting to asset:gateway:sparkle of {books.third} is damaged." in run.output

    @pytest.mark.parametrize("as_of", ["monday", "9999-01-01"])
    def test_an_invalid_or_future_time_is_an_error(self, payments: Payments, as_of: str) -> None:
        run = payments("ledger", "trial-balance", "--as-of", as_of)
        assert run.status == ExitCode.FAILED
        assert re.search("LedgerError: .*(is not a day|has not begun)", run.output)


def show_too(monkeypatch: pytest.MonkeyPatch, books: KnownBooks, more: Callable[[], list[AccountPosting]]) -> None:
    """Let the bank's index show more postings of the third day."""
    postings = type(books.books).postings

    def and_more(self: object, account: str, day: str) -> list[AccountPosting]:
        return [
            *postings(books.books, account, day),
            *(more() if (account, day) == ("asset:bank", books.third) else []),
        ]

    monkeypatch.setattr(type(books.books), "postings", and_more)


class TestAStatement:
    def test_it_has_opening_closing_and_running_balances(self, payments: Payments, books: KnownBooks) -> None:
        run = payments("ledger", "statement", "asset:gateway:sparkle", "--from", books.second, "--to", books.third)
        assert run.status == 0
        midnight, evening, morning = (
            f"{books.second} 00:00:00.000",
            f"{books.second} 23:59:59.999",
            f"{books.third} 09:00:00.000",
        )
        assert rows(run.output) == [
            ["opening balance", "", "", "", "", "", "1,234"],
            ["closing balance", "", "", "", "0", "0", "1,234"],
            ["opening balance", "", "", "", "", "", "0.000"],
            [morning, "pay-kwd", "capture", "", "1.234", "", "1.234"],
            ["closing balance", "", "", "", "1.234", "0.000", "1.234"],
            ["opening balance", "", "", "", "", "", "1,234.50"],
            [midnight, "pay-usd", "refund", "op-1", "", "34.50", "1,200.00"],
            [evening, "pay-usd", "settlement", f"charge:ch_1@{books.first}", "", "1,234.50", "-34.50"],
            ["closing balance", "", "", "", "0.00", "1,269.00", "-34.50"],
        ]
        assert [line.strip() for line in run.output.splitlines() if line.startswith("asset:")] == [
            f"asset:gateway:sparkle in {currency}, {books.second} to {books.third}"
            for currency in ("JPY", "KWD", "USD")
        ]

    def test_its_closing_balance_is_the_next_ones_opening_balance(self, payments: Payments, books: KnownBooks) -> None:
        ended = rows(payments("ledger", "statement", "asset:bank", "--from", books.second, "--to", books.second).output)
        following = rows(
            payments("ledger", "statement", "asset:bank", "--from", books.third, "--to", books.third).output
        )
        assert ended[-1][-1] == following[0][-1] == "1,198.70"

    def test_the_default_period_is_today(self, payments: Payments) -> None:
        run = payments("ledger", "statement", "expense:fees")
        assert f"expense:fees in USD, {days_ago(0)}" in run.output
        assert [row[0] for row in rows(run.output)] == ["opening balance", "closing balance"]

    def test_an_account_without_postings_says_so(self, payments: Payments, books: KnownBooks) -> None:
        run = payments("ledger", "statement", "asset:bank", "--from", books.first, "--to", books.first)
        assert (run.status, run.output.strip()) == (0, f"asset:bank has no postings by {books.first}.")

    def test_an_unknown_account_lists_the_existing_ones(self, payments: Payments) -> None:
        run = payments("ledger", "statement", "asset:gateway:sprakle")
        assert run.status == ExitCode.FAILED
        assert " ".join(run.output.split()) == (
            "LedgerError: There is no account 'asset:gateway:sprakle'. The accounts are asset:gateway:sparkle, "
            "asset:disputed:sparkle, asset:bank, liability:merchant, suspense:in_doubt, expense:fees."
        )


class TestAPayment:
    def test_its_entries_are_drawn_as_t_accounts(self, payments: Payments, books: KnownBooks) -> None:
        run = payments("ledger", "payment", "pay-kwd")
        assert run.status == 0
        assert rows(run.output)[:3] == [
            ["1", "in_doubt", f"{books.second} 12:00:00.000", "", ""],
            ["2", "reversal", f"{books.third} 09:00:00.000", "", "1"],
            ["3", "capture", f"{books.third} 09:00:00.000", "", ""],
        ]
        accounts = [line for line in run.output.splitlines() if line.lstrip().startswith(("suspense:", "liability:"))]
        assert re.split(r"\s{2,}", accounts[0].strip()) == [
            "suspense:in_doubt, KWD",
            "liability:merchant, KWD",
            "asset:gateway:sparkle, KWD",
        ]
        assert "1 in_doubt  1.234 │ 2 reversal  1.234" in run.output
        assert run.output.count("balance") == 3
        assert "balance  0.000 │" in run.output
        assert re.search(r"balance  1.234 │", run.output)
        assert re.search(r"│ +balance  1.234", run.output)

    def test_a_payment_without_entries_has_moved_nothing(self, payments: Payments, books: KnownBooks) -> None:
        books.post("pay-declined", "USD", f"{books.third}T09:00:00.000Z")
        assert "It has no entries: no money has moved." in payments("ledger", "payment", "pay-declined").output

    def test_one_that_is_not_there_is_an_error(self, payments: Payments) -> None:
        run = payments("ledger", "payment", "pay-0")
        assert (run.status, run.output.strip()) == (ExitCode.FAILED, "LedgerError: The ledger has no payment pay-0.")

    def test_a_tampered_payment_refers_to_the_verification(self, payments: Payments, books: KnownBooks) -> None:
        books.post("pay-odd", "USD", f"{days_ago(9)}T09:00:00.000Z")
        books.aws.dynamodb.put_item(
            TableName="ledger",
            Item={"pk": {"S": "PAYMENT#pay-odd"}, "sk": {"S": "ENTRY#0001"}, "kind": {"S": "capture"}},
        )
        run = payments("ledger", "payment", "pay-odd")
        assert run.status == ExitCode.FAILED
        assert "the payment pay-odd is damaged." in run.output
        assert "make verify-ledger" in run.output

    @pytest.mark.parametrize(
        ("status", "operations", "explanation"),
        [
            ("in_doubt", (), "whether the gateway holds or has taken money is not known yet"),
            ("authorized", (), "the gateway holds money, and none has moved"),
            ("authorized", ("processing",), "an operation is under way, and money may move with it"),
            ("authorized", ("in_doubt",), "whether the gateway holds or has taken money is not known yet"),
            ("voided", ("succeeded",), "no money has moved"),
            ("declined", (), "no money has moved"),
        ],
    )
    def test_a_payment_without_entries_explains_where_its_money_is(
        self,
        payments: Payments,
        books: KnownBooks,
        status: Status,
        operations: tuple[OperationStatus, ...],
        explanation: str,
    ) -> None:
        payment_id = f"pay-{status}-{'-'.join(operations)}"
        request = PaymentRequest(1234, "USD", capture=False)
        recorded = tuple(
            Operation("op-1", "void", None, each, None, f"{books.first}T09:00:00.000Z", f"{books.first}T09:00:00.000Z")
            for each in operations
        )
        books.ledger.record(payment(payment_id, status=status, request=request, operations=recorded), ())
        run = payments("ledger", "payment", payment_id)
        assert (run.status, run.output.splitlines()[1]) == (0, f"It has no entries: {explanation}.")


def test_every_list_is_also_available_as_json(payments: Payments, books: KnownBooks) -> None:
    balance = json.loads(payments("ledger", "trial-balance", "--json").stdout)
    assert {"account": "asset:bank", "currency": "USD", "debit_minor": 119870, "credit_minor": 0} in balance["accounts"]
    period = ("--from", books.second, "--to", books.second)
    statement = json.loads(payments("ledger", "statement", "asset:bank", *period, "--json").stdout)
    assert [each["posting"]["amount_minor"] for each in statement["postings"]] == [119870]
    content = json.loads(payments("ledger", "payment", "pay-usd", "--json").stdout)
    assert [each["entry"]["kind"] for each in content["entries"]] == ["capture", "refund", "settlement"]
    verified = json.loads(payments("ledger", "verify", "--json").stdout)
    assert verified["closed_days"] == 1
    assert verified["payments"] >= 3
