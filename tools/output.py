"""How the command prints: exit codes, tables and progress that fit any width, and plurals."""

import difflib
import json
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any

import typer
from rich.console import Console
from rich.progress import Progress, ProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from functions.shared.domain.times import iso


class ExitCode(IntEnum):
    """The command's exit codes other than 0. Make turns each of them into 2."""

    FOUND = 1
    """Done, but something is wrong: a finding, a break, a declined payment."""

    USAGE = 2
    """The command line is wrong; nothing was done."""

    FAILED = 3
    """It failed, perhaps halfway; standard error says why."""

    INTERRUPTED = 130
    """Ctrl-C. Results so far were shown."""


def exit_unless(good: bool) -> None:
    """End the command, with exit code 1 unless `good`."""
    raise typer.Exit(0 if good else ExitCode.FOUND)


def table(title: str, texts: Iterable[str], figures: Iterable[str] = ()) -> Table:
    """An empty table that folds long texts and never cuts them."""
    columns = [Column(name, overflow="fold") for name in texts]
    return Table(
        *columns,
        *(Column(name, justify="right", overflow="fold") for name in figures),
        title=title,
        title_justify="left",
    )


def progress(console: Console, *columns: ProgressColumn, transient: bool = True) -> Progress:
    """Progress in one line: the columns, a description and the time. In a narrow terminal only the description is
    cut."""
    description = TextColumn(
        "{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
    )
    return Progress(*columns, description, TimeElapsedColumn(), console=console, transient=transient, expand=True)


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """`1 payment`, `2,000 payments`, `0 entries`."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """` Did you mean charge?` if some of the words are similar to this one, else an empty string."""
    close = difflib.get_close_matches(word, sorted(words), cutoff=0.75)
    return f" Did you mean {' or '.join(close)}?" if close else ""


def print_json(value: Any) -> None:
    """Print `--json` output: amounts are integers in minor units, times ISO 8601."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    match value:
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case datetime():
            return iso(value)
        case bytes():
            return None
    return str(value)
