"""One payment in the terminal: its way through the states, and what the ledger holds of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from cli.stack import Stack, StackError
from functions.shared.adapters.dynamodb import DynamoDbLedger
from functions.shared.ports import RecordedPayment


@dataclass(slots=True)
class Visit:
    """One pass through a state; `failures` are the errors of its attempts, in order."""

    state: str
    entered_at: datetime
    exited_at: datetime | None = None
    failures: list[str] = field(default_factory=list)


def inspect(stack: Stack, payment_id: str, console: Console) -> None:
    """Print the payment's states and its ledger entries. Raises StackError if the stack does not know it."""
    states = stack.client("stepfunctions")
    arn = stack.execution_arn(payment_id)
    try:
        execution = states.describe_execution(executionArn=arn)
    except states.exceptions.ExecutionDoesNotExist:
        raise StackError(f"This stack has no execution for a payment {payment_id}.") from None
    pages = states.get_paginator("get_execution_history").paginate(executionArn=arn)
    ended = execution["status"] + "".join(f" · {execution[name]}" for name in ("error", "cause") if execution.get(name))
    console.print(f"[bold]{payment_id}[/bold]  {ended}\n{arn}\n", highlight=False)
    console.print(_states_table(visits(event for page in pages for event in page["events"])))
    recorded = DynamoDbLedger(stack.client("dynamodb"), stack.ledger_table).find(payment_id)
    console.print(_ledger_table(recorded) if recorded else "The ledger holds nothing of this payment.")


def visits(events: Iterator[dict[str, Any]]) -> list[Visit]:
    """The states that an execution's history passed through, in order."""
    found: list[Visit] = []
    for event in events:
        if event["type"].endswith("StateEntered"):
            found.append(Visit(event["stateEnteredEventDetails"]["name"], event["timestamp"]))
        elif event["type"].endswith("StateExited"):
            found[-1].exited_at = event["timestamp"]
        elif event["type"] in ("TaskFailed", "TaskTimedOut", "LambdaFunctionFailed", "LambdaFunctionTimedOut"):
            details = next(value for name, value in event.items() if name.endswith("EventDetails"))
            found[-1].failures.append(details.get("error", "States.Timeout"))
    return found


def _states_table(way: list[Visit]) -> Table:
    table = Table("state", "entered", "took", "errors on the way", title="States", title_justify="left")
    for visit in way:
        took = f"{(visit.exited_at - visit.entered_at).total_seconds():.3f} s" if visit.exited_at else "–"
        table.add_row(visit.state, f"{visit.entered_at:%H:%M:%S.%f}"[:-3], took, "\n".join(visit.failures))
    return table


def _ledger_table(recorded: RecordedPayment) -> Table:
    payment = recorded.payment
    card = f", card {payment.card.brand} …{payment.card.last4}" if payment.card else ""
    title = f"Ledger: {payment.status}, version {payment.version}{card}"
    table = Table("entry", "account", "debit", "credit", "currency", title=title, title_justify="left")
    for number, entry in enumerate(recorded.journal, start=1):
        for posting in entry.postings:
            sides = {posting.direction: str(posting.amount_minor)}
            table.add_row(
                f"{number} {entry.kind}", posting.account, sides.get("debit"), sides.get("credit"), posting.currency
            )
    return table
