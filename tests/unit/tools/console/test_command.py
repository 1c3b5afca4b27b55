import json
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from functions.shared.domain.ledger import capture_entry
from functions.shared.domain.payment import Status
from tests.samples import payment
from tests.unit.tools.console.conftest import Bench
from tools.cli import __main__ as command
from tools.console.records import LedgerItems
from tools.output import ExitCode


def stack(file: Path) -> list[str]:
    return ["--stack", str(file)]


@pytest.fixture
def stack_file(bench: Bench, tmp_path: Path) -> Path:
    bench.stack.save(tmp_path / "stack.json")
    return tmp_path / "stack.json"


def test_inspect_shows_a_payment_in_the_terminal(bench: Bench, stack_file: Path) -> None:
    payment_id = bench.run()
    bench.record(payment(payment_id))
    result = CliRunner().invoke(command.app, ["inspect", payment_id, "--stack", str(stack_file)])
    assert result.exit_code == 0
    assert all(word in result.output for word in (payment_id, "captured", "HowToEnd", "no money has moved"))


@pytest.mark.parametrize("named", [True, False])
def test_inspect_writes_a_page_and_says_where(
    bench: Bench, stack_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    monkeypatch.setattr("tools.cli.views.BUILD", tmp_path / "build")
    payment_id = bench.run()
    file = tmp_path / "page.html" if named else tmp_path / "build" / f"inspect-{payment_id}.html"
    where = [str(file)] if named else []
    result = CliRunner().invoke(command.app, ["inspect", payment_id, "--html", *where, "--stack", str(stack_file)])
    assert result.output == f"Wrote {file}\n"
    assert payment_id in file.read_text()


def test_inspect_says_that_there_is_no_such_payment(stack_file: Path) -> None:
    result = CliRunner().invoke(command.app, ["inspect", "pay-unknown", "--stack", str(stack_file)])
    assert result.exit_code == ExitCode.FAILED
    assert "no payment and no execution pay-unknown" in result.output


def test_inspect_in_json_has_the_states_and_the_entries(bench: Bench, stack_file: Path) -> None:
    payment_id = bench.run()
    bench.record(payment(payment_id), capture_entry("sparkle", 1999, "USD"))
    content = json.loads(CliRunner().invoke(command.app, ["inspect", payment_id, "--json", *stack(stack_file)]).stdout)
    assert content["summary"]["status"] == content["record"]["status"] == "captured"
    assert [(event["version"], event["type"]) for event in content["events"]] == [(1, "payment.captured")]
    assert [visit["state"] for visit in content["history"]["visits"]] == ["HowToEnd", "Done"]
    assert content["entries"][0]["postings"][0]["amount_minor"] == 1999
    assert (content["operations"], content["resolution"]) == ({}, None)


def test_inspect_writes_either_json_or_a_page(bench: Bench, stack_file: Path) -> None:
    result = CliRunner().invoke(command.app, ["inspect", bench.run(), "--json", "--html", *stack(stack_file)])
    assert result.exit_code == ExitCode.USAGE


class TestList:
    @pytest.fixture
    def listed(self, bench: Bench, stack_file: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
        """Runs `payments list` on a stack with four payments of a day and one of the day before."""
        monkeypatch.setattr(LedgerItems, "first_day", date(2026, 1, 1))
        times = (("a", "2026-11-23T12"), ("b", "2026-11-23T14"), ("c", "2026-11-23T13"), ("d", "2026-11-23T11"))
        for letter, hour in (*times, ("e", "2026-11-22T23")):
            status: Status = "declined" if letter == "c" else "captured"
            at = f"{hour}:00:00.000Z"
            bench.record(payment(letter * 20, status, created_at=at, updated_at=at))
        return lambda *arguments: CliRunner().invoke(command.app, ["list", *arguments, *stack(stack_file)])

    @staticmethod
    def ids(result: Result) -> str:
        """The first letters of the ids, in the order of the list."""
        assert result.exit_code == 0, result.output
        return "".join(each["payment_id"][0] for each in json.loads(result.stdout)["payments"])

    def test_shows_the_payments_of_a_day_newest_first(self, listed: Callable[..., Result]) -> None:
        output = listed("--day", "2026-11-23").stdout
        assert re.findall("([a-e])\\1{19}", output) == ["b", "c", "a", "d"]
        assert re.search("14:00:00 +│ captured +│ order-1001 +│ visa •••• 4242 +│ b+ +│ +19.99 USD", output)

    def test_in_json_has_the_same(self, listed: Callable[..., Result]) -> None:
        result = listed("--day", "2026-11-23", "--json")
        assert self.ids(result) == "bcad"
        answer = json.loads(result.stdout)
        assert (answer["day"], answer["has_more"]) == ("2026-11-23", False)
        newest = answer["payments"][0]
        assert (newest["status"], newest["amount_minor"], newest["started_at"]) == (
            *("captured", 1999),
            "2026-11-23T14:00:00.000Z",
        )

    def test_shows_only_a_status(self, listed: Callable[..., Result]) -> None:
        assert self.ids(listed("--day", "2026-11-23", "--status", "declined", "--json")) == "c"
        assert listed("--status", "lost").exit_code == ExitCode.USAGE

    def test_shows_those_with_a_reference_of_any_day(self, listed: Callable[..., Result], bench: Bench) -> None:
        at = "2026-01-31T09:00:00.000Z"
        bench.record(payment("f" * 20, created_at=at, updated_at=at, merchant_reference="order-1"))
        assert self.ids(listed("--reference", "order-1", "--json")) == "f"
        assert self.ids(listed("--reference", "order-1001", "--json")) == "bcade"
        assert self.ids(listed("--reference", "order-1001", "--day", "2026-11-22", "--json")) == "e"
        assert self.ids(listed("--reference", "order-1001", "--status", "declined", "--json")) == "c"
        assert "2026-01-31 09:00:00" in listed("--reference", "order-1").stdout
        assert listed("--reference", "order").stdout == "No payments with the reference order.\n"

    def test_shows_at_most_as_many_as_asked_for_and_says_that_there_are_more(
        self, listed: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tools.console.payments.PAGE_SIZE", 1)
        result = listed("--day", "2026-11-23", "--limit", "3", "--json")
        assert (self.ids(result), json.loads(result.stdout)["has_more"]) == ("bca", True)
        assert "Only the newest 3 payments;" in result.stderr
        everything = listed("--day", "2026-11-23", "--limit", "4", "--json")
        assert (self.ids(everything), json.loads(everything.stdout)["has_more"]) == ("bcad", False)

    def test_without_a_day_it_is_today(self, listed: Callable[..., Result], bench: Bench) -> None:
        running = bench.run(end="running")
        answer = json.loads(listed("--json").stdout)
        assert [(each["payment_id"], each["status"]) for each in answer["payments"]] == [(running, "processing")]

    def test_says_that_a_day_has_no_payments(self, listed: Callable[..., Result]) -> None:
        assert listed("--day", "2026-11-20").stdout == "No payments on 2026-11-20.\n"
        assert listed("--day", "yesterday").exit_code == ExitCode.USAGE
