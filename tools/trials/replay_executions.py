"""Replays the inputs of past executions of the payment state machine, under new ids and with test cards.

A sealed card can be opened only with its stack's key and for its own payment, and a token is valid only in its own
stack. A published test card replaces either. Of the other fields, only those known to hold no card data are copied, and
none about the customer's authentication: no customer is there to be asked.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice, takewhile
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from functions.shared.contracts import is_test_card
from tools.deployment.polling import has_ended, wait_for
from tools.deployment.stack import Stack, StackError, new_payment_id
from tools.output import counted, table
from tools.times import time_text
from tools.trials.replay import FOLLOW_TIMEOUT_SECONDS, Results, with_progress

DEFAULT_CARD = "4242424242424242"
DEFAULT_LIMIT = 20

_COPIED_FIELDS = (
    *("operation", "amount_minor", "currency", "capture", "save_card"),
    *("merchant_reference", "description", "metadata"),
)


class FinalStatus(StrEnum):
    """The final statuses of an execution, as Step Functions names them."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    ABORTED = "ABORTED"


@dataclass(frozen=True, slots=True)
class ReplayedExecution:
    """A past execution and its replay, both in the form of DescribeExecution.

    `card` tells which card was sent. `replay` is None if the past input was not a payment; then nothing was started.
    """

    past: dict[str, Any]
    card: str
    replay: dict[str, Any] | None

    @property
    def has_ended(self) -> bool:
        return self.replay is not None and has_ended(self.replay)


def executions_by_name(stack: Stack, names: Sequence[str]) -> list[dict[str, Any]]:
    """Fetch the stack's payment executions with these ARNs or payment ids. Raises StackError if one does not exist."""
    states = stack.client("stepfunctions")
    return [_describe(states, _arn(stack, name)) for name in names]


def latest_executions(
    stack: Stack, status: FinalStatus | None, since: datetime | None, until: datetime | None, limit: int
) -> list[dict[str, Any]]:
    """Fetch the latest payment executions with this final status and start time, at most `limit`, oldest first."""
    states = stack.client("stepfunctions")
    filters = {"statusFilter": status.value} if status else {}
    pages = states.get_paginator("list_executions").paginate(stateMachineArn=stack.state_machine_arn, **filters)
    newest_first = (execution for page in pages for execution in page["executions"])
    # Ended executions are listed in the order in which they ended.
    recent = takewhile(lambda each: since is None or _latest(each) >= since, newest_first)
    matching = (
        execution["executionArn"]
        for execution in recent
        if execution["status"] != "RUNNING"
        and (since is None or execution["startDate"] >= since)
        and (until is None or execution["startDate"] <= until)
    )
    return [_describe(states, arn) for arn in reversed(list(islice(matching, limit)))]


def replay_executions(
    stack: Stack, past: Sequence[dict[str, Any]], console: Console, *, card_number: str, concurrency: int = 1
) -> Results[ReplayedExecution]:
    """Start new executions with the inputs of past ones, follow them to the end, and print a table of both.

    Raises StackError if the card number is not that of a published test card.
    """
    if not is_test_card(card_number):
        raise StackError("This is not a published test card. See functions/shared/contracts/test_cards.json.")
    replays = with_progress(
        past,
        lambda execution: _replay(stack, execution, card_number),
        lambda execution: str(execution["name"]),
        concurrency=concurrency,
        console=console,
    )
    console.print(_table(replays) if replays else "No execution matches.")
    if replays.interrupted:
        console.print(f"[yellow]Interrupted:[/yellow] these are {len(replays)} of {counted(len(past), 'execution')}.")
    if unfinished := sum(not replayed.has_ended for replayed in replays):
        console.print(f"[red]{unfinished} of {len(replays)} did not finish.[/red]")
    return replays


def with_test_card(request: dict[str, Any], card_number: str) -> tuple[dict[str, Any], str]:
    """Replace any other card in an execution's input by a test card; also return a description of the card now sent."""
    copied = {name: request[name] for name in _COPIED_FIELDS if name in request}
    match request:
        case {"token": _}:
            replaced = "a token"
        case {"card_data": str()}:
            replaced = "a sealed one"
        case {"card_data": {"card_number": str(number)} as card} if is_test_card(number):
            return copied | {"card_data": card}, f"…{number[-4:]}, as it was"
        case {"card_data": _}:
            replaced = "another one"
        case _:
            return copied, "none, as it was"
    expiry = datetime.now(UTC) + timedelta(days=365)
    test_card = {"card_number": card_number, "expiry_date": f"{expiry:%m/%y}", "card_holder": "John Doe"}
    return copied | {"card_data": test_card}, f"…{card_number[-4:]} for {replaced}"


def outcome_text(execution: dict[str, Any]) -> str:
    """Describe an execution's end: `SUCCEEDED · captured`, `FAILED · PaymentRejected · ExpiredCard`."""
    output = json.loads(execution.get("output") or "{}")
    words = [execution["status"], output.get("status"), output.get("decline_code")]
    # Show only error names. Causes from Step Functions may quote the input, and those from operators may be any text.
    words += [
        name for name in (execution.get("error"), execution.get("cause")) if re.fullmatch("[A-Za-z.]+", name or "")
    ]
    return " · ".join(filter(None, words))


def _arn(stack: Stack, name: str) -> str:
    """Convert the name or ARN of a payment execution of this stack to its ARN."""
    arn = name if name.startswith("arn:") else stack.execution_arn(name)
    if re.search(":execution:[^:]*-operation:", arn):
        raise StackError(
            f"{name} is the execution of a refund, a capture or a void. Only payments can be replayed: an operation is "
            "about one payment, which has gone on since. Among the events in events/api are operations of every kind."
        )
    if not arn.startswith(stack.execution_arn("")):
        raise StackError(
            f"{name} is no execution of {stack.state_machine_arn}. Name the stack that it is of: --from-stack, or FROM="
        )
    return arn


def _latest(execution: dict[str, Any]) -> datetime:
    """The time at which the execution ended, or started if it is still running."""
    latest: datetime = execution.get("stopDate") or execution["startDate"]
    return latest


def _describe(states: Any, arn: str) -> dict[str, Any]:
    try:
        execution: dict[str, Any] = states.describe_execution(executionArn=arn)
    except (states.exceptions.ExecutionDoesNotExist, states.exceptions.InvalidArn):
        raise StackError(f"There is no execution {arn}.") from None
    return execution


def _replay(stack: Stack, past: dict[str, Any], card_number: str) -> ReplayedExecution:
    request = json.loads(past["input"])
    if not isinstance(request, dict):
        return ReplayedExecution(past, "–", None)
    request, card = with_test_card(request, card_number)
    started = stack.client("stepfunctions").start_execution(
        stateMachineArn=stack.live_arn("payment"), name=new_payment_id(), input=json.dumps(request)
    )
    arn = started["executionArn"]
    replay = wait_for(lambda: stack.describe_execution(arn), FOLLOW_TIMEOUT_SECONDS, pause_seconds=1.0, until=has_ended)
    return ReplayedExecution(past, card, replay)


def _table(replays: Sequence[ReplayedExecution]) -> Table:
    grid = table("Past executions", ("execution, and payment now", "ended then", "card now", "ended now"))
    grid.columns[0].no_wrap = True  # a wrapped id can be neither searched for nor copied
    for replayed in replays:
        past_outcome = outcome_text(replayed.past)
        replay_outcome = outcome_text(replayed.replay) if replayed.replay else "not replayed: its input is no payment's"
        grid.add_row(
            f"{replayed.past['name']}\n{time_text(replayed.past['startDate'])} UTC\n"
            + (replayed.replay["name"] if replayed.replay else "–"),
            escape(past_outcome),
            replayed.card,
            ("= " if past_outcome == replay_outcome else "[yellow]≠[/yellow] ") + escape(replay_outcome),
        )
    return grid
