"""Runs all steps of an acceptance, even if some fail, and reports the result of each."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement  # nosec B405

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn

from tools.output import progress, table
from tools.trials.acceptance.run import Run, Skipped, Step
from tools.trials.acceptance.steps import deployment, examples, failure, hostile, payments, permissions, signals

# A roll-out needs silent alarms, so it comes before the steps that trigger alarms.
STEPS = [
    *deployment.BEFORE,
    *payments.STEPS,
    *deployment.ROLL_OUT,
    *examples.STEPS,
    *hostile.STEPS,
    *permissions.STEPS,
    *failure.STEPS,
    *signals.STEPS,
    *deployment.AFTER,
]
GROUPS = tuple(dict.fromkeys(step.group for step in STEPS))
MANDATORY_GROUPS = {step.group for step in (*deployment.BEFORE, *deployment.AFTER)}
"""Groups that always run: they create the deployment and destroy it in the end."""


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


_COLOURS = {Outcome.PASSED: "green", Outcome.FAILED: "red", Outcome.SKIPPED: "yellow"}


@dataclass(frozen=True, slots=True)
class Result:
    group: str
    name: str
    outcome: Outcome
    why: str = ""
    seconds: float = 0.0


def run_steps(run: Run, steps: Sequence[Step], console: Console) -> list[Result]:
    """Run the steps, and print failures at once. After an interruption, run only the steps with `always`."""
    results: list[Result] = []
    interrupted = False
    with progress(console, BarColumn(), MofNCompleteColumn()) as bar:
        task = bar.add_task("", total=len(steps))
        for step in steps:
            bar.update(task, description=f"{step.group}: {step.name}")
            if interrupted and not step.always:
                result = Result(step.group, step.name, Outcome.SKIPPED, "Interrupted.")
            else:
                result = _run_step(run, step)
            interrupted |= result.why == _INTERRUPTED
            if result.outcome is Outcome.FAILED:
                message = f"[red]✗[/red] {step.group}: {escape(step.name)}\n  {escape(result.why)}"
                console.print(message, highlight=False, soft_wrap=True)
            results.append(result)
            bar.update(task, advance=1)
    return results


_INTERRUPTED = "It was interrupted."


def _run_step(run: Run, step: Step) -> Result:
    run.recorder.step = f"{step.group}/{step.name}"
    started = time.monotonic()
    try:
        step.check(run)
        outcome, why = Outcome.PASSED, ""
    except Skipped as reason:
        outcome, why = Outcome.SKIPPED, str(reason)
    except KeyboardInterrupt:
        outcome, why = Outcome.FAILED, _INTERRUPTED
    except Exception as error:  # whatever went wrong, the other steps must run and the deployment must be destroyed
        outcome, why = Outcome.FAILED, f"{type(error).__name__}: {error}"
    return Result(step.group, step.name, outcome, run.recorder.redacted(why), time.monotonic() - started)


def show(results: Sequence[Result], notes: Sequence[str], console: Console) -> None:
    """Print a row for each group, then the reasons why steps were skipped, then the notes."""
    shown = table("Acceptance", ("group",), (*Outcome, "took"))
    for column, outcome in zip(shown.columns[1:], Outcome, strict=False):
        column.style = _COLOURS[outcome]
    for group in dict.fromkeys(result.group for result in results):
        of_group = [result for result in results if result.group == group]
        counts = Counter(result.outcome for result in of_group)
        took = sum(result.seconds for result in of_group)
        shown.add_row(group, *(str(counts[outcome] or "") for outcome in Outcome), f"{took:.1f} s")
    console.print(shown)
    reasons = Counter((result.group, result.why) for result in results if result.outcome is Outcome.SKIPPED)
    for (group, why), count in reasons.items():
        console.print(f"[yellow]skipped[/yellow] {group}, {count}: {escape(why)}", highlight=False, soft_wrap=True)
    for note in notes:
        console.print(escape(note), highlight=False, soft_wrap=True)


def write_json(run: Run, results: Sequence[Result], file: Path) -> None:
    counts = Counter(str(result.outcome) for result in results)
    report = {
        "environment": run.environment,
        "counts": {str(outcome): counts[outcome] for outcome in Outcome},
        "notes": run.notes,
        "steps": [asdict(result) | {"seconds": round(result.seconds, 3)} for result in results],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(run.recorder.redacted(json.dumps(report, indent=2, ensure_ascii=False)) + "\n")


def write_junit(results: Sequence[Result], file: Path) -> None:
    """Write a JUnit test case for each step; skipped steps included."""
    counts = Counter(result.outcome for result in results)
    numbers = {"tests": len(results), "failures": counts[Outcome.FAILED], "skipped": counts[Outcome.SKIPPED]}
    suite = Element("testsuite", {"name": "acceptance", **{name: str(number) for name, number in numbers.items()}})
    for result in results:
        case = SubElement(suite, "testcase", classname=result.group, name=result.name, time=f"{result.seconds:.3f}")
        if result.outcome is not Outcome.PASSED:
            kind = "failure" if result.outcome is Outcome.FAILED else "skipped"
            SubElement(case, kind, message=result.why)
    file.parent.mkdir(parents=True, exist_ok=True)
    ElementTree(suite).write(file, encoding="utf-8", xml_declaration=True)
