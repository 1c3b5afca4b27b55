"""Payments that the ledger does not know (yet), as Step Functions tells of their executions."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from functions.shared.domain.errors import Unavailable
from functions.shared.ports import Execution

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions.client import SFNClient

# Of the request only these are read: the card stays in the execution.
_SHOWN = ("operation", "amount_minor", "currency", "merchant_reference")


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
        request = json.loads(answer["input"])
        stopped = answer.get("stopDate")
        return Execution(
            running=answer["status"] in ("RUNNING", "PENDING_REDRIVE"),
            error=answer.get("error"),
            cause=answer.get("cause"),
            request={name: request[name] for name in _SHOWN if name in request} if isinstance(request, dict) else {},
            started_at=_iso(answer["startDate"]),
            stopped_at=_iso(stopped) if stopped else None,
        )


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
