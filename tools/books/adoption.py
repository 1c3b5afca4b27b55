"""Adopt into the books, at once, what somebody did to a payment's charge at the gateway. The nightly run does the
same."""

from typing import Any

from rich.console import Console

from functions.shared.domain.shapes import is_id
from tools.books.money import money
from tools.deployment.stack import Stack, StackError


def adopt(stack: Stack, payment_id: str, console: Console) -> None:
    """Adopt the gateway's movements and print what changed. Safe to repeat. Raises StackError if nothing can be
    adopted."""
    before = _payment(stack, payment_id)
    if before["status"] in ("processing", "in_doubt"):
        raise StackError(f"The payment is {before['status']}: resolve its outcome first (docs/runbook.md).")
    stack.invoke("resolve", {"payment_id": payment_id, "operation_id": None, "ask_gateway": True})
    after = _payment(stack, payment_id)
    currency = after["currency"]
    operations_before = {operation["operation_id"]: operation for operation in before["operations"]}
    changed = [each for each in after["operations"] if operations_before.get(each["operation_id"]) != each]
    for operation in changed:
        owner = "the gateway's" if operation["source"] == "gateway" else "our"
        error = f" ({operation['error']})" if operation["error"] else ""
        amount = operation["amount_minor"]
        of = "" if amount is None else f" of {money(amount, currency)}"
        console.print(f"{owner} {operation['type']}{of}: {operation['status']}{error}", highlight=False)
    if not changed:
        console.print("The books agree with the gateway.")
    captured, refunded = (money(after[f"{what}_minor"], currency) for what in ("captured", "refunded"))
    console.print(f"{after['status']}: captured {captured}, refunded {refunded}", highlight=False)


def _payment(stack: Stack, payment_id: str) -> dict[str, Any]:
    if not is_id(payment_id):
        raise StackError("This is not a payment's id.")
    payment = stack.payment(payment_id)
    if "error" in payment and "payment_id" not in payment:
        raise StackError("There is no payment with this id.")
    return payment
