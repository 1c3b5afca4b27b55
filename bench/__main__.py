"""`make bench`: measure everything and compare it with its floor, on a separate stack."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from bench import books, processes, report, workflow
from bench.measure import Section
from tools.deployment.paths import BUILD
from tools.deployment.stack import Stack
from tools.local.machine import Machine


@dataclass(frozen=True, slots=True)
class SampleSizes:
    """How many samples each part takes."""

    cold_starts: int
    memory_runs: int
    warm_calls: int
    counted_payments: int
    sequential_payments: int
    answered_payments: int
    payments_by_concurrency: dict[int, int]
    throughput_rounds: int
    total_payments: int
    ledger_sizes: tuple[int, ...]
    ledger_reads: int


FULL = SampleSizes(
    cold_starts=15,
    memory_runs=5,
    warm_calls=200,
    counted_payments=10,
    sequential_payments=100,
    answered_payments=50,
    payments_by_concurrency={1: 40, 8: 160, 32: 320, 64: 640},
    throughput_rounds=3,
    total_payments=10_000,
    ledger_sizes=(1_000, 10_000, 100_000),
    ledger_reads=5,
)
SMALL = SampleSizes(
    cold_starts=2,
    memory_runs=1,
    warm_calls=20,
    counted_payments=2,
    sequential_payments=10,
    answered_payments=5,
    payments_by_concurrency={1: 5, 8: 16},
    throughput_rounds=1,
    total_payments=50,
    ledger_sizes=(1_000, 3_000),
    ledger_reads=2,
)
"""Under three minutes on two cores: fewer samples, at most 8 payments at once, 50 in a row, and 3,000 entries."""


class Part(StrEnum):
    """The parts of the benchmark."""

    SIZE = "size"
    COLD = "cold"
    MEMORY = "memory"
    WARM = "warm"
    CALLS = "calls"
    LATENCY = "latency"
    ANSWERED = "answered"
    THROUGHPUT = "throughput"
    PAYMENTS = "payments"
    LEDGER = "ledger"


def sections(stack: Stack, sizes: SampleSizes) -> dict[Part, Callable[[], Section]]:
    """Return the parts of the benchmark by name; calling one measures it."""
    runner = processes.Processes(stack)
    product = workflow.Workflow(stack, stack.live_arn("payment"))
    tasks = {function: runner.task(function) for function in processes.CALLED}
    no_op, bare = workflow.no_op_workflow(product), workflow.bare_workflow(product, tasks)
    return {
        Part.SIZE: lambda: processes.sizes(runner.packages),
        Part.COLD: lambda: processes.cold_starts(runner, list(processes.CLIENTS), sizes.cold_starts),
        Part.MEMORY: lambda: processes.memory(runner, tasks, sizes.memory_runs),
        Part.WARM: lambda: processes.warm_calls(runner, tasks, sizes.warm_calls),
        Part.CALLS: lambda: workflow.counted_calls(product, sizes.counted_payments),
        Part.LATENCY: lambda: workflow.end_to_end(product, no_op, bare, sizes.sequential_payments),
        Part.ANSWERED: lambda: workflow.answered(stack, sizes.answered_payments),
        Part.THROUGHPUT: lambda: workflow.throughput(
            product, no_op, bare, sizes.payments_by_concurrency, sizes.throughput_rounds
        ),
        Part.PAYMENTS: lambda: workflow.drift(product, no_op, sizes.total_payments),
        Part.LEDGER: lambda: books.reads(stack, sizes.ledger_sizes, sizes.ledger_reads),
    }


def main(
    small: Annotated[bool, typer.Option(help="Fewer of everything, in under three minutes.")] = False,
    only: Annotated[list[Part] | None, typer.Argument(help="These parts alone, by name.")] = None,
) -> None:
    """Measure, print, and write build/bench.json and the curves beside it: after Ctrl-C, those of the parts that are
    done."""
    console = Console(width=160)
    home = BUILD / "bench" / "stack"
    machine = Machine(home=home, stack_file=home / "stack.json", usual_ports=False)
    machine_info = report.describe_machine()
    report.show_machine(machine_info, console)
    machine.down()
    results: list[Section] = []
    try:
        stack = machine.up(lambda step: console.print(step, style="dim", highlight=False))
        try:
            with report.progress(console) as begin:
                begin("The functions' calls, recorded")
                for name, measure in sections(stack, SMALL if small else FULL).items():
                    if not only or name in only:
                        begin(name)
                        results.append(measure())
                        report.show(results[-1], console)
        finally:
            if results:
                machine_info["load at the end"] = report.describe_machine()["load"]
                for chart in (chart for section in results for chart in section.charts):
                    console.print(f"Drew {report.draw(chart, BUILD)}", highlight=False)
                report.save(results, machine_info | {"small": small}, BUILD / "bench.json")
                console.print(f"Wrote {BUILD / 'bench.json'}", highlight=False)
    finally:
        machine.down()
    passed = report.verdict(results, console)
    raise typer.Exit(0 if passed else 1)


if __name__ == "__main__":
    typer.run(main)
