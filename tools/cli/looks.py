"""Looking at payments, and at what they go through."""

import logging
from pathlib import Path
from typing import Annotated

import typer
from werkzeug.serving import make_server

from client import PaymentsClient
from examples.checkout.app import create_app as create_checkout
from functions.shared.contracts import load
from functions.shared.domain.shapes import canonical_id
from tools.cli.frame import StackOption, clear_errors, console
from tools.console import app as web
from tools.console import pages, terminal
from tools.console.payments import Payments
from tools.deployment.paths import BUILD, STACK_FILE
from tools.deployment.stack import Stack

app = typer.Typer()


@app.command()
def inspect(
    payment_id: Annotated[str, typer.Argument(help="The payment's id, or the ARN of any execution.")],
    file: Annotated[Path | None, typer.Argument(help="Where to write the page.")] = None,
    html: Annotated[bool, typer.Option("--html", help="Write a page that needs nothing else.")] = False,
    stack: StackOption = STACK_FILE,
) -> None:
    """Show one payment: its way through the states, and its ledger entries."""
    with clear_errors():
        payments = Payments(Stack.load(stack))
        look = payments.look(canonical_id(payment_id))
        if not (html or file):
            terminal.show(look, payments.operations(look), console)
            return
    file = file or BUILD / f"inspect-{payment_id.rpartition(':')[2]}.html"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(pages.single_page(look))
    console.print(f"Wrote {file}", highlight=False, soft_wrap=True)


@app.command(name="console")
def serve_console(
    port: Annotated[int, typer.Option(envvar="CONSOLE_PORT", min=0, max=65535, help="0 takes a free one.")] = 4568,
    stack: StackOption = STACK_FILE,
) -> None:
    """Show a stack's payments in the browser, as they happen. Read only, for this machine alone, until Ctrl-C."""
    with clear_errors():
        server = web.serve(Stack.load(stack), port, None if stack == STACK_FILE else str(stack))
    console.print(f"The console is at http://localhost:{server.port}  (Ctrl-C stops it)", highlight=False)
    server.serve_forever()


@app.command()
def checkout(
    port: Annotated[int, typer.Option(envvar="CHECKOUT_PORT", min=1, max=65535, help="Where to serve it.")] = 8080,
    stack: StackOption = STACK_FILE,
) -> None:
    """Serve the shop's checkout in examples/checkout, paid through a stack, until Ctrl-C."""
    with clear_errors():
        target = Stack.load(stack)
        payments = PaymentsClient(target.api_url, target.region, target.session().get_credentials())
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        server = make_server("127.0.0.1", port, create_checkout(payments, load("test_cards")), threaded=True)
    console.print(f"The checkout is at http://localhost:{port}  (Ctrl-C stops it)", highlight=False)
    server.serve_forever()
