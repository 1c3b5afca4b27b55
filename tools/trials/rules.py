"""Try the rules of the function screen on sample payments."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from functions.screen.rules import Facts, Rules, Screening
from tools.deployment.paths import FUNCTIONS
from tools.output import table
from tools.trials.events import EventError

SAMPLES_FILE = FUNCTIONS / "screen" / "samples.json"


@dataclass(frozen=True, slots=True)
class Sample:
    """A payment's facts, and what the rules should say of it."""

    name: str
    facts: Facts
    expected: Screening


def load_samples(file: Path = SAMPLES_FILE) -> list[Sample]:
    """Read `{"ordinary": facts, "samples": […]}`: what a sample doesn't say is as in the ordinary payment.

    Raises EventError.
    """
    try:
        document = json.loads(file.read_text())
        return [
            Sample(
                sample["name"],
                Facts(**document["ordinary"] | sample["facts"]),
                Screening(sample["expected"]["rule"], tuple(sample["expected"]["flags"])),
            )
            for sample in document["samples"]
        ]
    except OSError as error:
        raise EventError(f"{file}: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise EventError(f"{file} holds no samples: {error!r}") from None


def try_rules(rules: Rules, samples: Iterable[Sample], console: Console) -> bool:
    """Screen the samples and print which rules fired; whether all went as expected. Raises RulesError."""
    screened = table("Samples", ("sample", "expected", "happened"))
    fired: Counter[str] = Counter()
    unexpected = 0
    for sample in samples:
        happened = rules.screen(sample.facts)
        unexpected += happened != sample.expected
        mark = "[green]✓[/green] " if happened == sample.expected else "[red]✗[/red] "
        screened.add_row(sample.name, _told(sample.expected), mark + _told(happened))
        fired.update(name for name in (happened.rule, *happened.flags) if name)
    counted = table(f"Rules, version {rules.version}", ("rule", "action", "samples", "reason"))
    for rule in rules.rules:
        counted.add_row(rule.name, rule.action, str(fired[rule.name] or "[yellow]none[/yellow]"), rule.reason)
    console.print(counted, screened)
    if unexpected:
        console.print(f"[red]{unexpected} of {screened.row_count} samples did not go as expected.[/red]")
    return not unexpected


def _told(screening: Screening) -> str:
    denied = f"deny {screening.rule}" if screening.rule else "allow"
    return " · ".join([denied, *(f"flag {name}" for name in screening.flags)])
