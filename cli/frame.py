"""What every command shares: where it prints, which stack it means, and how it says what went wrong."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.markup import escape

from cli.books import LedgerError
from cli.events import EventError
from cli.output import ExitCode
from cli.packages import PackagesError
from cli.paths import CheckoutError, need_checkout
from cli.stack import StackError
from cli.terraform import TerraformError
from examples.client.errors import PaymentsError
from functions.screen.rules import RulesError
from functions.shared.domain.errors import Unavailable

# A pipe has no width, and a log is easier to read when its tables are not folded. `asset:bank:` is no picture.
_PIPE_WIDTH = 160
console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, emoji=False)
errors = Console(stderr=True, width=None if sys.stderr.isatty() else _PIPE_WIDTH, emoji=False)

StackOption = Annotated[
    Path,
    typer.Option(
        "--stack", envvar="STACK", show_default="build/stack.json", help="The stack file of the stack to use."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]


@contextmanager
def clear_errors(*, needs_checkout: bool = False) -> Iterator[None]:
    """What went wrong, on standard error and without a traceback."""
    try:
        if needs_checkout:
            need_checkout()
        yield
    except (
        CheckoutError,
        EventError,
        LedgerError,
        PackagesError,
        PaymentsError,
        RulesError,
        StackError,
        TerraformError,
    ) as error:
        _fail(type(error).__name__, error)
    except (BotoCoreError, ClientError, Unavailable) as error:
        _fail("AWS", error)
    except SystemExit:  # of a server whose port is taken, which it has said
        raise typer.Exit(ExitCode.FAILED) from None


def _fail(what: str, error: Exception) -> NoReturn:
    errors.print(f"[red]{what}:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
    raise typer.Exit(ExitCode.FAILED) from None
