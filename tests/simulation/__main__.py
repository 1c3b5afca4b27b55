"""`python -m tests.simulation [RUNS] [--seed SEED]`: run many seeds, or one again. Exits with 1 if a rule is broken."""

import argparse
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import tests.conftest  # noqa: F401  # what must be in the environment before the runtime is imported
from tests.simulation.world import Run, payment_of, simulate

CHUNK = 20


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description="The workflow in a world of bad luck."
    )
    parser.add_argument("runs", nargs="?", type=int, default=5000)
    parser.add_argument("--seed", type=int, help="play this run alone")
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    if arguments.seed is not None:
        run = simulate(arguments.seed)
        show(run, console, payments={payment_of(subject) for _, subject, _ in run.trace})
        return 1 if run.broken else 0
    return play(arguments.runs, console)


def play(runs: int, console: Console) -> int:
    """Run this many new seeds. Print the first run that breaks a rule, and return the exit code."""
    first_seed = random.SystemRandom().randrange(10**9)
    console.print(f"{runs} runs, seeds {first_seed} to {first_seed + runs - 1}")
    columns = TextColumn("simulate"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    started, statuses, operations = time.monotonic(), Counter[str](), Counter[str]()
    with Progress(*columns, console=console) as progress, ProcessPoolExecutor(os.cpu_count()) as pool:
        task = progress.add_task("", total=runs)
        for run in chain.from_iterable(pool.map(_simulate_all, _chunks(first_seed, runs))):
            progress.advance(task)
            statuses.update(run.statuses)
            operations.update(run.operations)
            if run.broken:
                progress.stop()
                pool.shutdown(cancel_futures=True)
                show(run, console, payments={payment_of(broken.subject) for broken in run.broken})
                console.print(f"Again: make simulate SEED={run.seed}")
                return 1
    console.print(f"All rules held, {runs / (time.monotonic() - started):.0f} runs a second. They ended as:")
    for ends in (statuses, operations):
        console.print(", ".join(f"{end} {times}" for end, times in ends.most_common()))
    return 0


def show(run: Run, console: Console, payments: set[str]) -> None:
    """The steps of these payments and their operations, and the broken rules."""
    table = Table("time", "payment or operation", "what happened", title=f"Seed {run.seed}", title_justify="left")
    for seconds, subject, what in run.trace:
        if payment_of(subject) in payments:
            at = datetime.fromtimestamp(seconds, UTC).strftime("%m-%d %H:%M:%S.%f")[:-3]
            table.add_row(at, subject, f"[red]{what}[/red]" if what.startswith("BROKEN") else what[:160])
    console.print(table)
    for broken in run.broken:
        console.print(f"[red]{broken.subject}: {broken.what}[/red]")


def _chunks(first_seed: int, runs: int) -> Iterator[range]:
    for start in range(first_seed, first_seed + runs, CHUNK):
        yield range(start, min(start + CHUNK, first_seed + runs))


def _simulate_all(seeds: range) -> list[Run]:
    """Run the seeds, and drop the traces of runs without a broken rule."""
    return [run if run.broken else replace(run, trace=[]) for run in map(simulate, seeds)]


if __name__ == "__main__":
    sys.exit(main())
