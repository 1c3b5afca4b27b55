"""Tasks that wait for a callback (`lambda:invoke.waitForTaskToken`) as on AWS, which MiniStack 1.5.33 lacks.

What AWS does ("Wait for a Callback with Task Token", Step Functions developer guide; SendTaskSuccess, API reference):

- If the function that gets the token fails, so does the task, and its Retry and Catch apply. MiniStack goes on waiting.
- A token whose task has ended, or whose execution has, is answered with TaskTimedOut, and one that never was with
  InvalidToken. An output that is not JSON is InvalidOutput. MiniStack answers TaskDoesNotExist to the first two, and
  takes the last. It also goes on waiting when the execution is stopped.
- The history says how long a task may take (`timeoutInSeconds`, HistoryEvent, API reference), and when the function had
  been called (TaskSubmitted). MiniStack says neither.
- A task waits for TimeoutSeconds. Here this time is scaled by `SFN_WAIT_SCALE`, as MiniStack scales that of Wait and of
  Retry, so that a test need not wait for minutes.
"""

import json
import threading
import time
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, error_response_json, json_response
from ministack.services import stepfunctions

from tools.local.emulator.iam import current_execution

_LOOKS_EVERY_SECONDS = 0.05
"""How soon a task sees that its execution was stopped."""

_closed = AccountRegionScopedDict()
"""The tokens whose tasks have ended."""


def install() -> None:
    stepfunctions._invoke_with_callback = _invoke_with_callback
    stepfunctions._send_task_success = _send_task_success


def _invoke_with_callback(resource: str, parameters: dict[str, Any], token: str, state: dict[str, Any]) -> Any:
    """Call the function, and wait until somebody sends the token."""
    waiting: dict[str, Any] = {"event": threading.Event(), "result": None, "error": None, "heartbeat": None}
    execution = current_execution.get()
    assert execution is not None
    waiting["executionArn"] = execution["executionArn"]
    execution["events"][-1]["taskScheduledEventDetails"]["timeoutInSeconds"] = state.get("TimeoutSeconds")
    stepfunctions._task_tokens[token] = waiting
    try:
        function = stepfunctions._resolve_lambda_function_ref(parameters["FunctionName"], optimized=True)
        stepfunctions._call_lambda(function, parameters.get("Payload", {}))
        submitted = {"resourceType": "lambda", "resource": "invoke.waitForTaskToken"}
        stepfunctions._add_event(execution, "TaskSubmitted", {"taskSubmittedEventDetails": submitted})
        _wait(waiting["event"], state, waiting["executionArn"])
    finally:
        stepfunctions._task_tokens.pop(token, None)
        _closed[token] = True
    if waiting["error"]:
        raise stepfunctions._ExecutionError(waiting["error"]["Error"], waiting["error"]["Cause"])
    return json.loads(waiting["result"])


def _wait(answered: threading.Event, state: dict[str, Any], execution_arn: str) -> None:
    until = time.monotonic() + state.get("TimeoutSeconds", 99_999_999) * stepfunctions._SFN_WAIT_SCALE
    while not answered.wait(_LOOKS_EVERY_SECONDS):
        if not _is_running(execution_arn):
            raise stepfunctions._ExecutionError("States.TaskFailed", "The execution was stopped.")
        if time.monotonic() >= until:
            raise stepfunctions._ExecutionError("States.Timeout", "")


def _is_running(execution_arn: str) -> bool:
    execution = stepfunctions._executions.get(execution_arn)
    return execution is not None and execution["status"] == "RUNNING"


def _send_task_success(data: dict[str, Any]) -> Any:
    token, output = data.get("taskToken"), data.get("output", "")
    try:
        json.loads(output)
    except ValueError:
        return error_response_json("InvalidOutput", "Invalid output")
    waiting = stepfunctions._task_tokens.get(token)
    if waiting is None or waiting["event"].is_set() or not _is_running(waiting["executionArn"]):
        was_there = waiting is not None or _closed.get(token)
        name, message = ("TaskTimedOut", "Task Timed Out") if was_there else ("InvalidToken", "Invalid Token")
        return error_response_json(name, f"{message}: 'Provided task does not exist anymore'")
    waiting["result"] = output
    waiting["event"].set()
    return json_response({})
