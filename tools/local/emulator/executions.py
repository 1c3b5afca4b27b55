"""Starting executions as AWS does, Retry's delays, and tracing, which MiniStack 1.5.33 lacks.

What AWS does (Step Functions API reference, StartExecution; "Handling errors", developer guide):

- A name must have 1 to 80 characters and none of those in `_FORBIDDEN`, else the call fails with InvalidName. The input
  must be JSON (InvalidExecutionInput) of at most 262,144 bytes of UTF-8 (ValidationException).
- For a STANDARD state machine, the same name with the same input returns the first answer again while that execution
  runs. Another input, or an execution that has ended, gives ExecutionAlreadyExists.
- An execution started by an alias runs one of the alias's versions, chosen at random by weight; one started by a
  version runs that version. It keeps the version until its end ("State machine deployments with versions and aliases",
  developer guide). MiniStack always runs the newest definition.
- StartSyncExecution runs EXPRESS state machines only, and answers when the execution has ended, with 200 however it
  ended. Executions of one name run beside each other, and Step Functions keeps no history of them
  (`tests/aws_facts/synchronous_executions.yaml`).
- An error's `__type` starts with its service's namespace (measured on AWS by others: `com.amazonaws.swf.service.
  v2.model#InvalidName`), so a mapping template must not compare the whole string.
- A stopped execution retries nothing, and stays ABORTED. MiniStack shows it as FAILED once its task fails.
- A Retry waits at most MaxDelaySeconds; with JitterStrategy FULL it waits a random time up to its delay.
- DescribeExecution and ListExecutions are eventually consistent: they "may not reflect very recent updates and changes"
  (API reference). Here they show executions as they were `SFN_SEEN_AFTER_SECONDS` ago, an environment variable that
  defaults to 0.

Unlike AWS, MiniStack also sleeps 0.15 s before each execution, and drops `tracingConfiguration`.
"""

import contextvars
import functools
import json
import os
import random
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import FunctionType
from typing import Any

from ministack.core.responses import (
    AccountRegionScopedDict,
    error_response_json,
    get_account_id,
    get_region,
    json_response,
)
from ministack.services import stepfunctions

from functions.shared.domain.times import now
from tools.local.emulator.iam import current_execution

INPUT_LIMIT_BYTES = 262_144
_ERROR_NAMESPACE = "com.amazonaws.swf.service.v2.model"
_VALIDATION_NAMESPACE = "com.amazon.coral.validate"
_FORBIDDEN = re.compile(r"""[\s<>{}\[\]?*"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]""")
_START_DELAY_SECONDS = 0.15
_STARTED_BY = ("stateMachineVersionArn", "stateMachineAliasArn")
_SYNC_ANSWER = ("executionArn", "stateMachineArn", "name", "startDate", "stopDate", "status", "input")


_version: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar("state_machine_version", default=None)
"""The version that the current thread's execution runs, or None for the state machine's newest definition."""


def install() -> None:
    """Add the checks to MiniStack's StartExecution, the delays to its retries, and the rest of what it lacks."""
    start_execution = stepfunctions._start_execution
    executions = DelayedExecutions(stepfunctions._executions, float(os.environ.get("SFN_SEEN_AFTER_SECONDS", "0")))
    describe_execution = _with_executions(stepfunctions._describe_execution, executions)
    find_matching_retrier = stepfunctions._find_matching_retrier
    fail_execution = stepfunctions._fail_execution
    scaled_sleep = stepfunctions._scaled_sleep

    @functools.wraps(start_execution)
    def start(data: dict[str, Any]) -> Any:
        return _refusal(data) or _answer_for_used_name(data) or start_version(data)

    def start_version(data: dict[str, Any]) -> Any:
        arn = data.get("stateMachineArn")
        version = _chosen_version(arn)
        # The execution's thread starts with a copy of this context.
        token = _version.set(version)
        try:
            answer = start_execution(data)
        finally:
            _version.reset(token)
        execution = stepfunctions._executions.get(json.loads(answer[2]).get("executionArn"))
        if execution is not None and version is not None:
            execution["stateMachineVersionArn"] = version["stateMachineVersionArn"]
            execution["stateMachineAliasArn"] = arn if arn in stepfunctions._state_machine_aliases else None
        return answer

    @functools.wraps(describe_execution)
    def describe(data: dict[str, Any]) -> Any:
        status, headers, body = describe_execution(data)
        execution = executions.get(data.get("executionArn")) or {}
        started_by = {name: execution[name] for name in _STARTED_BY if execution.get(name)}
        return status, headers, json.dumps(json.loads(body) | started_by).encode()

    @functools.wraps(find_matching_retrier)
    def find(retriers: list[dict[str, Any]], error: str, counts: dict[int, int]) -> Any:
        if _was_stopped():
            return None, None
        retrier, index = find_matching_retrier(retriers, error, counts)
        if retrier is not None:
            delay = retry_delay_seconds(retrier, counts.get(index, 0))
            retrier = {**retrier, "IntervalSeconds": delay, "BackoffRate": 1}
        return retrier, index

    @functools.wraps(scaled_sleep)
    def sleep(seconds: float) -> None:
        scaled_sleep(seconds)
        if _was_stopped():
            raise stepfunctions._ExecutionError("States.TaskFailed", "The execution was stopped.")

    @functools.wraps(fail_execution)
    def fail(execution: dict[str, Any], error: str, cause: str) -> None:
        if execution["status"] == "RUNNING":
            fail_execution(execution, error, cause)

    stepfunctions._fail_execution = fail
    stepfunctions._scaled_sleep = sleep
    stepfunctions._start_execution = start
    stepfunctions._start_sync_execution = _start_sync
    stepfunctions._describe_execution = describe
    stepfunctions._list_executions = _with_executions(stepfunctions._list_executions, executions)
    stepfunctions._state_machines.__class__ = _StateMachines
    stepfunctions._find_matching_retrier = find
    for name in ("_create_state_machine", "_update_state_machine"):
        setattr(stepfunctions, name, _with_tracing(getattr(stepfunctions, name)))
    _start_at_once()


def _was_stopped() -> bool:
    execution = current_execution.get()
    return execution is not None and execution["status"] != "RUNNING"


class DelayedExecutions:
    """Executions by ARN as they were some seconds ago, with those methods of a dict that MiniStack's reads use."""

    def __init__(self, executions: Any, seconds: float) -> None:
        self._executions = executions
        self._lag = timedelta(seconds=seconds)

    def get(self, arn: object) -> dict[str, Any] | None:
        execution = self._executions.get(arn)
        return self._past(execution) if execution else None

    def values(self) -> Iterator[dict[str, Any]]:
        return filter(None, map(self._past, list(self._executions.values())))

    def _past(self, execution: dict[str, Any]) -> dict[str, Any] | None:
        seen_until = datetime.now(UTC) - self._lag
        if datetime.fromisoformat(execution["startDate"]) > seen_until:
            return None
        stopped = execution.get("stopDate")
        if stopped and datetime.fromisoformat(stopped) > seen_until:
            return execution | {"status": "RUNNING", "stopDate": None, "output": None, "error": None, "cause": None}
        return execution


def _with_executions(
    read: Callable[[dict[str, Any]], Any], executions: DelayedExecutions
) -> Callable[[dict[str, Any]], Any]:
    """Return a copy of a MiniStack function that reads these executions instead of its own."""
    return FunctionType(read.__code__, {**read.__globals__, "_executions": executions}, read.__name__)


class _StateMachines(AccountRegionScopedDict):  # type: ignore[misc]
    """MiniStack's state machines. In the thread of an execution by a version, its machine has that version's definition
    and role.
    """

    __slots__ = ()

    def get(self, arn: Any, default: Any = None) -> Any:
        machine, version = super().get(arn, default), _version.get()
        if machine is None or version is None or version["stateMachineArn"] != arn:
            return machine
        return machine | {name: version[name] for name in ("definition", "roleArn")}


def _chosen_version(arn: object) -> dict[str, Any] | None:
    """Return the version that an execution started by this ARN runs, or None for the newest definition."""
    alias = stepfunctions._state_machine_aliases.get(arn)
    if alias:
        shares = alias["routingConfiguration"]
        weights = [share["weight"] for share in shares]
        arn = random.choices(shares, weights)[0]["stateMachineVersionArn"]  # noqa: S311 # nosec B311
    version: dict[str, Any] | None = stepfunctions._state_machine_versions.get(arn)
    return version


def retry_delay_seconds(retrier: dict[str, Any], retries_made: int) -> float:
    """Return how long a Retry entry waits before its next attempt."""
    delay = float(retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** retries_made)
    delay = min(delay, retrier.get("MaxDelaySeconds", delay))
    return random.uniform(0, delay) if retrier.get("JitterStrategy") == "FULL" else delay  # noqa: S311 # nosec B311


def _with_tracing(store: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    @functools.wraps(store)
    def keep(data: dict[str, Any]) -> Any:
        answer = store(data)
        arn = data.get("stateMachineArn") or json.loads(answer[2]).get("stateMachineArn")
        machine = stepfunctions._state_machines.get(arn)
        if machine is not None and "tracingConfiguration" in data:
            machine["tracingConfiguration"] = data["tracingConfiguration"]
        return answer

    return keep


def _refusal(data: dict[str, Any]) -> Any:
    """Return the error for an invalid name or input, or None."""
    name, text = data.get("name"), data.get("input", "{}")
    if name is not None and (not 1 <= len(name) <= 80 or _FORBIDDEN.search(name)):
        return error_response_json(f"{_ERROR_NAMESPACE}#InvalidName", f"Invalid Name: '{name}'")
    try:
        size = len(text.encode())
        json.loads(text)
    except (ValueError, RecursionError):  # also lone surrogates, which are not UTF-8
        # AWS quotes any input, which might hold a card number. Quote only a word such as our templates write.
        quoted = f": Unrecognized token '{text}'" if re.fullmatch("[a-z_]{1,64}", text) else ""
        return error_response_json(
            f"{_ERROR_NAMESPACE}#InvalidExecutionInput", f"Invalid State Machine Execution Input{quoted}"
        )
    if size > INPUT_LIMIT_BYTES:
        return error_response_json(
            f"{_VALIDATION_NAMESPACE}#ValidationException",
            "1 validation error detected: Value at 'input' failed to satisfy "
            f"constraint: Member must have length less than or equal to {INPUT_LIMIT_BYTES}",
        )
    return None


def _answer_for_used_name(data: dict[str, Any]) -> Any:
    """Return the answer for a name that is already in use, or None."""
    arn = stepfunctions._resolve_state_machine_arn(data.get("stateMachineArn", ""))
    machine = stepfunctions._state_machines.get(arn) if arn else None
    if machine is None or not data.get("name"):
        return None
    execution_arn = f"arn:aws:states:{get_region()}:{get_account_id()}:execution:{machine['name']}:{data['name']}"
    execution = stepfunctions._executions.get(execution_arn)
    if execution is None:
        return None
    standard = machine.get("type", "STANDARD") == "STANDARD"
    if standard and execution["status"] == "RUNNING" and execution["input"] == data.get("input", "{}"):
        return json_response({"executionArn": execution_arn, "startDate": execution["startDate"]})
    return error_response_json(
        f"{_ERROR_NAMESPACE}#ExecutionAlreadyExists", f"Execution Already Exists: '{execution_arn}'"
    )


def _start_sync(data: dict[str, Any]) -> Any:
    """Run an execution to its end. MiniStack's own knows no versions, keeps it, and lets two of one name collide."""
    if refusal := _refusal(data):
        return refusal
    arn = data.get("stateMachineArn", "")
    machine_arn = stepfunctions._resolve_state_machine_arn(arn)
    machine = stepfunctions._state_machines.get(machine_arn) if machine_arn else None
    if machine is None:
        message = f"State Machine Does Not Exist: '{arn}'"
        return error_response_json(f"{_ERROR_NAMESPACE}#StateMachineDoesNotExist", message)
    if machine.get("type", "STANDARD") != "EXPRESS":
        message = "This operation is not supported by this type of state machine"
        return error_response_json(f"{_ERROR_NAMESPACE}#StateMachineTypeNotSupported", message)
    name, text = data.get("name") or str(uuid.uuid4()), data.get("input", "{}")
    region, account = get_region(), get_account_id()
    execution_arn = f"arn:aws:states:{region}:{account}:express:{machine['name']}:{name}:{uuid.uuid4()}"
    execution = {
        "executionArn": execution_arn,
        "stateMachineArn": machine_arn,
        "name": name,
        "status": "RUNNING",
        "startDate": now(),
        "stopDate": None,
        "input": text,
        "output": None,
        "testCase": "",
        "mockAttempts": {},
        "events": [],
        "sync": True,  # EventBridge gets no events of it
    }
    stepfunctions._executions[execution_arn] = execution
    token = _version.set(_chosen_version(arn))
    try:
        stepfunctions._run_execution(execution_arn)
    finally:
        _version.reset(token)
        del stepfunctions._executions[execution_arn]
    ended = {name: execution[name] for name in _SYNC_ANSWER}
    result = ("output",) if execution["status"] == "SUCCEEDED" else ("error", "cause")
    return json_response(ended | {name: execution.get(name) for name in result})


def _start_at_once() -> None:
    code = stepfunctions._run_execution.__code__
    if _START_DELAY_SECONDS not in code.co_consts:
        raise RuntimeError("MiniStack's delay before an execution is not where it was")
    constants = tuple(0 if constant == _START_DELAY_SECONDS else constant for constant in code.co_consts)
    stepfunctions._run_execution.__code__ = code.replace(co_consts=constants)
