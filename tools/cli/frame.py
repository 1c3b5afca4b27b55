"""What all commands share: consoles, the stack option, and error messages."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.markup import escape

from client.errors import NoAnswer, PaymentsError
from functions.screen.rules import RulesError
from functions.shared.domain.errors import Unavailable
from tools.books.reading import LedgerError
from tools.deployment.packages import PackagesError
from tools.deployment.paths import CheckoutError, need_checkout
from tools.deployment.stack import HOW_TO_START, StackError
from tools.deployment.terraform import TerraformError
from tools.output import ExitCode, status_line
from tools.trials.events import EventError

# A pipe has no width, and a log is easier to read when its tables are not folded. `asset:bank:` is not an emoji.
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
    """Print an error on standard error, without a traceback, and exit."""
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
        _fail(type(error).__name__, str(error), HOW_TO_START if isinstance(error, NoAnswer) else "")
    except (BotoCoreError, ClientError, Unavailable) as error:
        # An Unavailable has the name of the error that caused it as its last word.
        connected = "EndpointConnectionError" not in (type(error).__name__, str(error).rpartition(" ")[2])
        _fail("AWS", str(error), "" if connected else HOW_TO_START)
    except SystemExit:  # a server that reported its port as taken
        raise typer.Exit(ExitCode.FAILED) from None


def _fail(error_name: str, message: str, advice: str) -> NoReturn:
    errors.print(f"[red]{error_name}:[/red] {escape(f'{message} {advice}'.strip())}", highlight=False, soft_wrap=True)
    raise typer.Exit(ExitCode.FAILED) from None


def prose_console(as_json: bool) -> Console:
    """Where text for people goes: to standard error when JSON takes standard output."""
    return errors if as_json else console


@contextmanager
def steps(first_step: str) -> Iterator[tuple[Callable[[str], None], Callable[[str], None]]]:
    """Two callbacks: the first prints a step on a line of its own, the second updates a status line."""
    with status_line(console, first_step) as progress:

        def say(step: str) -> None:
            console.print(step, highlight=False)
            if console.is_terminal:
                progress(step)

        yield say, progress
