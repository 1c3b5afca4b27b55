"""The books, for accountants."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from functions.shared.domain.shapes import canonical_id
from functions.shared.domain.times import now
from tools.books.adoption import adopt as adopt_movements
from tools.books.anchors import anchor as anchor_day
from tools.books.export import Format, open_accounts, replacing_file
from tools.books.export import export as export_journal
from tools.books.reading import BooksReader, day_before, parse_day
from tools.books.reconciliation import reconcile as reconcile_day
from tools.books.statements import payment as show_payment
from tools.books.statements import statement as show_statement
from tools.books.statements import trial_balance as show_trial_balance
from tools.books.upgrade import upgrade as upgrade_ledger
from tools.books.verification import verify as verify_ledger
from tools.cli.frame import JsonOption, StackOption, clear_errors, console, prose_console
from tools.deployment.paths import STACK_FILE
from tools.deployment.stack import Stack
from tools.output import exit_unless

app = typer.Typer()

ledger = typer.Typer(no_args_is_help=True, help="The books, for accountants. Days are UTC, written like 2026-11-23.")
app.add_typer(ledger, name="ledger")

FromOption = Annotated[str | None, typer.Option("--from", metavar="DAY", help="The first day; default: today.")]
ToOption = Annotated[str | None, typer.Option("--to", metavar="DAY", help="The last day; default: today.")]


@app.command()
def reconcile(
    day: Annotated[str | None, typer.Argument(help="The day (UTC), like 2026-11-23; default: yesterday.")] = None,
    as_json: JsonOption = False,
    stack: StackOption = STACK_FILE,
) -> None:
    """Compare the gateway's report, the ledger and the executions of a day, and show the breaks."""
    with clear_errors():
        agrees = reconcile_day(
            Stack.load(stack), parse_day(day or day_before(now()[:10])), prose_console(as_json), as_json=as_json
        )
    exit_unless(agrees)


@app.command()
def adopt(
    payment: Annotated[str, typer.Argument(help="The payment's id.")],
    stack: StackOption = STACK_FILE,
) -> None:
    """Record what somebody did to a payment's charge at the gateway, and show it. Safe to repeat."""
    with clear_errors():
        adopt_movements(Stack.load(stack), payment, console)


@ledger.command(name="trial-balance")
def trial_balance(
    as_of: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="A day, which means its end, or a time like 2026-11-23T18:00:00Z; default: now."
        ),
    ] = None,
    as_json: JsonOption = False,
    stack: StackOption = STACK_FILE,
) -> None:
    """Show each account's balance, and whether debits equal credits."""
    with clear_errors():
        balanced = show_trial_balance(BooksReader.of(Stack.load(stack)), as_of, prose_console(as_json), as_json=as_json)
    exit_unless(balanced)


@ledger.command()
def statement(
    account: Annotated[str, typer.Argument(help="The account's full name, like asset:gateway:sparkle.")],
    first: FromOption = None,
    last: ToOption = None,
    as_json: JsonOption = False,
    stack: StackOption = STACK_FILE,
) -> None:
    """Show an account's postings in a period, with the balance before and after."""
    with clear_errors():
        show_statement(BooksReader.of(Stack.load(stack)), account, first, last, prose_console(as_json), as_json=as_json)


@ledger.command()
def payment(payment_id: str, as_json: JsonOption = False, stack: StackOption = STACK_FILE) -> None:
    """Show a payment's entries and its T-accounts."""
    with clear_errors():
        show_payment(BooksReader.of(Stack.load(stack)), canonical_id(payment_id), console, as_json=as_json)


@ledger.command()
def export(
    first: FromOption = None,
    last: ToOption = None,
    format: Annotated[Format, typer.Option(help="The format of the journal.")] = Format.CSV,
    out: Annotated[Path | None, typer.Option(help="The file to write; default: standard output.")] = None,
    stack: StackOption = STACK_FILE,
) -> None:
    """Export the journal of a period for other tools."""
    with clear_errors():
        books = BooksReader.of(Stack.load(stack))
        with replacing_file(out) if out else nullcontext(sys.stdout.buffer) as file:
            # Progress would get in the way when the journal itself scrolls by.
            progress = Console(stderr=True, quiet=out is None and sys.stdout.isatty())
            export_journal(books, first, last, format, file, progress)


@ledger.command()
def accounts(
    out: Annotated[Path | None, typer.Option(help="The file to write; default: standard output.")] = None,
    stack: StackOption = STACK_FILE,
) -> None:
    """Write a beancount file that opens the accounts. Include it once, beside the exported journals."""
    with clear_errors(), replacing_file(out) if out else nullcontext(sys.stdout.buffer) as file:
        open_accounts(BooksReader.of(Stack.load(stack)), file)


@ledger.command()
def anchor(
    day: Annotated[str | None, typer.Argument(help="The day (UTC), like 2026-11-23; default: today.")] = None,
    stack: StackOption = STACK_FILE,
) -> None:
    """Anchor a day's payments in storage that nobody can change. `verify` compares the ledger with it."""
    with clear_errors():
        anchor_day(Stack.load(stack), parse_day(day), console)


@ledger.command()
def upgrade(stack: StackOption = STACK_FILE) -> None:
    """Upgrade the ledger of an older version, once: move cards and counters to their tables, and mark unsealed records
    for the first anchor."""
    with clear_errors():
        upgrade_ledger(Stack.load(stack), console)


@ledger.command()
def verify(as_json: JsonOption = False, stack: StackOption = STACK_FILE) -> None:
    """Verify the whole ledger, and show every record that was changed or removed."""
    with clear_errors():
        target = Stack.load(stack)
        intact = verify_ledger(target, BooksReader.of(target), prose_console(as_json), as_json=as_json)
    exit_unless(intact)
