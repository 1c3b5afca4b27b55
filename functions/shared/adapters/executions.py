"""What the ledger does not know (yet), as Step Functions tells of the executions."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from functions.shared.domain.errors import ExecutionsUnavailable
from functions.shared.ports import Execution, ExecutionSummary

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions.client import SFNClient

# Of the request only these are read: the card stays in the execution. One started by hand may hold anything.
_READ = {
    "operation": str,
    "payment_id": str,
    "amount_minor": int,
    "currency": str,
    "capture": bool,
    "merchant_reference": str,
    "description": str,
}


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise ExecutionsUnavailable(f"Step Functions: {error.response['Error']['Code']}") from None
    except BotoCoreError as error:
        raise ExecutionsUnavailable(f"Step Functions: {type(error).__name__}") from None


class StepFunctionsExecutions:
    """`Executions` by DescribeExecution."""

    def __init__(self, client: "SFNClient", state_machine_arn: str) -> None:
        self._client = client
        self._state_machine_arn = state_machine_arn
        self._prefix = state_machine_arn.replace(":stateMachine:", ":execution:")

    def find(self, name: str) -> Execution | None:
        with _unavailable():
            try:
                answer = self._client.describe_execution(executionArn=f"{self._prefix}:{name}")
            except (self._client.exceptions.ExecutionDoesNotExist, self._client.exceptions.InvalidArn):
                return None  # an id that no execution could have makes an ARN that is none
        return Execution(
            running=answer["status"] in ("RUNNING", "PENDING_REDRIVE"),
            error=answer.get("error"),
            cause=answer.get("cause"),
            request=_request(json.loads(answer["input"])),
            started_at=_iso(answer["startDate"]),
            stopped_at=_stopped_at(answer),
        )

    def page(self, token: str | None, status: str | None = None) -> tuple[list[ExecutionSummary], str | None]:
        more: dict[str, Any] = {"nextToken": token} if token else {}
        more |= {"statusFilter": status} if status else {}
        with _unavailable():
            answer = self._client.list_executions(stateMachineArn=self._state_machine_arn, maxResults=1000, **more)
        found = [
            ExecutionSummary(
                execution["name"], execution["status"], _iso(execution["startDate"]), _stopped_at(execution)
            )
            for execution in answer["executions"]
        ]
        return found, answer.get("nextToken")


class StepFunctionsStateMachine:
    """`StateMachine` by StartExecution."""

    def __init__(self, client: "SFNClient", arn: str) -> None:
        """`arn` is the state machine's own, or that of a version or an alias."""
        self._client = client
        self._arn = arn

    def start(self, name: str, request: Mapping[str, Any]) -> bool:
        with _unavailable():
            try:
                self._client.start_execution(stateMachineArn=self._arn, name=name, input=json.dumps(request))
            except self._client.exceptions.ExecutionAlreadyExists:
                return False
        return True


def _request(body: object) -> dict[str, Any]:
    given = body if isinstance(body, dict) else {}
    return {name: given[name] for name, kind in _READ.items() if isinstance(given.get(name), kind)}


def _stopped_at(execution: Any) -> str | None:
    """When it stopped, if it has."""
    return _iso(execution["stopDate"]) if execution.get("stopDate") else None


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
