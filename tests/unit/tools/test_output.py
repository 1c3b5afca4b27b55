"""The command's output at any width."""

import threading
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from rich.console import Console
from rich.progress import TextColumn
from typer.testing import CliRunner

from functions.screen.rules import RULES_FILE
from functions.shared.domain.ledger import capture_entry, in_doubt_entry
from functions.shared.ports import RecordedPayment
from tests.samples import payment
from tools import output
from tools.books.reading import BooksReader
from tools.books.statements import payment as show_payment
from tools.cli.__main__ import app
from tools.deployment.build import checked_rules
from tools.estimates import cost
from tools.output import ExitCode, counted, progress, status_line, table
from tools.trials import replay
from tools.trials.acceptance.runner import Outcome, Result
from tools.trials.acceptance.runner import show as show_acceptance
from tools.trials.events import event_files
from tools.trials.replay import with_progress
from tools.trials.rules import load_samples, try_rules
from tools.trials.rules import show as show_tried

WIDTHS = (40, 80)
RULES = checked_rules(RULES_FILE)
WIDE = ("055496e6-8bf5-4fa1-af74-c91831b0f479", "2026-11-28 14:50:44.789", "asset:gateway:sparkle", "1,234,567.89 USD")

IN_DOUBT, CAPTURE = in_doubt_entry(123456789012, "USD"), capture_entry("sparkle", 1999, "USD")
BOOKS = SimpleNamespace(
    payment=lambda _: RecordedPayment(*payment().post(IN_DOUBT, IN_DOUBT.reverse(1), CAPTURE)),
)
ACCEPTED = [Result("a group of tests", "it works", outcome, seconds=4.0) for outcome in Outcome]


def written(print_to: Callable[[Console], object], width: int) -> str:
    out = StringIO()
    print_to(Console(file=out, width=width))
    return out.getvalue()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_table_folds_what_is_too_wide_and_cuts_nothing(width: int) -> None:
    narrow = table("A table", ("payment", "time (UTC)", "account"), ("amount",))
    narrow.add_row(*WIDE)
    text = written(lambda console: console.print(narrow), width)
    cells = [[cell.strip() for cell in line.strip("│\n").split("│")] for line in text.splitlines() if "│" in line]
    assert "…" not in text
    assert all(len(line) <= width for line in text.splitlines())
    for number, content in enumerate(WIDE):
        assert "".join(row[number] for row in cells).replace(" ", "") == content.replace(" ", "")


@pytest.mark.parametrize(
    "show",
    [
        lambda console: cost.show(1000, 2, Path("/dev/null"), console),
        lambda console: show_tried(RULES, try_rules(RULES, load_samples()), console),
        lambda console: show_payment(cast(BooksReader, BOOKS), "pay-1", console),
        lambda console: show_acceptance(ACCEPTED, [], console),
    ],
    ids=["cost", "rules-test", "ledger payment", "acceptance"],
)
def test_what_a_command_shows_is_not_cut_at_80_columns(show: Callable[[Console], object]) -> None:
    assert "…" not in written(show, 80)


@pytest.mark.parametrize(
    ("show", "whole"),
    [
        (lambda console: show_payment(cast(BooksReader, BOOKS), "pay-1", console), "1,234,567,890.12"),
        (lambda console: show_acceptance(ACCEPTED, [], console), "12.0"),
    ],
    ids=["T-accounts", "acceptance"],
)
def test_in_a_narrow_terminal_a_table_folds(show: Callable[[Console], object], whole: str) -> None:
    text = written(show, 40)
    assert "…" not in text
    assert whole in text
    assert all(len(line) <= 40 for line in text.splitlines())


def test_in_progress_only_the_description_gives_way() -> None:
    out = StringIO()
    console = Console(file=out, width=40, force_terminal=True, color_system=None)
    with progress(console, TextColumn("{task.completed}/{task.total}"), transient=False) as bar:
        bar.add_task("a description that is far too long for so narrow a terminal", total=36_000, completed=35_999)
    assert "35999/36000 a description" in out.getvalue()


@pytest.mark.parametrize(("seconds", "lines"), [(0.0, ["  1 of 2  first [x]", "  2 of 2  second"]), (3600.0, [])])
def test_in_a_pipe_progress_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, seconds: float, lines: list[str]
) -> None:
    monkeypatch.setattr(output, "PROGRESS_SECONDS", seconds)

    def go_on(console: Console) -> None:
        with progress(console) as bar:
            task = bar.add_task("", total=2)
            bar.update(task, advance=1, description="first [x]")
            bar.update(task, advance=1, description="second")

    assert [line for line in written(go_on, 80).splitlines() if line] == lines


def test_in_a_pipe_a_status_line_is_repeated_when_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "PROGRESS_SECONDS", 0.0)

    def go_on(console: Console) -> None:
        with status_line(console, "Reading") as outer, status_line(console, "inside") as inner:
            outer("Reading on")
            inner("further inside")

    assert written(go_on, 80).split("\n")[:2] == ["  Reading on", "  further inside"]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 entries"), (1, "1 entry"), (2, "2 entries"), (12345, "12,345 entries")]
)
def test_one_of_something_is_no_plural(count: int, text: str) -> None:
    assert counted(count, "entry", "entries") == text


def test_ctrl_c_keeps_the_results_that_there_are_and_begins_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    under_way, goes_on, started = threading.Event(), threading.Event(), list[int]()

    def do(item: int) -> int:
        started.append(item)
        if item == 2:
            under_way.set()
            goes_on.wait(10)
        return item * 10

    def interrupted(futures: object) -> None:
        under_way.wait(10)
        threading.Timer(0.1, goes_on.set).start()
        raise KeyboardInterrupt

    monkeypatch.setattr(replay, "wait", interrupted)
    results = with_progress([1, 2, 3, 4], do, str, concurrency=1, console=Console(file=StringIO()))
    assert (list(results), results.interrupted, started) == ([10, 20], True, [1, 2])


def test_an_event_goes_by_the_name_that_the_table_shows_it_by() -> None:
    assert [file.name for file in event_files([Path("approved_visa")])] == ["approved_visa.json"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["replay", "aproved_visa"], "Did you mean approved_visa"),
        (["invoke", "chrage"], "Did you mean charge?"),
        (["audit", "--stack", "none.json"], "There is no none.json"),
        (["plan", "nowhere"], "There is no environment 'nowhere'"),
    ],
)
def test_an_error_is_on_standard_error_alone(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert message in result.stderr
    assert (result.exit_code, result.stdout) == (ExitCode.FAILED, "")


@pytest.mark.parametrize("port", ["99999", "-1", "http"])
@pytest.mark.parametrize("command", ["console", "checkout"])
def test_what_is_no_port_is_refused_before_anything_listens(command: str, port: str) -> None:
    result = CliRunner().invoke(app, [command], env={"CONSOLE_PORT": port, "CHECKOUT_PORT": port})
    assert result.exit_code == ExitCode.USAGE
    assert "PORT" in result.stderr
