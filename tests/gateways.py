"""What deployed functions know of the gateways."""

import json
from collections.abc import Mapping
from typing import Any


def changed_gateways(environment: Mapping[str, str], **changes: Any) -> dict[str, str]:
    """The variable with a function's gateways, each with these changes; nothing if the function calls none."""
    gateways = json.loads(environment.get("GATEWAYS", "{}"))
    changed = {name: gateway | changes for name, gateway in gateways.items()}
    return {"GATEWAYS": json.dumps(changed)} if changed else {}
