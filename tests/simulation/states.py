"""Step Functions, as far as the state machines in statemachine/ use it (JSONPath). Unsupported features raise errors.

https://states-language.net/spec.html
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any, Literal

from tests.simulation.clock import Clock
from tests.simulation.lambdas import Functions, Reply
from tests.simulation.network import Unknown
from tests.workflow.definition import function_of

Status = Literal["RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]

# A function's own timeout is this much shorter than its Task's (terraform/functions.tf).
TASK_OUTLIVES_FUNCTION_SECONDS = 5
# A Task that waits for a callback outlives its function by far, whose own timeout is this one (terraform/functions.tf).
CALLBACK_FUNCTION_SECONDS = 15

TASK_TOKEN = "task-token-"
"""What every task token begins with."""

_PATH = re.compile(r"\$(\.\w+)*")
_MATH_ADD = re.compile(r"States\.MathAdd\((.+), (-?\d+)\)")
_WAITS_FOR_CALLBACK = ".waitForTaskToken"
_EVERY_STATE = {"Type", "Comment", "Next", "End"}
_FIELDS = {
    "Task": _EVERY_STATE | {"Resource", "Parameters", "TimeoutSeconds", "ResultPath", "OutputPath", "Retry", "Catch"},
    "Choice": _EVERY_STATE | {"Choices", "Default"},
    "Pass": _EVERY_STATE | {"Parameters", "Result", "ResultPath"},
    "Wait": _EVERY_STATE | {"Seconds"},
    "Succeed": _EVERY_STATE,
    "Fail": _EVERY_STATE | {"Error", "Cause", "CausePath"},
}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "StringEquals": lambda left, right: isinstance(left, str) and left == right,
    "NumericEquals": lambda left, right: isinstance(left, int) and left == right,
    "BooleanEquals": lambda left, right: isinstance(left, bool) and left == right,
}


class _Failed(Exception):
    """The execution fails with this error and cause."""


@dataclass
class Machines:
    """Runs executions, and calls `ended` after each, however it ended."""

    clock: Clock
    functions: Functions
    random: Random
    tell: Callable[[str], None]
    ended: Callable[["Execution"], None]
    gave_up: Callable[["Execution"], None] = lambda execution: None
    """Is called with an execution that waits for a callback whose time is over."""
    waiting: dict[str, Callable[[], None]] = field(default_factory=dict)
    """How the tasks end that wait for a callback, by task token."""

    def call_back(self, task_token: str) -> bool:
        """Let the task that waits with this token succeed. Return whether one does."""
        if waiting := self.waiting.get(task_token):
            waiting()
        return waiting is not None


class Execution:
    """One execution of a state machine."""

    def __init__(self, machines: Machines, machine: str, definition: dict[str, Any], name: str, request: Any) -> None:
        self.machine = machine
        self.name = name
        self.request = json.dumps(request)
        self.status: Status = "RUNNING"
        self.error: str | None = None
        self.cause: str | None = None
        self.caught: set[str] = set()
        """The states that failed, and whose errors were caught."""
        self.started_at = machines.clock.now()
        self.stopped_at: datetime | None = None
        self.task_token: str | None = None
        """The token with which the execution can be resumed, while it waits for a callback."""
        self.has_waited = False
        """Whether it has waited for a callback."""
        self.succeeded_at: dict[str, datetime] = {}
        """When each Task that has succeeded did so."""
        self._machines = machines
        self._definition = definition
        self._context = {"Execution": {"Name": name, "StartTime": machines.clock.iso(), "Input": request}}
        self._task = machines.clock.start(self._run)
        if "TimeoutSeconds" in definition:
            machines.clock.after(definition["TimeoutSeconds"], lambda: self.stop("TIMED_OUT"))

    def stop(self, status: Literal["ABORTED", "TIMED_OUT"]) -> None:
        """Stop the execution between or within states. A function that runs for it continues."""
        if self.status == "RUNNING":
            self._task.kill()
            self._end(status)

    def _run(self) -> None:
        try:
            self._step_through()
        except _Failed as failed:
            self._end("FAILED", *failed.args)
        else:
            self._end("SUCCEEDED")

    def _end(self, status: Status, error: str | None = None, cause: str | None = None) -> None:
        self.status, self.error, self.cause = status, error, cause
        self.stopped_at = self._machines.clock.now()
        self._machines.tell(f"{self.machine}: {status} {error or ''} {cause or ''}")
        self._machines.ended(self)

    def _step_through(self) -> None:
        name, data = self._definition["StartAt"], json.loads(self.request)
        while name:
            state = self._definition["States"][name]
            if unknown := state.keys() - _FIELDS[state["Type"]]:
                raise Unknown(f"{name} has {unknown}")
            self._machines.tell(f"{self.machine}: {name}")
            data, name = self._step(name, state, data)

    def _step(self, name: str, state: dict[str, Any], data: Any) -> tuple[Any, str | None]:
        """Return the state's output and the next state."""
        match state["Type"]:
            case "Task":
                return self._work(name, state, data)
            case "Choice":
                return data, next((c["Next"] for c in state["Choices"] if self._chosen(c, data)), state["Default"])
            case "Pass":
                result = state["Result"] if "Result" in state else self._parameters(state, data)
                return _put(data, state.get("ResultPath", "$"), result), state["Next"]
            case "Wait":
                self._machines.clock.sleep(state["Seconds"])
                return data, state["Next"]
            case "Fail":
                cause = self._read(state["CausePath"], data) if "CausePath" in state else state.get("Cause")
                raise _Failed(state["Error"], cause)
        return data, None

    def _work(self, name: str, state: dict[str, Any], data: Any) -> tuple[Any, str | None]:
        work = self._wait_for_callback if state["Resource"].endswith(_WAITS_FOR_CALLBACK) else self._invoke
        retried: Counter[int] = Counter()
        while (reply := work(state, data)).error:
            n, retrier = next(
                ((n, r) for n, r in enumerate(state.get("Retry", [])) if _matches(r, reply.error)), (-1, None)
            )
            if retrier and retried[n] < retrier["MaxAttempts"]:
                self._back_off(retrier, retried[n])
                retried[n] += 1
                continue
            for catcher in state.get("Catch", []):
                if _matches(catcher, reply.error):
                    self.caught.add(name)
                    error = {"Error": reply.error, "Cause": json.dumps({"errorMessage": reply.message})}
                    return _put(data, catcher.get("ResultPath", "$"), error), catcher["Next"]
            raise _Failed(reply.error, reply.message)
        self.succeeded_at[name] = self._machines.clock.now()
        data = _put(data, state.get("ResultPath", "$"), reply.answer)
        return self._read(state.get("OutputPath", "$"), data), None if state.get("End") else state["Next"]

    def _invoke(self, state: dict[str, Any], data: Any) -> Reply:
        payload = json.dumps(self._parameters(state, data))
        seconds = state["TimeoutSeconds"] - TASK_OUTLIVES_FUNCTION_SECONDS
        invoke = self._machines.functions.invoke
        return self._first_reply(state, lambda answered: invoke(function_of(state), payload, seconds, answered))

    def _wait_for_callback(self, state: dict[str, Any], data: Any) -> Reply:
        """The callback, or an error of the function that sees to it. Every attempt has a token of its own."""
        waiting, task_token = self._machines.waiting, f"{TASK_TOKEN}{self._machines.random.getrandbits(64):x}"
        self.task_token, self._context["Task"] = task_token, {"Token": task_token}
        payload = json.dumps(self._parameters(state, data)["Payload"])

        def start(answered: Callable[[Reply], None]) -> None:
            def failed(reply: Reply) -> None:
                if reply.error:
                    answered(reply)

            waiting[task_token] = lambda: answered(Reply(answer={}))
            self._machines.functions.invoke(function_of(state), payload, CALLBACK_FUNCTION_SECONDS, failed)

        try:
            reply = self._first_reply(state, start)
            if reply.error == "States.Timeout":
                self._machines.gave_up(self)
            return reply
        finally:
            del waiting[task_token]
            self.task_token, self.has_waited = None, True

    def _first_reply(self, state: dict[str, Any], start: Callable[[Callable[[Reply], None]], None]) -> Reply:
        """The first reply within the Task's timeout to what is started."""
        clock, replies = self._machines.clock, list[Reply]()

        def answered(reply: Reply) -> None:
            replies.append(reply)
            if len(replies) == 1:
                clock.after(0, self._task.resume)

        clock.after(state["TimeoutSeconds"], lambda: None if replies else answered(Reply(error="States.Timeout")))
        start(answered)
        clock.pause()
        return replies[0]

    def _back_off(self, retrier: dict[str, Any], retried: int) -> None:
        if retrier["JitterStrategy"] != "FULL":
            raise Unknown(retrier)
        seconds = retrier["IntervalSeconds"] * retrier["BackoffRate"] ** retried
        self._machines.clock.sleep(self._machines.random.uniform(0, min(seconds, retrier["MaxDelaySeconds"])))

    def _chosen(self, choice: dict[str, Any], data: Any) -> bool:
        ((operator, value),) = ((key, value) for key, value in choice.items() if key not in ("Variable", "Next"))
        if operator not in _COMPARE:
            raise Unknown(operator)
        return _COMPARE[operator](self._read(choice["Variable"], data), value)

    def _parameters(self, state: dict[str, Any], data: Any) -> Any:
        return self._fill(state["Parameters"], data) if "Parameters" in state else data

    def _fill(self, template: Any, data: Any) -> Any:
        if not isinstance(template, dict):
            return template
        return {
            key.removesuffix(".$"): self._read(value, data) if key.endswith(".$") else self._fill(value, data)
            for key, value in template.items()
        }

    def _read(self, path: str, data: Any) -> Any:
        if add := _MATH_ADD.fullmatch(path):
            return self._read(add[1], data) + int(add[2])
        if path.startswith("$$"):
            return self._read(path[1:], self._context)
        if not _PATH.fullmatch(path):
            raise Unknown(path)
        for name in path.split(".")[1:]:
            if not isinstance(data, dict) or name not in data:
                raise _Failed("States.Runtime", f"There is no {path}.")
            data = data[name]
        return data


def _matches(rule: dict[str, Any], error: str) -> bool:
    return error in rule["ErrorEquals"] or "States.ALL" in rule["ErrorEquals"]


def _put(data: Any, path: str | None, result: Any) -> Any:
    """A copy of the data with the result at this path; with no path, the data."""
    if path is None:
        return data
    _, *rest = path.split(".")
    if not rest:
        return result
    if not _PATH.fullmatch(path):
        raise Unknown(path)
    name = rest[0]
    return {**data, name: _put(data.get(name, {}), ".".join(["$", *rest[1:]]), result)}
