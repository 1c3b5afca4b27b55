import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from functions.screen.rules import RULES_FILE
from tools.cli.__main__ import app
from tools.output import ExitCode
from tools.trials.events import EventError
from tools.trials.rules import SAMPLES_FILE, load_samples

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def rules_file(tmp_path: Path) -> Callable[[Change], str]:
    """Write a changed copy of the rules."""

    def write(change: Change) -> str:
        document = json.loads(RULES_FILE.read_text())
        change(document)
        file = tmp_path / "rules.json"
        file.write_text(json.dumps(document))
        return str(file)

    return write


def rules_test(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["rules-test", *arguments])
    return result.exit_code, result.output


def test_the_rules_in_the_repository_do_what_their_samples_say_and_no_rule_is_without() -> None:
    status, output = rules_test()
    assert status == 0
    assert "✓ deny currency_not_accepted" in output
    assert "✓ allow · flag card_testing" in output
    assert "✗" not in output
    assert "none" not in output


def test_a_sample_that_does_not_go_as_expected_is_shown_and_fails(rules_file: Callable[[Change], str]) -> None:
    status, output = rules_test(rules_file(lambda document: document["rules"].pop(0)))
    assert status == 1
    assert "✗ allow" in output
    assert f"2 of {len(load_samples())} samples did not go as expected." in output


def test_a_rule_that_no_sample_shows_is_named(rules_file: Callable[[Change], str]) -> None:
    new = {"name": "amex_at_night", "when": 'brand == "amex" and hour < 5', "action": "flag", "reason": "It is rare."}
    status, output = rules_test(rules_file(lambda document: document["rules"].append(new)))
    assert status == 0
    assert re.search(r"amex_at_night +│ flag +│ none +│ It is rare\.", output)


def test_the_samples_in_json_say_what_each_expected_and_what_happened(rules_file: Callable[[Change], str]) -> None:
    status, output = rules_test("--json")
    samples = json.loads(output)["samples"]
    assert (status, len(samples)) == (0, len(load_samples()))
    assert all(sample["as_expected"] and sample["happened"] == sample["expected"] for sample in samples)
    status, output = rules_test(rules_file(lambda document: document["rules"].pop(0)), "--json")
    unexpected = [sample for sample in json.loads(output)["samples"] if not sample["as_expected"]]
    assert (status, len(unexpected), unexpected[0]["happened"]["rule"]) == (1, 2, None)


def test_a_mistake_is_reported_and_nothing_else(rules_file: Callable[[Change], str]) -> None:
    status, output = rules_test(rules_file(lambda document: document["rules"][2].update(when="amount > 1")))
    assert status == ExitCode.FAILED
    assert "rule amount_cap: unknown symbol: 'amount'. Is it amount_minor?" in " ".join(output.split())
    assert "sample" not in output


@pytest.mark.parametrize("content", ["{", "{}", '{"ordinary": {}, "samples": [{"name": "a", "facts": {"no": 1}}]}'])
def test_a_file_without_samples_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "samples.json"
    with pytest.raises(EventError, match=r"samples\.json: No such file or directory\."):
        load_samples(file)
    file.write_text(content)
    with pytest.raises(EventError, match=r"samples\.json holds no samples: "):
        load_samples(file)


def test_a_sample_says_only_what_is_out_of_the_ordinary() -> None:
    document = json.loads(SAMPLES_FILE.read_text())
    for sample in document["samples"]:
        assert not sample["facts"].items() & document["ordinary"].items(), sample["name"]
