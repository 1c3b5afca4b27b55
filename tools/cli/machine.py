"""The local stack: up, down, demo."""

import typer

from tools.cli.frame import clear_errors, console, steps
from tools.deployment.paths import ROOT, STACK_FILE
from tools.deployment.stack import Stack, api_curlrc, new_payment_id, sandbox_curlrc
from tools.local.machine import Machine
from tools.output import exit_unless
from tools.trials.events import load_api_events
from tools.trials.replay import replay_all

app = typer.Typer()


@app.command()
def up() -> None:
    """Start the local stack and deploy to it. Safe to repeat.

    The variable GATEWAY names the gateways, and EMULATOR_PORT and SPARKLE_PORT choose ports.
    """
    with clear_errors(needs_checkout=True):
        _start()
        _print_next_steps(Stack.load(STACK_FILE))


@app.command()
def down() -> None:
    """Stop everything that `up` started."""
    with clear_errors(needs_checkout=True):
        stopped = Machine.from_environment().down()
    console.print(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running.")


@app.command()
def demo() -> None:
    """Start the stack, replay every sample event, and show the results."""
    with clear_errors(needs_checkout=True):
        stack = _start()
        replays = replay_all(stack, load_api_events([]), console, concurrency=16)
        _print_next_steps(stack)
    if replays.interrupted:
        raise KeyboardInterrupt
    exit_unless(all(replayed.as_expected for replayed in replays))


def _start() -> Stack:
    with steps("Starting") as (say, progress):
        return Machine.from_environment().up(say, progress)


def _print_next_steps(stack: Stack) -> None:
    """Print commands to paste, unwrapped so that the terminal's width doesn't break them."""
    payment_id = new_payment_id()
    curl, sandbox_curl = (
        f"curl --config {file.relative_to(ROOT)}" for file in (api_curlrc(STACK_FILE), sandbox_curlrc(STACK_FILE))
    )
    body = (
        '{"amount_minor": 1999, "currency": "USD", "card_data": '
        '{"card_number": "4242424242424242", "expiry_date": "12/30", "card_holder": "John Doe"}}'
    )
    headers = f"-H 'Content-Type: application/json' -H 'Idempotency-Key: {payment_id}'"
    for line in (
        "",
        "The stack is up. Make a payment, then read it:",
        f"  {curl} {headers} -d '{body}' {stack.api_url}/payments",
        f"  {curl} {stack.api_url}/payments/{payment_id}",
        "Show its states and its ledger entries:",
        f"  make inspect PAYMENT={payment_id}",
        "Watch all payments in the browser:",
        "  make console",
        "Pay in the browser, at an example shop's checkout:",
        "  make checkout",
        "See the gateway's charges:",
        *(f"  {sandbox_curl} {sandbox.url}/sandbox/charges" for sandbox in stack.sandboxes.values()),
        "Stop everything:",
        "  make down",
    ):
        typer.echo(line)
