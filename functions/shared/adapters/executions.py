"""Executions as Step Functions shows them, for payments and operations that the ledger does not know (yet), and the
resuming of those that wait."""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, get_args

from functions.shared.adapters.aws_errors import raised_as
from functions.shared.domain.card_number import looks_like_a_card_number
from functions.shared.domain.charge import Initiator, Reason
from functions.shared.domain.errors import ExecutionsUnavailable
from functions.shared.domain.operation import OperationType
from functions.shared.domain.shapes import is_gateway_id, is_token
from functions.shared.domain.times import iso
from functions.shared.ports import Execution, ExecutionSummary

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions.client import SFNClient


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not looks_like_a_card_number(value)


def _are_texts(value: object) -> bool:
    return isinstance(value, dict) and all(_is_text(part) for pair in value.items() for part in pair)


# Only these fields of the request are read, and only if they are valid: the card stays in the execution. The input of
# an execution that was rejected, or started by hand, may hold anything.
_READABLE_FIELDS: dict[str, Callable[[Any], bool]] = {
    "initiator": lambda value: value in get_args(Initiator),
    "reason": lambda value: value in get_args(Reason),
    "token": is_token,
    "operation": lambda value: value in get_args(OperationType),
    "payment_id": is_gateway_id,
    "amount_minor": lambda value: type(value) in (int, float) and 0 < value < 10**12 and value == int(value),
    "currency": lambda value: isinstance(value, str) and bool(re.fullmatch("[A-Z]{3}", value)),
    "capture": lambda value: isinstance(value, bool),
    "merchant_reference": _is_text,
    "description": _is_text,
    "metadata": _are_texts,
    "caller": lambda value: isinstance(value, str) and bool(re.fullmatch("[A-Za-z0-9+=,.@_/:-]{0,1024}", value)),
}


class StepFunctionsExecutions:
    """`Executions` by DescribeExecution, and by the callbacks of tasks that wait for one."""

    def __init__(self, client: "SFNClient", state_machine_arn: str) -> None:
        self._client = client
        self._state_machine_arn = state_machine_arn
        self._prefix = state_machine_arn.replace(":stateMachine:", ":execution:")

    def find(self, name: str) -> Execution | None:
        with raised_as(ExecutionsUnavailable, "Step Functions"):
            try:
                answer = self._client.describe_execution(executionArn=f"{self._prefix}:{name}")
            except (self._client.exceptions.ExecutionDoesNotExist, self._client.exceptions.InvalidArn):
                return None  # an impossible execution name makes an invalid ARN
        return Execution(
            running=answer["status"] in ("RUNNING", "PENDING_REDRIVE"),
            error=_error_name(answer.get("error")),
            cause=_error_name(answer.get("cause")),
            request=_request(answer["input"]),
            started_at=iso(answer["startDate"]),
            stopped_at=_stopped_at(answer),
        )

    def page(self, token: str | None, status: str | None = None) -> tuple[list[ExecutionSummary], str | None]:
        parameters: dict[str, Any] = {"nextToken": token} if token else {}
        parameters |= {"statusFilter": status} if status else {}
        with raised_as(ExecutionsUnavailable, "Step Functions"):
            answer = self._client.list_executions(
                stateMachineArn=self._state_machine_arn, maxResults=1000, **parameters
            )
        executions = [
            ExecutionSummary(
                execution["name"], execution["status"], iso(execution["startDate"]), _stopped_at(execution)
            )
            for execution in answer["executions"]
        ]
        return executions, answer.get("nextToken")

    def resume(self, task_token: str) -> None:
        errors = self._client.exceptions
        with (
            raised_as(ExecutionsUnavailable, "Step Functions"),
            # Nobody waits with this token any more: the task has ended, or its execution.
            suppress(errors.TaskTimedOut, errors.TaskDoesNotExist, errors.InvalidToken),
        ):
            self._client.send_task_success(taskToken=task_token, output="{}")


class StepFunctionsStateMachine:
    """`StateMachine` by StartExecution."""

    def __init__(self, client: "SFNClient", arn: str) -> None:
        """`arn` is the ARN of the state machine, or of a version or an alias of it."""
        self._client = client
        self._arn = arn

    def start(self, name: str, request: Mapping[str, Any]) -> bool:
        with raised_as(ExecutionsUnavailable, "Step Functions"):
            try:
                self._client.start_execution(stateMachineArn=self._arn, name=name, input=json.dumps(request))
            except self._client.exceptions.ExecutionAlreadyExists:
                return False
        return True


def _request(execution_input: str) -> dict[str, Any]:
    try:
        body = json.loads(execution_input)
    except (ValueError, RecursionError):
        body = None
    fields = body if isinstance(body, dict) else {}
    return {
        name: fields[name]
        for name, is_readable in _READABLE_FIELDS.items()
        if name in fields and is_readable(fields[name])
    }


def _error_name(text: str | None) -> str | None:
    """The text, if it is an error name as state machines use it. People who stop an execution may enter any text, which
    is not passed on."""
    return text if text and re.fullmatch("[A-Za-z][A-Za-z0-9_.]{0,79}", text) and _is_text(text) else None


def _stopped_at(execution: Any) -> str | None:
    """The time at which the execution stopped, or None if it has not."""
    return iso(execution["stopDate"]) if execution.get("stopDate") else None
