"""How the command prints: exit codes, tables and progress that fit any width, and plurals."""

import difflib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any

import typer
from rich.console import Console
from rich.progress import Progress, ProgressColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from functions.shared.domain.times import iso

PROGRESS_SECONDS = 10.0
"""How far apart the lines of progress are that go to a pipe or a file."""


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


class _Progress(Progress):
    """Progress in one changing line or, outside a terminal, in a line every PROGRESS_SECONDS."""

    def start(self) -> None:
        self._printed_at = time.monotonic()
        super().start()

    def stop(self) -> None:
        if self.live.transient:
            self.live.stop()  # Progress.stop prints an empty line into a pipe
        else:
            super().stop()

    def update(self, task_id: TaskID, **changes: Any) -> None:
        super().update(task_id, **changes)
        with self._lock:
            if self.console.is_terminal or time.monotonic() < self._printed_at + PROGRESS_SECONDS:
                return
            self._printed_at = time.monotonic()
            task = self._tasks[task_id]
            done = "" if task.total is None else f"{task.completed:,.0f} of {task.total:,.0f}  "
            self.console.print(f"  {done}{task.description}", markup=False, highlight=False)


def progress(console: Console, *columns: ProgressColumn, transient: bool = True) -> Progress:
    """Progress in one line: the columns, a description and the time. In a narrow terminal only the description is
    cut. Call `update` for whatever is to be seen in a pipe, too."""
    description = TextColumn(
        "{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
    )
    return _Progress(*columns, description, TimeElapsedColumn(), console=console, transient=transient, expand=True)


@contextmanager
def status_line(console: Console, first: str) -> Iterator[Callable[[str], None]]:
    """A line that says what is being done, for as long as it is: first this text, then what the callback is given."""
    with progress(console, SpinnerColumn()) as bar:
        task = bar.add_task(first, total=None)
        yield lambda text: bar.update(task, description=text)


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
