"""Steps that many stack tests share."""

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from typer.testing import CliRunner

from functions.shared.adapters.table.keys import FIRST_POSTING, card_key, payment_pk
from tools.cli.__main__ import app
from tools.deployment.polling import has_ended, wait_for
from tools.deployment.stack import Stack, new_payment_id, payment_or_operation
from tools.trials.replay import clear_faults, set_fault

# As on AWS, information about executions is slightly out of date.
SEEN_AFTER_SECONDS = 0.4

CARD_DATA = {"card_number": "4242424242424242", "expiry_date": "12/30", "card_holder": "John Doe"}
PAYMENT = {"amount_minor": 1999, "currency": "USD", "card_data": CARD_DATA}


def payments(stack_file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command `payments`, in this process: to start one of its own takes longer than most commands."""
    command = [*arguments, "--stack", str(stack_file)]
    result = CliRunner().invoke(app, command)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return subprocess.CompletedProcess(command, result.exit_code, result.stdout, result.stderr)


@dataclass(frozen=True, slots=True)
class Driver:
    stack: Stack

    def place(self, payment_id: str) -> str:
        """The payment's path, as in its links."""
        return f"{urlsplit(self.stack.api_url).path}/payments/{payment_id}"

    def pay(self, payment_id: str | None = None, **changes: Any) -> tuple[str, requests.Response]:
        """POST a payment. A change of None removes the field."""
        body = {name: value for name, value in (PAYMENT | changes).items() if value is not None}
        return self.post("/payments", body, payment_id)

    def post(self, path: str, body: Any, payment_id: str | None = None) -> tuple[str, requests.Response]:
        payment_id = payment_id or new_payment_id()
        return payment_id, self.stack.call("POST", path, body, {"Idempotency-Key": payment_id})

    def paid(self, **changes: Any) -> dict[str, Any]:
        """Return the payment once it is no longer processing."""
        payment_id, answer = self.pay(**changes)
        assert answer.status_code == 202, answer.text
        return self.ended(payment_id)

    def ended(self, payment_id: str) -> dict[str, Any]:
        return self.stack.follow(payment_id, timeout_seconds=120)

    def until(self, payment_id: str, *statuses: str, within_seconds: float = 60) -> dict[str, Any]:
        """Return the payment once it has one of these statuses."""
        payment = wait_for(
            lambda: self.stack.payment(payment_id),
            within_seconds,
            pause_seconds=1.0,
            until=lambda payment: payment["status"] in statuses,
        )
        assert payment["status"] in statuses, payment
        return payment

    def operation(
        self,
        payment_id: str,
        operation_id: str,
        until: Sequence[str] = ("succeeded", "rejected", "in_doubt"),
        pause_seconds: float = 1.0,
    ) -> dict[str, Any]:
        """Return the operation as the payment shows it, once it has one of these statuses."""
        found = wait_for(
            lambda: dict(payment_or_operation(self.stack.payment(payment_id), operation_id)),
            120,
            pause_seconds,
            until=lambda operation: operation.get("status") in until,
        )
        assert found.get("status") in until, found
        return found

    def operation_arn(self, operation_id: str) -> str:
        return self.stack.execution_arn(operation_id, "operation")

    def wait_for_execution(self, payment_id: str) -> dict[str, Any]:
        """Return the execution once it has ended, which is a moment after the payment's end is recorded."""
        return self._wait_for_end(self.stack.execution_arn(payment_id))

    def wait_for_operation_execution(self, operation_id: str) -> dict[str, Any]:
        return self._wait_for_end(self.operation_arn(operation_id))

    def _wait_for_end(self, execution_arn: str) -> dict[str, Any]:
        execution = wait_for(lambda: self.stack.describe_execution(execution_arn), 60, until=has_ended)
        assert has_ended(execution)
        return execution

    def stop_operation(self, operation_id: str) -> None:
        """Stop the payment's execution while the function waits for the gateway."""
        states, arn = self.stack.client("stepfunctions"), self.operation_arn(operation_id)
        assert wait_for(
            lambda: "Perform" in str(states.get_execution_history(executionArn=arn)["events"]), 20, pause_seconds=0.02
        )
        states.stop_execution(executionArn=arn)

    def set_fault(self, payment_id: str, operation: str, fault: str, **more: Any) -> None:
        set_fault(self.stack, {"operation": operation, "fault": fault, "reference": payment_id, **more})

    def clear_faults(self) -> None:
        clear_faults(self.stack)

    def charges(self, payment_id: str) -> list[dict[str, Any]]:
        """The gateways' charges with this reference."""
        books = [sandbox.call("GET", "/sandbox/charges").json() for sandbox in self.stack.sandboxes.values()]
        return [charge for book in books for charge in book["charges"] if charge["reference"] == payment_id]

    def payment_items(self, payment_id: str) -> dict[str, dict[str, Any]]:
        """The raw items of a payment, by sort key."""
        return self.items(payment_pk(payment_id))

    def card_item(self, token: str) -> dict[str, Any]:
        """The raw item of a stored card; empty if there is none."""
        key = card_key(token)
        return self.items(key["pk"]).get(key["sk"], {})

    def items(self, partition: str) -> dict[str, dict[str, Any]]:
        """The raw items with this partition key, by sort key."""
        answer = self.stack.client("dynamodb").query(
            TableName=self.stack.table_of(partition),
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": partition}},
            ConsistentRead=True,
        )
        return {item["sk"]["S"]: item for item in answer["Items"]}

    def account_totals(self, payment_id: str) -> dict[str, int]:
        """Debits minus credits of each account, over the payment's posting items."""
        totals: dict[str, int] = {}
        for sort_key, item in self.payment_items(payment_id).items():
            if sort_key.startswith(FIRST_POSTING):
                sign = 1 if item["direction"]["S"] == "debit" else -1
                account = item["account"]["S"]
                totals[account] = totals.get(account, 0) + sign * int(item["amount_minor"]["N"])
        return totals

    def execution(self, payment_id: str) -> dict[str, Any] | None:
        states = self.stack.client("stepfunctions")
        arn = self.stack.execution_arn(payment_id)
        try:
            states.get_execution_history(executionArn=arn, maxResults=1)  # which is never out of date
        except states.exceptions.ExecutionDoesNotExist:
            return None
        return self.stack.describe_execution(arn)

    def executions(self, **which: str) -> set[str]:
        """The names of all executions of payments and operations so far, or of those with a `statusFilter`."""
        time.sleep(SEEN_AFTER_SECONDS)
        pages = self.stack.client("stepfunctions").get_paginator("list_executions")
        arns = (self.stack.machine_arn("payment"), self.stack.machine_arn("operation"))
        found = (page for arn in arns for page in pages.paginate(stateMachineArn=arn, **which))
        return {execution["name"] for page in found for execution in page["executions"]}

    def start_by_hand(self, request: Any) -> str:
        """Start an execution without the API. Return its name, which is the payment's id."""
        payment_id = new_payment_id()
        self.stack.client("stepfunctions").start_execution(
            stateMachineArn=self.stack.live_arn("payment"), name=payment_id, input=json.dumps(request)
        )
        return payment_id

    def states(self, payment_id: str) -> list[str]:
        """The states that the payment passed through."""
        arn = self.stack.execution_arn(payment_id)
        pages = self.stack.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
        events = [event for page in pages for event in page["events"]]
        return [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]
