"""Sample requests with the outcome that they should have, as `events/api/*.json` holds them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.paths import EVENTS

API_EVENTS = EVENTS / "api"
FUNCTION_EVENTS = EVENTS / "functions"


class EventError(Exception):
    """An event file can't be used; the message says why."""


@dataclass(frozen=True, slots=True)
class ApiEvent:
    """A request to the API, and what should come of it.

    `http_status` and, where the request is accepted, the fields of the payment once it is no longer processing; where
    it is refused, the fields of the error. `fault` is set at the Sparkle sandbox for this payment alone.
    """

    name: str
    description: str
    method: str
    path: str
    body: Any
    http_status: int
    payment: dict[str, Any]
    error: dict[str, Any]
    fault: dict[str, Any] | None

    @classmethod
    def load(cls, path: Path) -> "ApiEvent":
        """Read an event file. Raises EventError."""
        try:
            event = json.loads(path.read_text())
            request, expected = event["request"], event["expected"]
            return cls(
                name=path.stem,
                description=event["description"],
                method=request["method"],
                path=request["path"],
                body=request["body"],
                http_status=expected["http_status"],
                payment=expected.get("payment", {}),
                error=expected.get("error", {}),
                fault=event.get("fault"),
            )
        except OSError as error:
            raise EventError(f"{path}: {error.strerror}. Look in {API_EVENTS} for the events that there are.") from None
        except (ValueError, KeyError, TypeError) as error:
            raise EventError(f"{path} is not an API event: {error!r}. See events/README.md.") from None

    @property
    def expected(self) -> str:
        """The expectation in a few words."""
        reason = self.payment.get("decline_code") or self.payment.get("error") or self.error.get("code")
        outcome = self.payment.get("status", "refused")
        return f"{self.http_status} {outcome}" + (f" · {reason}" if reason else "")


def load_api_events(paths: list[Path]) -> list[ApiEvent]:
    """The events in the given files, or all there are."""
    return [ApiEvent.load(path) for path in paths or sorted(API_EVENTS.glob("*.json"))]
