"""`make bench`: measure everything and compare it with its floor, on a separate stack."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console

from bench import books, processes, report, workflow
from bench.measure import Section
from tools.deployment.paths import BUILD
from tools.deployment.stack import Stack
from tools.local.machine import Machine


@dataclass(frozen=True, slots=True)
class Extent:
    """How many samples each part takes."""

    starts: int
    memory: int
    warm_calls: int
    counted: int
    one_by_one: int
    answered: int
    at_once: dict[int, int]
    repeats: int
    payments: int
    entries: tuple[int, ...]
    reads: int


FULL = Extent(15, 5, 200, 10, 100, 50, {1: 40, 8: 160, 32: 320, 64: 640}, 3, 10_000, (1_000, 10_000, 100_000), 5)
SMALL = Extent(2, 1, 20, 2, 10, 5, {1: 5, 8: 16}, 1, 50, (1_000, 3_000), 2)
"""Under three minutes on two cores: fewer samples, at most 8 payments at once, 50 in a row, and 3,000 entries."""


def sections(stack: Stack, extent: Extent) -> dict[str, Callable[[], Section]]:
    """Return the parts of the benchmark by name; calling one measures it."""
    alone = processes.Processes(stack)
    product = workflow.Workflow(stack, stack.live_arn("payment"))
    tasks = {function: alone.task(function) for function in processes.CLIENTS}
    nothing, bare = workflow.do_nothing_workflow(product), workflow.bare_workflow(product, tasks)
    return {
        "size": lambda: processes.sizes(alone.packages),
        "cold": lambda: processes.cold_starts(alone, list(processes.CLIENTS), extent.starts),
        "memory": lambda: processes.memory(alone, tasks, extent.memory),
        "warm": lambda: processes.warm_calls(alone, tasks, extent.warm_calls),
        "calls": lambda: workflow.counted_calls(product, extent.counted),
        "latency": lambda: workflow.end_to_end(product, nothing, bare, extent.one_by_one),
        "answered": lambda: workflow.answered(stack, extent.answered),
        "throughput": lambda: workflow.throughput(product, nothing, bare, extent.at_once, extent.repeats),
        "payments": lambda: workflow.drift(product, nothing, extent.payments),
        "ledger": lambda: books.reads(stack, extent.entries, extent.reads),
    }


def main(
    small: Annotated[bool, typer.Option(help="Fewer of everything, in under three minutes.")] = False,
    only: Annotated[list[str] | None, typer.Argument(help="These parts alone, by name.")] = None,
) -> None:
    """Measure, print, and write build/bench.json and the curves beside it."""
    console = Console(width=160)
    home = BUILD / "bench" / "stack"
    machine = Machine(home=home, stack_file=home / "stack.json", emulator_port=0, sparkle_port=0)
    about = report.about_this_machine()
    report.show_machine(about, console)
    machine.down()
    taken: list[Section] = []
    try:
        stack = machine.up(lambda step: console.print(step, style="dim", highlight=False))
        with report.progress(console) as begin:
            begin("The functions' calls, recorded")
            for name, measure in sections(stack, SMALL if small else FULL).items():
                if not only or name in only:
                    begin(name)
                    taken.append(measure())
                    report.show(taken[-1], console)
    finally:
        machine.down()
    about["load at the end"] = report.about_this_machine()["load"]
    for figure in (figure for section in taken for figure in section.figures):
        console.print(f"Drew {report.draw(figure, BUILD)}", highlight=False)
    report.save(taken, about | {"small": small}, BUILD / "bench.json")
    console.print(f"Wrote {BUILD / 'bench.json'}", highlight=False)
    right = report.verdict(taken, console)
    raise typer.Exit(0 if right else 1)


if __name__ == "__main__":
    typer.run(main)
