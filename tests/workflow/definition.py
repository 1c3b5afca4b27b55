"""The state machines' definitions, as deployed except for the functions' ARNs."""

import json
import re
from collections.abc import Iterator
from typing import Any

from tools.deployment.definitions import MACHINES, definition

_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


def function_arn(function: str) -> str:
    return f"arn:aws:lambda:eu-west-1:123456789012:function:{function}"


def placeholders(machine: str) -> set[str]:
    """The names that Terraform has to replace."""
    return set(_PLACEHOLDER.findall(definition(machine)))


def render(machine: str) -> str:
    # string.Template would turn the `$$` of `$$.Execution.Name` into one `$`; Terraform's templatefile does not.
    asl = definition(machine).replace("${partition}", "aws")
    return _PLACEHOLDER.sub(lambda match: function_arn(match[1].removesuffix("_function_arn")), asl)


DEFINITIONS: dict[str, dict[str, Any]] = {machine: json.loads(render(machine)) for machine in MACHINES}
PAYMENT = DEFINITIONS["payment"]

# Of all machines: state names are unique across them.
STATES: dict[str, dict[str, Any]] = {
    name: state for definition in DEFINITIONS.values() for name, state in definition["States"].items()
}
TASKS = {name: state for name, state in STATES.items() if state["Type"] == "Task"}


def successors(state: dict[str, Any]) -> Iterator[str]:
    """Every state that may come next, whatever happens."""
    for way in [state, *state.get("Choices", []), *state.get("Catch", [])]:
        yield from (way[key] for key in ("Next", "Default") if key in way)


def function_of(task: dict[str, Any]) -> str:
    return str(task["Parameters"].get("FunctionName", task["Resource"])).rpartition(":")[2]
