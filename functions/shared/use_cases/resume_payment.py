"""Resume a payment that waits for its customer."""

from functions.shared.ports import CustomerWaits, Executions, Gateways


def resume_payment(
    payment_id: str, *, customer_waits: CustomerWaits, gateways: Gateways, executions: Executions
) -> bool:
    """Resume the payment's execution if the gateway says that its charge does not wait any more. Return whether it was
    resumed.

    The gateway is asked, whoever gave the hint: nothing that comes with the customer's browser is believed. The
    execution then asks for itself. Resuming it again changes nothing. Raises the errors of the ports and the gateway.
    """
    wait = customer_waits.find(payment_id)
    if wait is None:
        return False
    charge = gateways.named(wait.gateway).find(wait.charge_id)
    if charge is None or charge.status == "action_required":
        return False
    task_token = customer_waits.task_token(payment_id)
    if task_token is None:
        return False
    executions.resume(task_token)
    return True
