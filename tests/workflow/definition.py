"""The state machine's definition, as it is deployed but for the functions' ARNs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FUNCTIONS = ("tokenize", "encrypt", "charge", "persist", "compensate")

_TEMPLATE = (ROOT / "statemachine" / "payment.asl.json").read_text()
_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


def function_arn(function: str) -> str:
    return f"arn:aws:lambda:eu-west-1:123456789012:function:{function}"


def placeholders() -> set[str]:
    """The names that Terraform has to fill in."""
    return set(_PLACEHOLDER.findall(_TEMPLATE))


def render() -> str:
    # Not by string.Template, which would make one `$` of `$$.Execution.Name`; Terraform's templatefile does not.
    return _PLACEHOLDER.sub(lambda match: function_arn(match[1].removesuffix("_function_arn")), _TEMPLATE)


DEFINITION: dict[str, Any] = json.loads(render())
STATES: dict[str, dict[str, Any]] = DEFINITION["States"]
TASKS = {name: state for name, state in STATES.items() if state["Type"] == "Task"}
TERMINALS = {name: state for name, state in STATES.items() if state["Type"] in ("Succeed", "Fail")}


def successors(state: dict[str, Any]) -> Iterator[str]:
    """Every state that may come next, whatever happens."""
    for way in [state, *state.get("Choices", []), *state.get("Catch", [])]:
        yield from (way[key] for key in ("Next", "Default") if key in way)


def function_of(task: dict[str, Any]) -> str:
    return str(task["Resource"]).rpartition(":")[2]
