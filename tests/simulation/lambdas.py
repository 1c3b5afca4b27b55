"""Simulates Lambda, which runs the product's handlers once, twice, late, partly, or not at all."""

import importlib
import json
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from tests.aws_facts import facts
from tests.simulation.clock import Clock, Task
from tests.simulation.network import Network

TRANSIENT = facts("transient_lambda_errors")


class Reply(NamedTuple):
    """An invocation's result: an answer, or an error's name and message."""

    answer: Any = None
    error: str | None = None
    message: str = ""


class Functions:
    """Invokes handlers by their function's name, and calls `failed_unexpectedly` for errors that a handler should never
    raise."""

    def __init__(
        self,
        clock: Clock,
        network: Network,
        random: Random,
        tell: Callable[[str], None],
        failed_unexpectedly: Callable[[str], None],
    ) -> None:
        self.invoked: list[tuple[str, str]] = []
        self._clock = clock
        self._network = network
        self._random = random
        self._tell = tell
        self._failed_unexpectedly = failed_unexpectedly

    def invoke(self, function: str, payload: str, timeout_seconds: float, answered: Callable[[Reply], None]) -> None:
        """Run the handler in the background. `answered` is called with its answer, if one ever arrives."""
        match self._network.fate("lambda", function):
            case "refused":
                answered(Reply(error="Lambda.TooManyRequestsException"))
            case "request_lost":
                answered(Reply(error=self._random.choice(TRANSIENT)))
            case "answer_lost":
                error = self._random.choice((*TRANSIENT, "Lambda.Unknown"))
                self.run(function, payload, timeout_seconds, lambda reply: answered(Reply(error=error)))
            case "late":
                self._run_later(function, payload, timeout_seconds, answered)
            case "twice":
                self._run_later(function, payload, timeout_seconds, answered)
                self.run(function, payload, timeout_seconds, answered)
            case _:
                self.run(function, payload, timeout_seconds, answered)

    def run(self, function: str, payload: str, timeout_seconds: float, answered: Callable[[Reply], None]) -> None:
        """Run the handler, and let it crash where the weather says so."""
        self.invoked.append((function, payload))

        def work() -> None:
            reply = self._call(function, payload)
            outcome = reply.error or reply.answer.get("status") or reply.answer.get("outcome") or "done"
            self._tell(f"lambda: {function}: {outcome}")
            answered(reply)

        task = self._clock.start(work)
        self._clock.after(timeout_seconds, lambda: self._kill(task, function, "Sandbox.Timedout", answered))
        weather = self._network.weather
        if self._clock.seconds < weather.calm_at and self._random.random() < weather.crash:
            dies_after = 10 ** self._random.uniform(-2.5, 1)
            self._clock.after(dies_after, lambda: self._kill(task, function, "Runtime.ExitError", answered))

    def _run_later(self, function: str, payload: str, timeout: float, answered: Callable[[Reply], None]) -> None:
        self._clock.after(
            self._network.delay("lambda", function), lambda: self.run(function, payload, timeout, answered)
        )

    def _kill(self, task: Task, function: str, error: str, answered: Callable[[Reply], None]) -> None:
        if task.running:
            self._tell(f"lambda: {function}: {error}")
            task.kill()
            answered(Reply(error=error))

    def _call(self, function: str, payload: str) -> Reply:
        handler = importlib.import_module(f"functions.{function}.handler").handler
        try:
            return Reply(json.loads(json.dumps(handler(json.loads(payload), None))))
        except Exception as error:
            name = type(error).__name__
            if name in ("InternalError", "InvalidInput"):
                self._failed_unexpectedly(f"{function} failed with {name}: {error}")
            return Reply(error=name, message=str(error))
