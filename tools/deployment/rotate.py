"""Begin a new generation of a key that KMS can't rotate by itself. docs/rotation.md says when, and what follows."""

import json
from enum import StrEnum

from tools.deployment.terraform import Terraform, TerraformError


class Key(StrEnum):
    """A key's purpose; its generations are the Terraform variable `<key>_keys`."""

    SEALING = "sealing"
    TOKEN = "token"  # noqa: S105 # nosec B105


def rotate(terraform: Terraform, key: Key, *, retire: bool = False) -> list[str]:
    """Append a generation, or remove the oldest (`retire`). Returns all generations, oldest first.

    This writes only the environment's keys file; the next deployment applies it. Raises TerraformError.
    """
    variable = f"{key}_keys"
    generations: list[str] = terraform.evaluate(f"var.{variable}")
    newest = generations[-1] if generations else "0"
    if retire and not generations:
        raise TerraformError(f"There is no {key} key.")
    if retire and len(generations) == 1 and key is Key.TOKEN:
        raise TerraformError("There is only one token key. Rotate first, and retire the old one later.")
    if not retire and not newest.isdecimal():
        raise TerraformError(f"{variable} ends in {newest!r}, which has no next. Append a name by hand.")
    generations = generations[1:] if retire else [*generations, str(int(newest) + 1)]
    file = terraform.keys_file
    variables = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(variables | {variable: generations}, indent=2) + "\n")
    return generations
