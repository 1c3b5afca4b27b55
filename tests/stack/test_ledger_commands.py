"""The books on the command line, and the reconciliation of days with every kind of break, on a busy stack.

Each test has a past day to itself: the sandbox's clock is set back to it, so its report has only that test's lines.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import count
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from beancount import loader
from beancount.core.data import Transaction
from botocore.exceptions import ClientError

from functions.shared.domain.seal import digest
from tests.aws_facts import facts
from tests.stack.driver import CARD_DATA, Driver, payments
from tools.deployment.polling import wait_for
from tools.deployment.stack import Stack, new_payment_id
from tools.local.machine import Machine

Command = Callable[..., CompletedProcess[str]]
Line = dict[str, Any]

GATEWAY_CARD = {"number": CARD_DATA["card_number"], "expiry_month": 12, "expiry_year": 2030, "holder": "John Doe"}
_own_days = count(30)
# What replaces a payment's line in a report, and the break that follows: its type, and the end of what was found.
WRONG_LINES: dict[str, tuple[list[Line], str, str]] = {
    "another amount": ([{"amount_minor": 2000}], "amount_differs", "20.00USD"),
    "another currency": ([{"currency": "EUR"}], "amount_differs", "19.99EUR"),
    "a negative amount": ([{"amount_minor": -1999}], "amount_differs", "-19.99USD"),
    "twice": ([{}, {}], "duplicate", "19.99USD"),
}


def days_ago(days: int) -> str:
    return (datetime.now(UTC) - timedelta(days)).date().isoformat()


@pytest.fixture
def command(machine: Machine, stack: Stack) -> Command:
    return lambda *arguments: payments(machine.stack_file, *arguments)


class Sandbox:
    """The gateway, and what may go wrong there on one past day."""

    def __init__(self, driver: Driver) -> None:
        self.days = next(_own_days)
        self.day = days_ago(self.days)
        self._stack = driver.stack

    def call(self, method: str, path: str, **request: Any) -> Any:
        answer = self._stack.sandbox(method, path, headers={"Idempotency-Key": new_payment_id()}, **request)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    @contextmanager
    def clock_put_back(self) -> Iterator[None]:
        self.call("POST", "/sandbox/clock", json={"offset_seconds": -86400 * self.days})
        try:
            yield
        finally:
            self.call("DELETE", "/sandbox/clock")

    def report(self, day: str | None = None) -> Any:
        return self.call("GET", "/v1/settlements", params={"date": day or self.day})

    @contextmanager
    def reporting(self, lines: list[Line] | bytes, day: str | None = None) -> Iterator[None]:
        """Give the day's report these lines with matching totals, or exactly these bytes."""
        path = f"/sandbox/settlements/{day or self.day}"
        self.call("PUT", path, data=lines if isinstance(lines, bytes) else json.dumps(self._full_report(lines, day)))
        try:
            yield
        finally:
            self.call("DELETE", path)

    def _full_report(self, lines: list[Line], day: str | None) -> dict[str, Any]:
        totals: dict[str, Counter[str]] = {}
        for line in lines:
            amounts = {name: line[name] for name in ("amount_minor", "fee_minor")}
            totals.setdefault(line["currency"], Counter()).update(amounts)
        return {
            "date": day or self.day,
            "lines": lines,
            "line_count": len(lines),
            "totals": [{"currency": currency, **total} for currency, total in totals.items()],
            "next_cursor": None,
        }


@pytest.fixture
def sandbox(driver: Driver) -> Sandbox:
    return Sandbox(driver)


@pytest.fixture
def settled(driver: Driver, sandbox: Sandbox) -> str:
    """A payment of 19.99 USD in the report of the sandbox's day."""
    with sandbox.clock_put_back():
        payment_id: str = driver.paid()["payment_id"]
    assert [line["reference"] for line in sandbox.report()["lines"]] == [payment_id]
    return payment_id


def rows(output: str) -> list[list[str]]:
    """A table's cells without white space, since narrow columns wrap their text."""
    table_rows: list[list[str]] = []
    for line in output.splitlines():
        if line.startswith("│"):
            cells = ["".join(cell.split()) for cell in line.strip("│").split("│")]
            if cells[0]:
                table_rows.append(cells)
            else:
                table_rows[-1] = ["".join(pair) for pair in zip(table_rows[-1], cells, strict=True)]
    return table_rows


def breaks(run: CompletedProcess[str], payment_id: str) -> list[list[str]]:
    """The type, expected and found values of the payment's breaks."""
    return [[type, expected, found] for type, of, _, expected, found, _ in rows(run.stdout) if of == payment_id]


@pytest.fixture(scope="module")
def refunded(stack: Stack) -> str:
    """A payment of 1,234.50 USD, of which 34.50 were refunded."""
    driver = Driver(stack)
    payment_id: str = driver.paid(amount_minor=123450)["payment_id"]
    driver.post(f"/payments/{payment_id}/refunds", {"amount_minor": 3450})
    assert wait_for(lambda: driver.stack.payment(payment_id)["status"] == "partially_refunded", 60)
    return payment_id


class TestTheBooks:
    def test_debits_equal_credits(self, command: Command, refunded: str) -> None:
        run = command("ledger", "trial-balance")
        assert run.returncode == 0, run.stdout
        assert "In balance: debits equal credits in " in run.stdout
        assert {balance for _, account, *_, balance in rows(run.stdout) if account == "total"} <= {"0", "0.00", "0.000"}

    def test_the_accounts_statement_has_the_payment(self, command: Command, refunded: str) -> None:
        run = command("ledger", "statement", "liability:merchant")
        assert run.returncode == 0
        own = [[kind, debit, credit] for _, of, kind, _, debit, credit, _ in rows(run.stdout) if of == refunded]
        assert own == [["capture", "", "1,234.50"], ["refund", "34.50", ""]]

    def test_the_payment_is_drawn(self, command: Command, refunded: str) -> None:
        run = command("ledger", "payment", refunded)
        assert run.returncode == 0
        assert "asset:gateway:sparkle, USD" in run.stdout
        assert "balance  1,200.00" in run.stdout

    def test_other_tools_read_the_journal(self, command: Command, refunded: str, tmp_path: Path) -> None:
        run = command("ledger", "export")
        own = [row for row in csv.DictReader(StringIO(run.stdout)) if row["payment"] == refunded]
        assert [(row["entry"], row["account"], row["debit"], row["credit"]) for row in own] == [
            (f"{refunded}/1", "asset:gateway:sparkle", "1234.50", ""),
            (f"{refunded}/1", "liability:merchant", "", "1234.50"),
            (f"{refunded}/2", "liability:merchant", "34.50", ""),
            (f"{refunded}/2", "asset:gateway:sparkle", "", "34.50"),
        ]
        accounts, journal = tmp_path / "accounts.beancount", tmp_path / "journal.beancount"
        assert command("ledger", "accounts", "--out", str(accounts)).returncode == 0
        assert command("ledger", "export", "--format", "beancount", "--out", str(journal)).returncode == 0
        directives, errors, _ = loader.load_string(accounts.read_text() + journal.read_text())
        assert errors == []
        transactions = [each for each in directives if isinstance(each, Transaction)]
        assert [each.meta["kind"] for each in transactions if each.meta["payment"] == refunded] == ["capture", "refund"]

    def test_the_ledger_is_as_it_was_written(self, command: Command, refunded: str) -> None:
        run = command("ledger", "verify")
        assert refunded not in run.stdout
        assert "stored cards" in run.stdout

    @pytest.mark.parametrize(
        ("key", "change", "where", "flaw"),
        [
            ("ENTRY#0001", {"kind": {"S": "refund"}}, "/1", "is not what its hash was made of"),
            ("ENTRY#0002", None, "/2", "is missing, and its postings are there"),
            ("POSTING#0002#1", {"amount_minor": {"N": "1"}}, "/2", "amount_minor is 1, and was written as 3450"),
            ("PAYMENT", {"entry_count": {"N": "1"}}, "/2", "is not counted: the record counts 1"),
        ],
    )  # fmt: skip
    def test_tampering_with_the_ledger_is_named(
        self,
        driver: Driver,
        command: Command,
        refunded: str,
        key: str,
        change: dict[str, Any] | None,
        where: str,
        flaw: str,
    ) -> None:
        item = driver.payment_items(refunded)[key]
        dynamodb, table = driver.stack.client("dynamodb"), driver.stack.ledger_table
        if change:
            dynamodb.put_item(TableName=table, Item=item | change)
        else:
            dynamodb.delete_item(TableName=table, Key={name: item[name] for name in ("pk", "sk")})
        try:
            run = command("ledger", "verify")
        finally:
            dynamodb.put_item(TableName=table, Item=item)
        assert run.returncode == 1
        (text,) = (text for of, text in rows(run.stdout) if of == refunded + where)
        assert "".join(flaw.split()) in text


class TestAnchors:
    """Run in file order, since anchors can't be removed."""

    def test_a_day_is_anchored_and_the_ledger_still_agrees(self, command: Command, refunded: str) -> None:
        run = command("ledger", "anchor")
        assert run.returncode == 0, run.stdout
        assert re.search(rf"Anchor \d+, of {days_ago(0)}: [1-9][\d,]* payments with [1-9][\d,]* entries\.", run.stdout)
        assert refunded not in command("ledger", "verify").stdout

    def test_a_removed_payment_is_named_with_its_anchor(self, driver: Driver, command: Command, refunded: str) -> None:
        with self.rewritten(driver, refunded, lambda items: items.clear()):
            run = command("ledger", "verify")
        assert run.returncode == 1
        [text] = [text for of, text in rows(run.stdout) if of == refunded]
        assert re.match(rf"isgone:anchor\d+,of{days_ago(0)},hasitinversion\d+,with2entries", text)

    def test_an_older_record_in_place_of_a_newer_one_is_named(
        self, driver: Driver, command: Command, authorized: tuple[str, dict[str, Any]]
    ) -> None:
        payment_id, before = authorized
        assert command("ledger", "anchor").returncode == 0

        def put_back(items: dict[str, Any]) -> None:
            items.clear()
            items.update(before)

        with self.rewritten(driver, payment_id, put_back):
            run = command("ledger", "verify")
        assert run.returncode == 1
        [text] = [text for of, text in rows(run.stdout) if of == payment_id]
        assert "itsrecordisofversion" in text

    def test_no_anchor_can_be_deleted_or_overwritten(self, stack: Stack) -> None:
        documented, s3, bucket = facts("object_lock"), stack.client("s3"), stack.required("anchors_bucket")
        key = "tried/anchor.json"
        version = s3.put_object(Bucket=bucket, Key=key, Body=b"{}", IfNoneMatch="*")["VersionId"]

        def answer(action: str, **arguments: Any) -> Any:
            try:
                return getattr(s3, action)(Bucket=bucket, Key=key, **arguments)
            except ClientError as error:
                return error.response["Error"]["Code"]

        assert answer("put_object", Body=b"x", IfNoneMatch="*") == documented["write_again_if_none_match"]
        assert answer("delete_object", VersionId=version) == documented["delete_version"]
        assert answer("delete_object")["DeleteMarker"]
        assert answer("get_object", VersionId=version)["Body"].read() == b"{}"
        # So the verification reads every version and uses the first.
        assert documented["write_again_over_a_marker_if_none_match"] == "written"
        assert answer("put_object", Body=b"x", IfNoneMatch="*")["VersionId"] != version

    def test_kms_rejects_a_wrong_mac_and_a_long_message(self, stack: Stack) -> None:
        documented, kms, key = facts("mac"), stack.client("kms"), stack.required("books_key_arn")
        with pytest.raises(ClientError, match=documented["wrong_mac"]):
            kms.verify_mac(KeyId=key, Message=b"x", Mac=bytes(documented["mac_bytes"]), MacAlgorithm="HMAC_SHA_256")
        assert len(digest("record", {})) <= documented["message_bytes_at_most"]

    @pytest.fixture
    def authorized(self, driver: Driver) -> tuple[str, dict[str, Any]]:
        """A payment that was authorized and then voided, and its items from before the void."""
        payment_id = driver.paid(capture=False)["payment_id"]
        before = driver.payment_items(payment_id)
        operation_id, _ = driver.post(f"/payments/{payment_id}/voids", {})
        driver.operation(payment_id, operation_id)
        return payment_id, before

    @contextmanager
    def rewritten(self, driver: Driver, payment_id: str, rewrite: Callable[[dict[str, Any]], None]) -> Iterator[None]:
        """Change a payment's items for a while, as somebody with all rights could."""
        dynamodb, table = driver.stack.client("dynamodb"), driver.stack.ledger_table
        items = driver.payment_items(payment_id)
        changed = dict(items)
        rewrite(changed)

        def write(new_items: dict[str, Any]) -> None:
            for item in driver.payment_items(payment_id).values():
                dynamodb.delete_item(TableName=table, Key={name: item[name] for name in ("pk", "sk")})
            for item in new_items.values():
                dynamodb.put_item(TableName=table, Item=item)

        write(changed)
        try:
            yield
        finally:
            write(items)


class TestADayThatAgrees:
    def test_today_is_compared(self, driver: Driver, command: Command) -> None:
        payment_id = driver.paid()["payment_id"]
        run = command("reconcile", days_ago(0))
        assert "The day is not over, so it was compared but neither settled nor closed." in run.stdout
        assert breaks(run, payment_id) == []

    def test_a_past_day_is_settled_once(self, driver: Driver, command: Command, sandbox: Sandbox, settled: str) -> None:
        for _ in range(2):
            run = command("reconcile", sandbox.day)
            assert run.returncode == 0, run.stdout
            assert run.stdout.strip() == f"{sandbox.day} agrees: the gateway, the ledger and the executions."
        assert driver.account_totals(settled) == {
            "asset:gateway:sparkle": 0,
            "liability:merchant": -1999,
            "asset:bank": 1941,
            "expense:fees": 58,
        }
        [charge] = driver.charges(settled)
        statement = rows(command("ledger", "statement", "asset:bank").stdout)
        own = [[kind, source, debit] for _, of, kind, source, debit, *_ in statement if of == settled]
        assert own == [["settlement", f"charge:{charge['id']}@{sandbox.day}", "19.41"]]
        assert command("ledger", "trial-balance").returncode == 0
        assert settled not in command("ledger", "verify").stdout


class TestBreaks:
    def test_a_charge_that_was_made_at_the_gateway_is_missing_in_the_ledger(
        self, command: Command, sandbox: Sandbox
    ) -> None:
        reference = new_payment_id()
        order = {"reference": reference, "amount_minor": 1999, "currency": "USD", "capture": True}
        with sandbox.clock_put_back():
            charge = sandbox.call("POST", "/v1/charges", json=order | {"card": GATEWAY_CARD})
        run = command("reconcile", sandbox.day)
        assert run.returncode == 1
        assert breaks(run, reference) == [["missing_in_ledger", "apayment", f"charge{charge['id']}of19.99USDatsparkle"]]
        assert f"1 break on {sandbox.day}." in run.stdout

    def test_a_payment_that_the_report_leaves_out_is_missing_at_the_gateway(
        self, driver: Driver, command: Command, sandbox: Sandbox
    ) -> None:
        payment_id, today = driver.paid()["payment_id"], days_ago(0)
        lines = [line for line in sandbox.report(today)["lines"] if line["reference"] != payment_id]
        with sandbox.reporting(lines, today):
            run = command("reconcile", today)
        assert run.returncode == 1
        assert breaks(run, payment_id) == [
            ["missing_at_gateway", "alineforthecaptureof19.99USD", "achargethatiscaptured"]
        ]
        assert breaks(command("reconcile", today), payment_id) == []

    def test_a_charge_that_was_captured_at_the_gateway_is_adopted_and_settled(
        self, driver: Driver, command: Command, sandbox: Sandbox
    ) -> None:
        payment_id = driver.paid(capture=False)["payment_id"]
        [charge] = driver.charges(payment_id)
        with sandbox.clock_put_back():
            sandbox.call("POST", f"/v1/charges/{charge['id']}/capture", json={})
        assert breaks(command("reconcile", sandbox.day), payment_id) == []
        payment = driver.stack.payment(payment_id)
        assert (payment["status"], payment["captured_minor"]) == ("captured", 1999)
        assert [(each["type"], each["status"], each["source"]) for each in payment["operations"]] == [
            ("capture", "succeeded", "gateway")
        ]
        assert driver.account_totals(payment_id)["liability:merchant"] == -1999

    def test_wrong_lines_post_nothing_until_they_are_corrected(
        self, driver: Driver, command: Command, sandbox: Sandbox
    ) -> None:
        with sandbox.clock_put_back():
            ids = {mistake: driver.paid()["payment_id"] for mistake in WRONG_LINES}
        before = {mistake: driver.payment_items(payment_id) for mistake, payment_id in ids.items()}
        lines = {line["reference"]: line for line in sandbox.report()["lines"]}
        assert lines.keys() == {*ids.values()}
        wrong = [lines[ids[mistake]] | change for mistake, (changes, *_) in WRONG_LINES.items() for change in changes]
        with sandbox.reporting(wrong):
            run = command("reconcile", sandbox.day)
        assert run.returncode == 1
        for mistake, payment_id in ids.items():
            _, type, found = WRONG_LINES[mistake]
            [[broken, _, actual]] = breaks(run, payment_id)
            assert broken == type, mistake
            assert actual.endswith(f"charge{lines[payment_id]['id']}of{found}"), mistake
            assert driver.payment_items(payment_id) == before[mistake], mistake
        assert command("reconcile", sandbox.day).returncode == 0
        banked = {mistake: driver.account_totals(payment_id)["asset:bank"] for mistake, payment_id in ids.items()}
        assert banked == dict.fromkeys(WRONG_LINES, 1941)

    def test_a_truncated_report_is_rejected_and_the_books_are_unchanged(
        self, driver: Driver, command: Command, sandbox: Sandbox, settled: str
    ) -> None:
        before, report = driver.payment_items(settled), sandbox.report()
        for cut, message in (
            (json.dumps(report)[:-40], "is cut off: it is not JSON."),
            (json.dumps(report | {"lines": []}), "has 0 of its 1 lines."),
            (json.dumps(report | {"totals": []}), "don't sum up to its totals."),
        ):
            with sandbox.reporting(cut.encode()):
                run = command("reconcile", sandbox.day)
            assert (run.returncode, run.stdout) == (3, "")
            output = " ".join(run.stderr.split())
            assert output.startswith("StackError: ReportUnreadable: The settlement report")
            assert message in output
            assert "The report was rejected and the books are unchanged." in output
            assert driver.payment_items(settled) == before
        assert command("reconcile", sandbox.day).returncode == 0
