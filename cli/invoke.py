"""Run one function of a stack on one event."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cli.events import FUNCTION_EVENTS, EventError, filled_in
from cli.stack import Stack, StackError, new_payment_id


class Invocations:
    """Invokes functions by their short names.

    A string `${encrypt.ciphertext}` in an event stands for a field of what the function `encrypt` answers to its own
    sample event: a ciphertext opens only where its key is, so it can't be kept in a file. `${payment_id}` is a new id,
    and `${now}` the time.
    """

    def __init__(self, stack: Stack) -> None:
        self._prefix = stack.log_group_prefix.rsplit("/", 1)[1]
        self._client = stack.client("lambda")
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._answers: dict[str, Any] = {"payment_id": new_payment_id(), "now": now}

    def invoke(self, function: str, event_file: Path) -> Any:
        """The function's answer, or its error as Lambda reports it: `{"errorType", "errorMessage", …}`."""
        return self.ask(function, self.event(event_file))

    def ask(self, function: str, event: Any) -> Any:
        """The same of an event that is at hand."""
        try:
            answer = self._client.invoke(FunctionName=self._prefix + function, Payload=json.dumps(event).encode())
        except self._client.exceptions.ResourceNotFoundException:
            raise StackError(f"This stack has no function {self._prefix}{function}.") from None
        return json.loads(answer["Payload"].read())

    def event(self, event_file: Path) -> Any:
        """The event with its references filled in."""
        try:
            return filled_in(json.loads(event_file.read_text()), self._resolve)
        except OSError as error:
            raise EventError(f"{event_file}: {error.strerror}. Look in {FUNCTION_EVENTS} for the events.") from None
        except ValueError as error:
            raise EventError(f"{event_file} is not JSON: {error}") from None

    def _resolve(self, reference: str) -> Any:
        function, *path = reference.split(".")
        if function not in self._answers:
            self._answers[function] = self.invoke(function, FUNCTION_EVENTS / f"{function}.json")
        answer = self._answers[function]
        try:
            for name in path:
                answer = answer[name]
        except (KeyError, TypeError):
            raise EventError(f"{function} did not answer with {'.'.join(path)}, but {json.dumps(answer)}") from None
        return answer
