"""Payments that the ledger does not know (yet), as Step Functions tells of their executions."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from functions.shared.domain.errors import Unavailable
from functions.shared.domain.payment import PaymentRequest
from functions.shared.ports import Execution

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions.client import SFNClient

# Of the request only these are read: the card stays in the execution. One started by hand may hold anything.
_READ = {
    "operation": str,
    "amount_minor": int,
    "currency": str,
    "capture": bool,
    "merchant_reference": str,
    "description": str,
}


class StepFunctionsExecutions:
    """`Executions` by DescribeExecution: an execution's name is its payment's id."""

    def __init__(self, client: "SFNClient", state_machine_arn: str) -> None:
        self._client = client
        self._prefix = state_machine_arn.replace(":stateMachine:", ":execution:")

    def find(self, payment_id: str) -> Execution | None:
        try:
            answer = self._client.describe_execution(executionArn=f"{self._prefix}:{payment_id}")
        except (self._client.exceptions.ExecutionDoesNotExist, self._client.exceptions.InvalidArn):
            return None  # an id that no execution could have makes an ARN that is none
        except ClientError as error:
            raise Unavailable(f"Step Functions: {error.response['Error']['Code']}") from None
        except BotoCoreError as error:
            raise Unavailable(f"Step Functions: {type(error).__name__}") from None
        stopped = answer.get("stopDate")
        return Execution(
            running=answer["status"] in ("RUNNING", "PENDING_REDRIVE"),
            error=answer.get("error"),
            cause=answer.get("cause"),
            request=_request(json.loads(answer["input"])),
            started_at=_iso(answer["startDate"]),
            stopped_at=_iso(stopped) if stopped else None,
        )


def _request(body: object) -> PaymentRequest:
    given = body if isinstance(body, dict) else {}
    return PaymentRequest.from_request(
        {name: given[name] for name, kind in _READ.items() if isinstance(given.get(name), kind)}
    )


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
