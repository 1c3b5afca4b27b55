"""Adopt into the books, at once, what somebody did to a payment's charge at the gateway. The nightly run does the
same."""

from typing import Any

from rich.console import Console

from functions.shared.domain.shapes import is_id
from tools.deployment.stack import Stack, StackError


def adopt(stack: Stack, payment_id: str, console: Console) -> None:
    """Adopt the gateway's movements and print what changed. Safe to repeat. Raises StackError if nothing can be
    adopted."""
    before = _payment(stack, payment_id)
    if before["status"] in ("processing", "in_doubt"):
        raise StackError(f"The payment is {before['status']}: resolve its outcome first (docs/runbook.md).")
    answer = stack.invoke("resolve", {"payment_id": payment_id, "operation_id": None, "ask_gateway": True})
    if "errorType" in answer:
        raise StackError(f"{answer['errorType']}: {answer['errorMessage']}")
    after = _payment(stack, payment_id)
    operations_before = {operation["operation_id"]: operation for operation in before["operations"]}
    changed = [each for each in after["operations"] if operations_before.get(each["operation_id"]) != each]
    for operation in changed:
        owner = "the gateway's" if operation["source"] == "gateway" else "our"
        error = f" ({operation['error']})" if operation["error"] else ""
        console.print(f"{owner} {operation['type']} of {operation['amount_minor']:,}: {operation['status']}{error}")
    if not changed:
        console.print("The books agree with the gateway.")
    console.print(
        f"{after['status']}: captured {after['captured_minor']:,}, refunded {after['refunded_minor']:,}"
        f" {after['currency']}"
    )


def _payment(stack: Stack, payment_id: str) -> dict[str, Any]:
    if not is_id(payment_id):
        raise StackError("This is not a payment's id.")
    payment = stack.payment(payment_id)
    if "error" in payment and "payment_id" not in payment:
        raise StackError("There is no payment with this id.")
    return payment
