"""Reconcile a day by hand, and show the breaks."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import SpinnerColumn

from functions.shared.adapters.table.books import DynamoDbBreaks
from functions.shared.domain.times import now
from tools.books.money import readable
from tools.deployment.polling import has_ended, wait_for
from tools.deployment.stack import Stack, StackError, new_payment_id
from tools.output import counted, print_json, progress, table
from tools.times import time_text

_POLL_SECONDS = 0.5

_PROGRESS_TEXTS = {
    "report": "Reading the gateway's report",
    "gateway": "Looking for the report's lines in the ledger",
    "ledger": "Looking for the ledger's entries in the report",
    "executions": "Looking for the executions in the ledger",
    "open": "Looking at what the gateway may have ended by itself",
    "close": "Closing the day",
}
_ADVICE = {
    "ReportUnreadable": "The report was rejected and the books are unchanged. Ask the gateway to correct the report, "
    "then run this again.",
    "NotReconciled": "Find out what did not answer, then run this again. Repeating it has no second effect.",
}
_DEFAULT_ADVICE = "See the execution's history. Running this again is safe: repeating it has no second effect."


def reconcile(stack: Stack, day: str, console: Console, *, as_json: bool = False) -> bool:
    """Run a day's reconciliation to its end, and print its breaks. Returns whether there are none. Raises StackError if
    the run fails."""
    states = stack.client("stepfunctions")
    execution_arn = states.start_execution(
        stateMachineArn=stack.live_arn("reconcile"),
        name=f"{day}-by-hand-{new_payment_id()}",
        input=json.dumps({"day": day, "cursor": None}),
    )["executionArn"]
    with progress(console, SpinnerColumn()) as bar:
        task = bar.add_task(_PROGRESS_TEXTS["report"], total=None)

        def read() -> dict[str, Any]:
            history = states.get_execution_history(executionArn=execution_arn, reverseOrder=True, maxResults=10)
            bar.update(task, description=progress_text(history["events"]))
            return stack.describe_execution(execution_arn)

        execution = wait_for(read, math.inf, _POLL_SECONDS, until=has_ended)
    if execution["status"] != "SUCCEEDED":
        error = execution.get("error", execution["status"])
        advice = _ADVICE.get(error, _DEFAULT_ADVICE)
        raise StackError(f"{error}: {_reason(execution.get('cause', ''))}\n{advice}\n{execution_arn}")
    breaks = DynamoDbBreaks(stack.client("dynamodb"), stack.ledger_table).open(day)
    if as_json:
        print_json({"day": day, "breaks": [asdict(found) | {"since": since} for found, since in breaks.items()]})
        return not breaks
    if breaks:
        columns = ("type", "payment", "item", "expected", "found", "since (UTC)")
        grid = table(f"What does not agree about {day}", columns)
        for found, since in sorted(breaks.items(), key=lambda each: each[1]):
            texts = (found.payment_id, found.item, readable(found.expected), readable(found.found))
            grid.add_row(found.type, *map(escape, texts), time_text(since))
        console.print(grid)
        summary = (
            f"[red]{counted(len(breaks), 'break')} on {day}.[/red] What to do: docs/runbook.md, reconciliation-breaks."
        )
        console.print(summary, highlight=False)
    else:
        console.print(f"[green]{day} agrees:[/green] the gateway, the ledger and the executions.", highlight=False)
    if day == now()[:10]:
        console.print("The day is not over, so it was compared but neither settled nor closed.")
    return not breaks


def progress_text(events: Iterable[Mapping[str, Any]]) -> str:
    """Which side is being compared, by the last step that has begun; history events come newest first."""
    for event in events:
        cursor = json.loads(event.get("stateExitedEventDetails", {}).get("output", "{}")).get("cursor")
        if cursor:
            return _PROGRESS_TEXTS[cursor["side"]]
    return _PROGRESS_TEXTS["report"]


def _reason(cause: str) -> str:
    """The function's own message, if the cause is Lambda's JSON of an error."""
    try:
        return str(json.loads(cause)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return cause
