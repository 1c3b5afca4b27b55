"""Tries the rules of the `screen` function on sample payments."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from functions.screen.rules import Facts, Rules, Screening
from tools.deployment.paths import FUNCTIONS
from tools.output import counted, table
from tools.trials.events import EventError

SAMPLES_FILE = FUNCTIONS / "screen" / "samples.json"


@dataclass(frozen=True, slots=True)
class Sample:
    """A payment's facts, and the screening result that the rules should give."""

    name: str
    facts: Facts
    expected: Screening


def load_samples(file: Path = SAMPLES_FILE) -> list[Sample]:
    """Read `{"ordinary": facts, "samples": […]}`. Facts that a sample omits are taken from `ordinary`.

    Raises EventError if the file cannot be read or has another format.
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


@dataclass(frozen=True, slots=True)
class SampleResult:
    """A sample's expected and actual screening result."""

    name: str
    expected: Screening
    happened: Screening

    @property
    def as_expected(self) -> bool:
        return self.happened == self.expected


def try_rules(rules: Rules, samples: Iterable[Sample]) -> list[SampleResult]:
    """Screen the samples. Raises RulesError if a rule cannot be evaluated."""
    return [SampleResult(sample.name, sample.expected, rules.screen(sample.facts)) for sample in samples]


def show(rules: Rules, results: Sequence[SampleResult], console: Console) -> None:
    """Print the samples, and how often each rule fired."""
    sample_table = table("Samples", ("sample", "expected", "happened"))
    fired: Counter[str] = Counter()
    for sample in results:
        mark = "[green]✓[/green] " if sample.as_expected else "[red]✗[/red] "
        sample_table.add_row(sample.name, _decision(sample.expected), mark + _decision(sample.happened))
        fired.update(name for name in (sample.happened.rule, *sample.happened.flags) if name)
    rule_table = table(f"Rules, version {rules.version}", ("rule", "action", "samples", "reason"))
    for rule in rules.rules:
        rule_table.add_row(rule.name, rule.action, str(fired[rule.name] or "[yellow]none[/yellow]"), rule.reason)
    console.print(rule_table, sample_table)
    if unexpected := sum(not sample.as_expected for sample in results):
        console.print(f"[red]{unexpected} of {counted(len(results), 'sample')} did not go as expected.[/red]")


def _decision(screening: Screening) -> str:
    denied = f"deny {screening.rule}" if screening.rule else "allow"
    return " · ".join([denied, *(f"flag {name}" for name in screening.flags)])
