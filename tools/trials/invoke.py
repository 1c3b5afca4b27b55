"""Invokes one function of a stack with one event, and then the functions that must follow it.

A charge that is not recorded would be missing from the books, and a refund that is reserved but never performed would
block the payment. As in the state machine, the next function therefore runs as well.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from functions.shared.domain.times import now
from tools.deployment.paths import FUNCTIONS, need_checkout
from tools.deployment.stack import Stack, failed, new_payment_id
from tools.trials.events import FUNCTION_EVENTS, EventError, substitute

# The function that follows a successful one, and the function that follows a failed one.
_NEXT = {
    "charge": "persist",
    "await_customer": "confirm",
    "confirm": "persist",
    "reserve": "perform",
    "perform": "settle",
}
_NEXT_AFTER_ERROR = {"charge": "compensate", "confirm": "compensate"}

# Confirm answers in Charge's place.
_ANSWERS_FOR = {"confirm": "charge"}


def function_names() -> list[str]:
    """The names of all functions, sorted."""
    return sorted(file.parent.name for file in FUNCTIONS.glob("*/handler.py"))


class Invocations:
    """Invokes functions by their short names.

    In an event, a string like `${encrypt.transaction_id}` stands for a field of the answer of the function `encrypt` to
    its own sample event, and `${to_store.encrypt}` for its answer to the one in the folder `to_store`. An answer that
    is an error is what the next state gets to see of it: JSON as a text. A file cannot contain a transaction's id,
    because only the stack where Encrypt ran holds its card. `${payment_id}` stands for a new id, `${now}` for the
    current time.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._answers: dict[str, Any] = {"payment_id": new_payment_id(), "now": now()}

    def invoke(self, function: str, event_file: Path) -> Any:
        """Return the function's answer, or its error as reported by Lambda: `{"errorType", "errorMessage", …}`."""
        return self.invoke_with_next(function, event_file)[function]

    def invoke_with_next(self, function: str, event_file: Path) -> dict[str, Any]:
        """Return the answers of this function and those that followed, by function name."""
        answers: dict[str, Any] = {}
        current: str | None = function
        event = self.event(event_file)
        while current:
            answer = answers[current] = self._stack.attempt(current, event)
            self._answers[_ANSWERS_FOR.get(current, current)] = answer
            current = (_NEXT_AFTER_ERROR if failed(answer) else _NEXT).get(current)
            if current:
                event = self.event(FUNCTION_EVENTS / f"{current}.json", overrides=event)
        return answers

    def event(self, event_file: Path, overrides: Mapping[str, Any] | None = None) -> Any:
        """Load an event and fill in its references. Values in `overrides` replace the sample's.

        This way the functions that follow continue with the same payment.
        """
        need_checkout()
        try:
            event = json.loads(event_file.read_text())
        except OSError as error:
            raise EventError(f"{event_file}: {error.strerror}. Look in {FUNCTION_EVENTS} for the events.") from None
        except ValueError as error:
            raise EventError(f"{event_file} is not JSON: {error}") from None
        if overrides:
            event |= {name: overrides[name] for name in event if name in overrides}
        return substitute(event, self._resolve)

    def _resolve(self, reference: str) -> Any:
        parts = reference.split(".")
        depth = 2 if (FUNCTION_EVENTS / parts[0]).is_dir() else 1
        sample, function, path = "/".join(parts[:depth]), parts[depth - 1], parts[depth:]
        if sample not in self._answers:
            self._answers[sample] = self._stack.attempt(function, self.event(FUNCTION_EVENTS / f"{sample}.json"))
        answer = self._answers[sample]
        if failed(answer) and not path:
            return json.dumps(answer)
        try:
            for name in path:
                answer = answer[name]
        except (KeyError, TypeError):
            raise EventError(f"{function} answered without {'.'.join(path)}: {json.dumps(answer)}") from None
        return answer
