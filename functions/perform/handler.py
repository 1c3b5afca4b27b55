"""State `Perform`: an operation that was reserved in, what the gateway made of it out."""

from dataclasses import asdict
from typing import Any

from functions.shared import runtime
from functions.shared.operations import Reserved, perform_operation


@runtime.function("perform", uses=(runtime.gateway, runtime.ledger))
def handler(event: runtime.Event) -> dict[str, Any]:
    return asdict(perform_operation(Reserved(**event), gateway=runtime.gateway(), ledger=runtime.ledger()))
