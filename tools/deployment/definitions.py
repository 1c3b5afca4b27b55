"""The state machines' definitions as Terraform deploys them (terraform/step_functions.tf), but for the functions' ARNs.

In `statemachine/`, the string `"lambda_retries"` in a task's `Retry` stands for the retriers of lambda_retries.json,
which every task has. So a task's own retriers are all that its definition shows.
"""

from pathlib import Path

from tools.deployment.paths import BUILD, STATE_MACHINES

_SUFFIX = ".asl.json"
MACHINES = tuple(sorted(file.name.removesuffix(_SUFFIX) for file in STATE_MACHINES.glob(f"*{_SUFFIX}")))
_LAMBDA_RETRIES = '"lambda_retries"'


def definition(machine: str) -> str:
    """One machine's definition in Amazon States Language, with placeholders `${charge_function_arn}`."""
    retriers = (STATE_MACHINES / "lambda_retries.json").read_text().strip().removeprefix("[").removesuffix("]")
    return (STATE_MACHINES / f"{machine}{_SUFFIX}").read_text().replace(_LAMBDA_RETRIES, retriers.strip())


def write_definitions(folder: Path = BUILD / "statemachine") -> Path:
    """Write every definition into the folder, for tools that read files. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for machine in MACHINES:
        (folder / f"{machine}{_SUFFIX}").write_text(definition(machine))
    return folder
