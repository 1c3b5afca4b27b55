"""The state machines' definitions as Terraform deploys them (terraform/step_functions.tf), but for the functions' ARNs.

In `statemachine/`, the string `"lambda_retries"` in a task's `Retry` stands for the retriers of lambda_retries.json,
so that a task's own retriers are all that its definition shows. `"customer_timeout_seconds"` stands for the number of
seconds in the variable `customer_timeout_minutes`, here for its default.
"""

from pathlib import Path

from tools.deployment.paths import BUILD, STATE_MACHINES

_SUFFIX = ".asl.json"
MACHINES = tuple(sorted(file.name.removesuffix(_SUFFIX) for file in STATE_MACHINES.glob(f"*{_SUFFIX}")))
_LAMBDA_RETRIES = '"lambda_retries"'
_CUSTOMER_TIMEOUT_SECONDS = '"customer_timeout_seconds"'
CUSTOMER_TIMEOUT_MINUTES = 15
"""The default of the variable `customer_timeout_minutes`."""


def definition(machine: str) -> str:
    """One machine's definition in Amazon States Language, with placeholders `${charge_function_arn}`
    and `${partition}`."""
    retriers = (STATE_MACHINES / "lambda_retries.json").read_text().strip().removeprefix("[").removesuffix("]")
    asl = (STATE_MACHINES / f"{machine}{_SUFFIX}").read_text().replace(_LAMBDA_RETRIES, retriers.strip())
    return asl.replace(_CUSTOMER_TIMEOUT_SECONDS, str(60 * CUSTOMER_TIMEOUT_MINUTES))


def write_definitions() -> Path:
    """Write every definition into a folder, for tools that read files. Returns the folder."""
    folder = BUILD / "statemachine"
    folder.mkdir(parents=True, exist_ok=True)
    for machine in MACHINES:
        (folder / f"{machine}{_SUFFIX}").write_text(definition(machine))
    return folder
