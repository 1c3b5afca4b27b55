"""Commands that show payments and what happened to them."""

import logging
import threading
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer
from werkzeug.serving import make_server

from client.models import PaymentStatus
from examples.checkout.app import create_app as create_checkout
from functions.shared.contracts import load
from functions.shared.domain.shapes import canonical_id
from tools.cli.frame import JsonOption, StackOption, clear_errors, console, prose_console
from tools.console import app as web
from tools.console import pages, terminal
from tools.console.payments import PAGE_SIZE, Payments, Search
from tools.deployment.paths import BUILD, STACK_FILE
from tools.deployment.stack import Stack, StackError
from tools.output import counted, print_json
from tools.times import parsed_day
from tools.trials.listening import forward, listen

app = typer.Typer()


def _iso_day(text: str) -> date:
    try:
        return parsed_day(text)
    except ValueError:
        raise typer.BadParameter(f"{text} is not a day. Write it like 2026-11-23.") from None


@app.command(name="list")
def list_payments(
    day: Annotated[
        date | None,
        typer.Option(
            parser=_iso_day,
            metavar="DAY",
            help="A day (UTC) like 2026-11-23. Default: today or, with --reference, any day.",
        ),
    ] = None,
    reference: Annotated[str | None, typer.Option(help="Only payments with this merchant reference.")] = None,
    status: Annotated[PaymentStatus | None, typer.Option(help="Only payments with this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most this many payments, the newest.")] = PAGE_SIZE,
    as_json: JsonOption = False,
    stack: StackOption = STACK_FILE,
) -> None:
    """List the payments of a day, or those with a merchant reference, newest first."""
    day = day or (None if reference else datetime.now(UTC).date())
    with clear_errors():
        search = Search(status=status or "", reference=reference or "", first=day, last=day)
        found = Payments(Stack.load(stack)).newest(search, limit + 1)  # one more tells whether there are more
    listed = found[:limit]
    if as_json:
        print_json({"day": day and str(day), "payments": listed, "has_more": len(found) > limit})
    else:
        terminal.show_list(day, reference, listed, console)
    if len(found) > limit:
        payments_text = counted(limit, "payment")
        prose_console(as_json).print(f"Only the newest {payments_text}; --limit shows more.", highlight=False)


@app.command()
def inspect(
    payment_id: Annotated[str, typer.Argument(help="The payment's id, or the ARN of any execution.")],
    file: Annotated[Path | None, typer.Argument(help="The file to write the page to.")] = None,
    html: Annotated[bool, typer.Option("--html", help="Write one self-contained HTML page.")] = False,
    as_json: JsonOption = False,
    stack: StackOption = STACK_FILE,
) -> None:
    """Show one payment: the states it went through, its ledger entries, and the events that tell others of it."""
    if as_json and (html or file):
        raise typer.BadParameter("Choose either --json or a page.")
    with clear_errors():
        payments = Payments(Stack.load(stack))
        details = payments.details(canonical_id(payment_id))
        if as_json:
            content = asdict(replace(details, definition=None)) | {"operations": payments.operations(details)}
            del content["definition"]
            print_json(content)
            return
        if not (html or file):
            terminal.show(details, payments.operations(details), console)
            return
    file = file or BUILD / f"inspect-{payment_id.rpartition(':')[2]}.html"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(pages.single_page(details))
    console.print(f"Wrote {file}", highlight=False, soft_wrap=True)


@app.command(name="console")
def serve_console(
    port: Annotated[
        int, typer.Option(envvar="CONSOLE_PORT", min=0, max=65535, help="The port to serve on; 0 picks a free one.")
    ] = 4568,
    stack: StackOption = STACK_FILE,
) -> None:
    """Serve the console, a live read-only view of a stack's payments, to this machine until Ctrl-C."""
    with clear_errors():
        server = web.serve(Stack.load(stack), port, None if stack == STACK_FILE else str(stack))
    console.print(f"The console is at http://localhost:{server.port}  (Ctrl-C stops it)", highlight=False)
    server.serve_forever()


@app.command()
def checkout(
    port: Annotated[int, typer.Option(envvar="CHECKOUT_PORT", min=1, max=65535, help="The port to serve on.")] = 8080,
    stack: StackOption = STACK_FILE,
) -> None:
    """Serve the shop in examples/checkout, which pays through a stack, until Ctrl-C."""
    with clear_errors():
        target = Stack.load(stack)
        payments = target.payments_client()
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        secret = target.listener.secret if target.listener else None
        shop = create_checkout(payments, load("test_cards"), secret)
        server = make_server("127.0.0.1", port, shop, threaded=True)
        if target.listener:
            webhook = f"http://127.0.0.1:{port}/webhooks"
            threading.Thread(target=_forward_all, args=(target, webhook), daemon=True).start()
    console.print(f"The checkout is at http://localhost:{port}  (Ctrl-C stops it)", highlight=False)
    server.serve_forever()


def _forward_all(stack: Stack, url: str) -> None:
    """Forward the stack's events to the shop, until the stack is gone."""
    with suppress(StackError):
        for event in listen(stack):
            forward(event, url)
