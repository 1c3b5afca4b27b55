from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.samples import payment
from tests.unit.tools.console.conftest import Bench
from tools.cli import __main__ as command
from tools.output import ExitCode


@pytest.fixture
def stack_file(bench: Bench, tmp_path: Path) -> Path:
    bench.stack.save(tmp_path / "stack.json")
    return tmp_path / "stack.json"


def test_inspect_shows_a_payment_in_the_terminal(bench: Bench, stack_file: Path) -> None:
    payment_id = bench.run()
    bench.record(payment(payment_id))
    shown = CliRunner().invoke(command.app, ["inspect", payment_id, "--stack", str(stack_file)])
    assert shown.exit_code == 0
    assert all(word in shown.output for word in (payment_id, "captured", "HowToEnd", "Nothing was posted."))


@pytest.mark.parametrize("named", [True, False])
def test_inspect_writes_a_page_and_says_where(
    bench: Bench, stack_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    monkeypatch.setattr("tools.cli.looks.BUILD", tmp_path / "build")
    payment_id = bench.run()
    file = tmp_path / "page.html" if named else tmp_path / "build" / f"inspect-{payment_id}.html"
    where = [str(file)] if named else []
    shown = CliRunner().invoke(command.app, ["inspect", payment_id, "--html", *where, "--stack", str(stack_file)])
    assert shown.output == f"Wrote {file}\n"
    assert payment_id in file.read_text()


def test_inspect_says_that_there_is_no_such_payment(stack_file: Path) -> None:
    shown = CliRunner().invoke(command.app, ["inspect", "pay-unknown", "--stack", str(stack_file)])
    assert shown.exit_code == ExitCode.FAILED
    assert "no payment and no execution pay-unknown" in shown.output
