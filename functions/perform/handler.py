"""State `Perform`: an operation that was reserved in, what the gateway made of it out."""

from typing import Any

from functions.shared import runtime
from functions.shared.operations import Reserved, perform_operation


@runtime.function("perform", uses=(runtime.gateway,))
def handler(event: runtime.Event) -> dict[str, Any]:
    return perform_operation(Reserved(**event), gateway=runtime.gateway()).to_dict()
