"""A stack on a mocked account: the ledger's table, and a state machine whose input decides how it ends."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pytest

from functions.shared.adapters.table import keys
from functions.shared.domain.ledger import JournalEntry
from functions.shared.domain.payment import Payment
from tests.mocked_aws import REGION, ROLE_ARN, TABLE, MockedAws, mocked_aws, new_id
from tools.console import records
from tools.console.payments import Payments
from tools.deployment.polling import has_ended, wait_for
from tools.deployment.stack import Gateway, Stack

MACHINE = {
    "StartAt": "HowToEnd",
    "States": {
        "HowToEnd": {
            "Type": "Choice",
            "Choices": [
                {"Variable": "$.end", "StringEquals": "rejected", "Next": "PaymentRejected"},
                {"Variable": "$.end", "StringEquals": "failed", "Next": "Failed"},
                {"Variable": "$.end", "StringEquals": "running", "Next": "Wait"},
                {"Variable": "$.end", "StringEquals": "asked", "Next": "AwaitCustomer"},
            ],
            "Default": "Done",
        },
        "Wait": {"Type": "Wait", "Seconds": 3600, "Next": "Done"},
        "AwaitCustomer": {"Type": "Wait", "Seconds": 3600, "Next": "Done"},
        "Done": {"Type": "Succeed"},
        "PaymentRejected": {"Type": "Fail", "Error": "PaymentRejected", "Cause": "ExpiredCard"},
        "Failed": {"Type": "Fail", "Error": "States.Runtime", "Cause": "nobody planned it"},
    },
}
RESOLVE = {
    "StartAt": "Resolve",
    "States": {
        "Resolve": {"Type": "Pass", "Next": "WaitAnHour"},
        "WaitAnHour": {"Type": "Wait", "Seconds": 3600, "End": True},
    },
}
DEADLINE_SECONDS = 10
SHARDS = 4


@dataclass(frozen=True)
class Bench:
    """A stack, and payments in it."""

    aws: MockedAws
    stack: Stack
    payments: Payments

    def run(self, payment_id: str | None = None, end: str = "done", **request: Any) -> str:
        """Start an execution that ends like this, or keeps running. Returns its payment's id."""
        payment_id = payment_id or new_id()
        body = {"amount_minor": 1999, "currency": "USD", "end": end} | request
        arn = self.aws.stepfunctions.start_execution(
            stateMachineArn=self.stack.state_machine_arn, name=payment_id, input=json.dumps(body)
        )["executionArn"]
        if end not in ("running", "asked"):
            execution = wait_for(
                lambda: self.aws.stepfunctions.describe_execution(executionArn=arn),
                DEADLINE_SECONDS,
                0.01,
                until=has_ended,
            )
            assert has_ended(execution), "The execution does not end."
        return payment_id

    def record(self, payment: Payment, *entries: JournalEntry) -> None:
        self.aws.ledger().record(*payment.post(*entries))

    def put(self, **item: Any) -> None:
        self._table.put_item(Item=item)

    @cached_property
    def _table(self) -> Any:
        return self.stack.resource("dynamodb").Table(TABLE)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with mocked_aws() as aws, pytest.MonkeyPatch.context() as patch:
        # moto's queries are slow.
        for module, indexes in ((keys, ("ACCOUNT", "DAY", "DOUBT", "STATUS")), (records, ("ACCOUNT", "DOUBT"))):
            for index in indexes:
                patch.setattr(module, f"{index}_SHARDS", SHARDS)
        resolve, arn = (
            aws.stepfunctions.create_state_machine(
                name=f"payments-test-{name}", definition=json.dumps(definition), roleArn=ROLE_ARN
            )["stateMachineArn"]
            for name, definition in (("resolve", RESOLVE), ("payment", MACHINE))
        )
        stack = Stack("http://api", REGION, arn, TABLE, "/aws/lambda/p-", access_key_id="AK", secret_access_key="s")
        stack = replace(stack, gateways={"sparkle": Gateway("https://sparkle.example")})
        assert stack.machine_arn("resolve") == resolve
        yield Bench(aws, stack, Payments(stack))
