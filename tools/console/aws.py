"""Other ways to look at a payment: links to the AWS console, and shell commands to copy."""

from urllib.parse import quote

from functions.shared.adapters.table.keys import RECORD, payment_pk
from tools.console.payments import PaymentDetails
from tools.deployment.stack import Stack

_CONSOLES = {"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}


def links(stack: Stack, details: PaymentDetails) -> list[tuple[str, str]]:
    """Return the name and URL of each AWS console page for the execution and the ledger record, if they exist."""
    partition = stack.state_machine_arn.split(":")[1]
    host = f"https://{stack.region}.{_CONSOLES.get(partition, 'console.aws.amazon.com')}"
    pages = []
    if details.execution:
        place = f"#/v2/executions/details/{details.execution['executionArn']}"
        pages.append(("Step Functions", f"{host}/states/home?region={stack.region}{place}"))
    if details.record:
        item = f"pk={quote(payment_pk(details.name), safe='')}&sk={RECORD}&table={stack.ledger_table}"
        place = f"#edit-item?itemMode=2&{item}&route=ROUTE_ITEM_EXPLORER"
        pages.append(("DynamoDB", f"{host}/dynamodbv2/home?region={stack.region}{place}"))
    return pages


def commands(details: PaymentDetails, stack_file: str | None) -> list[str]:
    """Return the shell commands that show the payment; none if the execution belongs to no payment."""
    if not details.summary:
        return []
    stack = f" STACK={stack_file}" if stack_file else ""
    lines = [f"make inspect PAYMENT={details.name}{stack}"]
    return [*lines, f"make ledger PAYMENT={details.name}{stack}"] if details.record else lines
