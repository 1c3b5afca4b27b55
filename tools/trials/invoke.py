"""Run one function of a stack on one event, and after it those that must follow.

A charge that nobody records is money that no book knows, and a refund that is reserved and never performed holds the
payment. In a state machine another function comes next, so one comes next here.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from functions.shared.domain.times import iso
from tools.deployment.paths import FUNCTIONS, need_checkout
from tools.deployment.stack import Stack, new_payment_id
from tools.trials.events import FUNCTION_EVENTS, EventError, filled_in

# What follows a function that has answered, and one that has raised an error.
_NEXT = {"charge": "persist", "reserve": "perform", "perform": "settle"}
_NEXT_AFTER_ERROR = {"charge": "compensate"}


def function_names() -> list[str]:
    """Every function that there is."""
    return sorted(file.parent.name for file in FUNCTIONS.glob("*/handler.py"))


def failed(answer: Any) -> bool:
    """Whether it is an error as Lambda reports one."""
    return isinstance(answer, dict) and "errorType" in answer


class Invocations:
    """Invokes functions by their short names.

    A string `${encrypt.ciphertext}` in an event stands for a field of what the function `encrypt` answers to its own
    sample event: a ciphertext opens only where its key is, so it can't be kept in a file. `${payment_id}` is a new id,
    and `${now}` the time.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        now = iso(datetime.now(UTC))
        self._answers: dict[str, Any] = {"payment_id": new_payment_id(), "now": now}

    def invoke(self, function: str, event_file: Path) -> Any:
        """The function's answer, or its error as Lambda reports it: `{"errorType", "errorMessage", …}`."""
        return self.invoke_with_next(function, event_file)[function]

    def invoke_with_next(self, function: str, event_file: Path) -> dict[str, Any]:
        """The answers by function, of this one and of those that had to follow it."""
        answers: dict[str, Any] = {}
        current: str | None = function
        event = self.event(event_file)
        while current:
            answer = answers[current] = self._answers[current] = self._stack.invoke(current, event)
            current = (_NEXT_AFTER_ERROR if failed(answer) else _NEXT).get(current)
            if current:
                event = self.event(FUNCTION_EVENTS / f"{current}.json", known=event)
        return answers

    def event(self, event_file: Path, known: Mapping[str, Any] | None = None) -> Any:
        """The event with its references filled in. Fields that are `known` take no sample's value: what follows goes on
        with the payment that was asked for."""
        need_checkout()
        try:
            event = json.loads(event_file.read_text())
        except OSError as error:
            raise EventError(f"{event_file}: {error.strerror}. Look in {FUNCTION_EVENTS} for the events.") from None
        except ValueError as error:
            raise EventError(f"{event_file} is not JSON: {error}") from None
        if known:
            event |= {name: known[name] for name in event if name in known}
        return filled_in(event, self._resolve)

    def _resolve(self, reference: str) -> Any:
        function, *path = reference.split(".")
        if function not in self._answers:
            self._answers[function] = self._stack.invoke(function, self.event(FUNCTION_EVENTS / f"{function}.json"))
        answer = self._answers[function]
        try:
            for name in path:
                answer = answer[name]
        except (KeyError, TypeError):
            raise EventError(f"{function} did not answer with {'.'.join(path)}, but {json.dumps(answer)}") from None
        return answer
