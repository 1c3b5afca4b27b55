"""The output of a reconciliation by hand. test_reconcile_day.py and tests/stack test what a run finds."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from functions.shared.adapters.table.books import DynamoDbBreaks
from functions.shared.domain.settlement import Break
from tests.mocked_aws import ROLE_ARN, TABLE
from tests.unit.tools.books.conftest import KnownBooks, Run, days_ago
from tools.books.reconciliation import progress_text
from tools.deployment.stack import Stack
from tools.output import ExitCode

Payments = Callable[..., Run]
Ends = Callable[[dict[str, str]], None]

AGREES = {"Type": "Succeed"}


@pytest.fixture
def ends(books: KnownBooks, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ends]:
    """Deploys a state machine that ends at once, in this state."""
    states, arns = books.aws.stepfunctions, list[str]()
    monkeypatch.setattr(Stack, "live_arn", Stack.machine_arn)  # moto has aliases, but can't start executions by them

    def deploy(state: dict[str, str]) -> None:
        definition = json.dumps({"StartAt": "End", "States": {"End": state}})
        machine = states.create_state_machine(name="payments-test-reconcile", definition=definition, roleArn=ROLE_ARN)
        arns.append(machine["stateMachineArn"])

    yield deploy
    for arn in arns:
        states.delete_state_machine(stateMachineArn=arn)


def text(run: Run) -> str:
    return " ".join(run.output.split())


def test_a_day_without_breaks_says_so_without_a_table(payments: Payments, ends: Ends, books: KnownBooks) -> None:
    ends(AGREES)
    run = payments("reconcile", books.first)
    assert (run.status, text(run)) == (0, f"{books.first} agrees: the gateway, the ledger and the executions.")


def test_without_a_day_it_is_yesterday(payments: Payments, ends: Ends, books: KnownBooks) -> None:
    ends(AGREES)
    assert f"{days_ago(1)} agrees" in payments("reconcile").output
    (execution,) = (
        each
        for machine in books.aws.stepfunctions.list_state_machines()["stateMachines"]
        for each in books.aws.stepfunctions.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]
        if each["name"].startswith(days_ago(1))
    )
    described = books.aws.stepfunctions.describe_execution(executionArn=execution["executionArn"])
    assert json.loads(described["input"]) == {"day": days_ago(1), "cursor": None}


def test_it_says_that_a_day_is_not_over(payments: Payments, ends: Ends) -> None:
    ends(AGREES)
    run = payments("reconcile", days_ago(0))
    assert run.status == 0
    assert "The day is not over, so it was compared but neither settled nor closed." in run.output


def test_breaks_are_shown_with_their_age_and_fail(payments: Payments, ends: Ends, books: KnownBooks) -> None:
    ends(AGREES)
    breaks, day = DynamoDbBreaks(books.aws.dynamodb, TABLE), books.second
    differs = Break(day, "amount_differs", "pay-usd", "ch_1", "1999 USD, as in the ledger", "charge [ch_1] of 5 JPY")
    resolved = replace(differs, item="ch_2")
    for each in (differs, resolved):
        breaks.record(each, "run-1", f"{books.third}T02:00:00.000Z")
    breaks.record(differs, "run-2", f"{books.third}T09:00:00.000Z")
    breaks.resolve_not_found(day, "run-2", f"{books.third}T09:00:01.000Z")
    run = payments("reconcile", day)
    assert run.status == 1
    (row,) = (line for line in run.output.splitlines() if line.startswith("│"))
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "amount_differs",
        "pay-usd",
        "ch_1",
        "19.99 USD, as in the ledger",
        "charge [ch_1] of 5 JPY",
        f"{books.third} 02:00:00.000",
    ]
    assert f"1 break on {day}." in run.output


@pytest.mark.parametrize(
    ("error", "cause", "message", "what_to_do"),
    [
        (
            "ReportUnreadable",
            '{"errorMessage": "[cut] off", "errorType": "SettlementUnreadable"}',
            "[cut] off",
            "The report was rejected and the books are unchanged.",
        ),
        ("NotReconciled", "No answer.", "No answer.", "Find out what did not answer, then run this again"),
        ("Other", "{}", "{}", "See the execution's history."),
    ],
)
def test_a_run_that_fails_says_why_and_what_to_do(
    payments: Payments, ends: Ends, books: KnownBooks, error: str, cause: str, message: str, what_to_do: str
) -> None:
    ends({"Type": "Fail", "Error": error, "Cause": cause})
    run = payments("reconcile", books.first)
    assert (run.status, run.stdout) == (ExitCode.FAILED, "")
    assert f"StackError: {error}: {message}\n" in run.output
    assert what_to_do in text(run)
    assert f"execution:payments-test-reconcile:{books.first}-by-hand-" in run.output


@pytest.mark.parametrize(
    ("day", "why"), [("2026-13-01", "is not a day"), ("today", "is not a day"), ("9999-01-01", "has not begun")]
)
def test_an_invalid_or_future_day_is_an_error(payments: Payments, day: str, why: str) -> None:
    run = payments("reconcile", day)
    assert run.status == ExitCode.FAILED
    assert why in run.output


def test_progress_names_the_side_being_compared() -> None:
    def exited(cursor: dict[str, Any] | None) -> dict[str, Any]:
        return {"stateExitedEventDetails": {"output": json.dumps({"day": "2026-11-23", "cursor": cursor})}}

    assert progress_text([]) == "Reading the gateway's report"
    newest_first = [{"type": "TaskScheduled"}, exited({"side": "ledger", "page": "16"}), exited({"side": "gateway"})]
    assert progress_text(newest_first) == "Looking for the ledger's entries in the report"
    assert progress_text([exited(None), exited({"side": "close"})]) == "Closing the day"
