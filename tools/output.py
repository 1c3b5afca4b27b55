"""How the command talks: its exit codes, tables and progress that fit any width, plurals, and times."""

import difflib
import json
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any

import typer
from rich.console import Console
from rich.progress import Progress, ProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from functions.shared.domain.times import iso


class ExitCode(IntEnum):
    """What the command ends with, beside 0. Make turns each of them into 2."""

    FOUND = 1
    """It was done, and not all is as it should be: a finding, a break, a payment that was declined."""

    USAGE = 2
    """The command line is wrong, and nothing was done."""

    FAILED = 3
    """It could not be done, or not to its end; standard error says why."""

    INTERRUPTED = 130
    """Ctrl-C. What was done until then was shown."""


def exit_unless(good: bool) -> None:
    """End the command, with 1 where something is not as it should be."""
    raise typer.Exit(0 if good else ExitCode.FOUND)


def table(title: str, texts: Iterable[str], figures: Iterable[str] = ()) -> Table:
    """An empty table. Where it is too narrow for a text it folds it, and it cuts nothing."""
    columns = [Column(name, overflow="fold") for name in texts]
    return Table(
        *columns,
        *(Column(name, justify="right", overflow="fold") for name in figures),
        title=title,
        title_justify="left",
    )


def progress(console: Console, *columns: ProgressColumn, transient: bool = True) -> Progress:
    """Progress in one line, with the columns, a description and the time; only the description gives way."""
    description = TextColumn(
        "{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
    )
    return Progress(*columns, description, TimeElapsedColumn(), console=console, transient=transient, expand=True)


def counted(count: int, one: str, several: str | None = None) -> str:
    """`1 payment`, `2,000 payments`, `0 entries`."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """` Did you mean charge?` where some of the words are like this one; else nothing."""
    close = difflib.get_close_matches(word, sorted(words), cutoff=0.75)
    return f" Did you mean {' or '.join(close)}?" if close else ""


def time_text(time: datetime | str) -> str:
    """A time as people read it: UTC, to the millisecond, `2026-11-23 09:00:01.000`."""
    moment = datetime.fromisoformat(time) if isinstance(time, str) else time
    return moment.astimezone(UTC).isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")


def print_json(value: Any) -> None:
    """Print what `--json` asks for on standard output: amounts as integers in minor units, times in ISO 8601."""
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
