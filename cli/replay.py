"""Replay sample events, and past executions, against a running stack."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import requests
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.events import ApiEvent
from cli.stack import Stack, StackError, new_payment_id

FOLLOW_TIMEOUT_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of an event."""

    event: ApiEvent
    payment_id: str | None
    http_status: int
    body: dict[str, Any]
    seconds: float

    @property
    def as_expected(self) -> bool:
        wanted = self.event.payment or self.event.error
        shown = self.body.get("error", {}) if self.event.error else self.body
        return self.http_status == self.event.http_status and all(
            _holds(shown.get(name), value) for name, value in wanted.items()
        )

    @property
    def happened(self) -> str:
        if "status" in self.body:
            reason = self.body.get("decline_code") or self.body.get("error")
            return f"{self.http_status} {self.body['status']}" + (f" · {reason}" if reason else "")
        return f"{self.http_status} refused · {self.body.get('error', {}).get('code', 'no code')}"


def _holds(shown: Any, wanted: Any) -> bool:
    """Objects are compared by the fields that are wanted, messages by containing the wanted text."""
    if isinstance(wanted, dict):
        return isinstance(shown, dict) and all(_holds(shown.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, str) and isinstance(shown, str) and wanted.endswith("."):
        return wanted in shown
    return bool(shown == wanted)


def replay(stack: Stack, event: ApiEvent) -> Replayed:
    """Send the event under a new idempotency key, and follow its payment to the end."""
    payment_id = new_payment_id()
    if event.fault:
        set_fault(stack, event.fault | {"reference": payment_id})
    started = time.perf_counter()
    answer = stack.call(event.method, event.path, event.body, {"Idempotency-Key": payment_id})
    body = _json(answer)
    if answer.status_code == 202:
        body = stack.follow(payment_id, timeout_seconds=FOLLOW_TIMEOUT_SECONDS)
    seconds = time.perf_counter() - started
    return Replayed(event, payment_id if answer.status_code == 202 else None, answer.status_code, body, seconds)


def replay_execution(stack: Stack, execution_arn: str) -> dict[str, Any]:
    """Start a past execution's input anew under a new id, and follow the payment to its end.

    A card that was sealed for the old payment does not open for the new one: that payment will be rejected.
    """
    states = stack.client("stepfunctions")
    try:
        past = states.describe_execution(executionArn=execution_arn)
    except (states.exceptions.ExecutionDoesNotExist, states.exceptions.InvalidArn):
        raise StackError(f"This stack has no execution {execution_arn}") from None
    payment_id = new_payment_id()
    states.start_execution(stateMachineArn=past["stateMachineArn"], name=payment_id, input=past["input"])
    return stack.follow(payment_id, timeout_seconds=FOLLOW_TIMEOUT_SECONDS)


def replay_all(stack: Stack, events: Iterable[ApiEvent], console: Console) -> bool:
    """Replay the events one after the other, showing progress, and print a table; whether all went as expected."""
    table = Table(title="Sample events", title_justify="left")
    for column in ("event", "expected", "happened", "took", "payment"):
        table.add_column(column, justify="right" if column == "took" else "left", overflow="fold")
    unexpected = 0
    for replayed in _with_progress(stack, list(events), console):
        unexpected += not replayed.as_expected
        mark = "[green]✓[/green] " if replayed.as_expected else "[red]✗[/red] "
        table.add_row(
            replayed.event.name,
            replayed.event.expected,
            mark + replayed.happened,
            f"{replayed.seconds:.2f} s",
            replayed.payment_id or "–",
        )
    console.print(table)
    if unexpected:
        console.print(f"[red]{unexpected} of {table.row_count} events did not go as expected.[/red]")
    return not unexpected


def _with_progress(stack: Stack, events: list[ApiEvent], console: Console) -> Iterator[Replayed]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(events))
        for event in events:
            progress.update(task, description=f"{event.name}: {event.description}")
            if event.fault and not stack.sparkle_url:
                console.print(f"{event.name} is left out: it needs the Sparkle sandbox, and this stack has none.")
            else:
                yield replay(stack, event)
            progress.advance(task)


def set_fault(stack: Stack, fault: dict[str, Any]) -> None:
    """Arm a fault at the sandbox. Raises StackError."""
    answer = requests.post(f"{stack.sparkle_url}/sandbox/faults", json=fault, timeout=10)
    if not answer.ok:
        raise StackError(f"The sandbox refused the fault {json.dumps(fault)}: {answer.text}")


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        body = None
    return body if isinstance(body, dict) else {"error": {"code": "not JSON"}}
