"""Other ways to look at a payment: links to the AWS console, and shell commands to copy."""

from urllib.parse import quote

from functions.shared.adapters.table.keys import RECORD, payment_pk
from tools.console.payments import Look
from tools.deployment.stack import Stack

_CONSOLES = {"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}


def links(stack: Stack, look: Look) -> list[tuple[str, str]]:
    """Return the name and URL of each AWS console page for the execution and the ledger record, if they exist."""
    partition = stack.state_machine_arn.split(":")[1]
    host = f"https://{stack.region}.{_CONSOLES.get(partition, 'console.aws.amazon.com')}"
    found = []
    if look.execution:
        place = f"#/v2/executions/details/{look.execution['executionArn']}"
        found.append(("Step Functions", f"{host}/states/home?region={stack.region}{place}"))
    if look.record:
        item = f"pk={quote(payment_pk(look.name), safe='')}&sk={RECORD}&table={stack.ledger_table}"
        place = f"#edit-item?itemMode=2&{item}&route=ROUTE_ITEM_EXPLORER"
        found.append(("DynamoDB", f"{host}/dynamodbv2/home?region={stack.region}{place}"))
    return found


def commands(look: Look, stack_file: str | None) -> list[str]:
    """Return the shell commands that show the payment; none if the execution belongs to no payment."""
    if not look.summary:
        return []
    stack = f" STACK={stack_file}" if stack_file else ""
    shown = [f"make inspect PAYMENT={look.name}{stack}"]
    return [*shown, f"make ledger PAYMENT={look.name}{stack}"] if look.record else shown
