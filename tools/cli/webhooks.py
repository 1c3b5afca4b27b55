"""Commands for a deployment's events: listen, redeliver."""

from typing import Annotated

import typer
from rich.markup import escape

from functions.shared.domain.shapes import canonical_id
from tools.books.money import money
from tools.books.redelivery import publish_again, redeliver_dead_letters
from tools.cli.frame import JsonOption, StackOption, clear_errors, console, errors, steps
from tools.deployment.paths import STACK_FILE
from tools.deployment.stack import Stack
from tools.output import counted
from tools.times import time_text
from tools.trials.listening import ReceivedEvent, forward, listen

app = typer.Typer()

# A payment's status by its colour, as in the console.
_COLOURS = {"captured": "green", "authorized": "green", "settled": "green", "in_doubt": "red", "break": "red"}


@app.command(name="listen")
def listen_to_events(
    forward_to: Annotated[
        str | None, typer.Option(metavar="URL", help="Post each event to this URL, too, signed as it was received.")
    ] = None,
    as_json: JsonOption = False,
    stack: StackOption = STACK_FILE,
) -> None:
    """Show the events of a local stack as they happen, each verified, until Ctrl-C."""
    with clear_errors():
        target = Stack.load(stack)
        received = listen(target)
        if not as_json:
            errors.print("Listening for events (Ctrl-C stops it)", highlight=False)
        for event in received:
            status = forward(event, forward_to) if forward_to else None
            if as_json:
                typer.echo(event.body)
            else:
                console.print(_line(event) + _forwarded(forward_to, status), highlight=False, soft_wrap=True)


def _line(event: ReceivedEvent) -> str:
    body = event.cloud_event
    family, _, kind = body["type"].partition(".")
    payment = body["data"].get("payment") or {}
    amount = f"  {money(payment['amount_minor'], payment['currency'])}" if payment.get("amount_minor") else ""
    colour, at = _COLOURS.get(kind, "yellow"), time_text(body["time"])
    return (
        f"[dim]{at}[/dim]  {family}.[{colour}]{escape(kind):20}[/{colour}] {escape(body['subject'])}"
        f"  [dim]{escape(body['sequence'].lstrip('0'))}[/dim]{escape(amount)}"
    )


def _forwarded(url: str | None, status: int | None) -> str:
    if url is None:
        return ""
    return f"  → {status}" if status else "  → no answer"


@app.command()
def redeliver(
    webhook: Annotated[str | None, typer.Argument(help="The webhook whose dead letters are sent again.")] = None,
    payment: Annotated[
        str | None, typer.Option(metavar="ID", help="Publish all events of this payment again instead, to everybody.")
    ] = None,
    stack: StackOption = STACK_FILE,
) -> None:
    """Send a webhook's dead letters again, or all events of a payment."""
    if (webhook is None) == (payment is None):
        raise typer.BadParameter("Name either a webhook or, with --payment, a payment.")
    with clear_errors():
        target = Stack.load(stack)
        if payment:
            count = publish_again(target, canonical_id(payment))
            console.print(f"Published {counted(count, 'event')} of {payment} again.", highlight=False)
            return
        assert webhook
        with steps(f"Sending the dead letters of {webhook} again") as (_, progress):
            count = redeliver_dead_letters(target, webhook, lambda moved: progress(f"{counted(moved, 'event')} sent"))
        console.print(f"Sent {counted(count, 'event')} to {webhook} again.", highlight=False)
