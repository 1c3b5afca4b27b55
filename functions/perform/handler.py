"""State `Perform`: takes a reserved operation, and returns the gateway's answer to it."""

from typing import Any

from functions.shared import runtime
from functions.shared.use_cases.perform_operation import Reserved, perform_operation


@runtime.function("perform", uses=(runtime.gateways, runtime.ledger))
def handler(event: runtime.Event) -> dict[str, Any]:
    reserved = Reserved(**event)
    return perform_operation(reserved, gateways=runtime.gateways(), ledger=runtime.ledger()).to_dict()
