"""Sample requests and their expected outcomes, from `events/api/*.json`."""

import glob
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.deployment.paths import EVENTS, need_checkout
from tools.output import did_you_mean

API_EVENTS = EVENTS / "api"
FUNCTION_EVENTS = EVENTS / "functions"

_REFERENCE = re.compile(r"\$\{([a-z_.]+)\}")
_GIVEN_REFERENCES = {"payment_id", "token"}


class EventError(Exception):
    """An event file cannot be used; the message explains why."""


@dataclass(frozen=True, slots=True)
class Request:
    """A call to the API."""

    method: str
    path: str
    body: Any = None

    def substitute(self, values: Mapping[str, str]) -> "Request":
        """Return the request with `${payment_id}` and `${token}` replaced."""
        return Request(self.method, substitute(self.path, values.get), substitute(self.body, values.get))


@dataclass(frozen=True, slots=True)
class ApiEvent:
    """A request to the API and its expected outcome.

    If there is a `given` request, it is sent first, and its payment is followed to the end. `http_status` is the
    expected status. `payment` has the expected fields of the payment once nothing in it is processing any more, `error`
    those of the error if the request is rejected. `fault` is set at the gateways' sandboxes after `given`, for this
    payment only. `customer` is what the customer does if the bank asks: `approve` or `fail`.
    """

    file: Path
    description: str
    request: Request
    http_status: int
    payment: dict[str, Any]
    error: dict[str, Any]
    given: Request | None = None
    fault: dict[str, Any] | None = None
    customer: str | None = None

    @classmethod
    def load(cls, file: Path) -> "ApiEvent":
        """Read an event file. Raises EventError if it cannot be read or is invalid."""
        try:
            event = json.loads(file.read_text())
            given, expected = event.get("given"), event["expected"]
            dangling = set(_REFERENCE.findall(json.dumps(event["request"]))) - (_GIVEN_REFERENCES if given else set())
            if dangling:
                raise ValueError(f"without a given request, nothing replaces {', '.join(sorted(dangling))}")
            return cls(
                file=file,
                description=event["description"],
                given=Request(**given) if given else None,
                request=Request(**event["request"]),
                http_status=expected["http_status"],
                payment=expected.get("payment", {}),
                error=expected.get("error", {}),
                fault=event.get("fault"),
                customer=event.get("customer"),
            )
        except OSError as error:
            raise EventError(f"{file}: {error.strerror}. Look in {API_EVENTS} for the events.") from None
        except (ValueError, KeyError, TypeError) as error:
            raise EventError(f"{file} is not an API event: {error!r}. See events/README.md.") from None

    @property
    def name(self) -> str:
        return self.file.stem

    @property
    def acts_on_given_payment(self) -> bool:
        """Whether the request concerns the payment of `given` and creates none itself."""
        return "${payment_id}" in self.request.path

    @property
    def needs_sandbox(self) -> bool:
        """Whether it can be sent only where every gateway is a sandbox."""
        return bool(self.fault or self.customer)

    @property
    def expected(self) -> str:
        """A short description of the expected outcome."""
        return outcome(self.http_status, {"error": self.error} if self.error else self.payment)


def outcome(http_status: int, answer: Mapping[str, Any]) -> str:
    """Describe an answer, or the payment that followed it, in a few words.

    Examples: `202 declined · lost_card`, `202 captured · refund rejected · amount_exceeds_captured`,
    `400 refused · invalid_request`.
    """
    words = [answer.get("status"), answer.get("decline_code"), answer.get("error")]
    if isinstance(answer.get("error"), dict):
        words = ["refused", answer["error"].get("code", "no code")]
    for operation in answer.get("operations") or ():
        words += [f"{operation.get('type')} {operation.get('status')}", operation.get("error")]
    return f"{http_status} {' · '.join(filter(None, words))}".rstrip()


def substitute(value: Any, resolve: Callable[[str], Any]) -> Any:
    """Replace each `${name}` in the value's strings by `resolve(name)`.

    A string that consists of one reference only becomes whatever `resolve` returns, of any type.
    """
    if isinstance(value, dict):
        return {name: substitute(item, resolve) for name, item in value.items()}
    if isinstance(value, list):
        return [substitute(item, resolve) for item in value]
    if not isinstance(value, str):
        return value
    if reference := _REFERENCE.fullmatch(value):
        return resolve(reference[1])
    return _REFERENCE.sub(lambda match: str(resolve(match[1])), value)


def event_files(paths: Iterable[Path]) -> list[Path]:
    """Find the event files for these files, folders and globs (default: all). Raises EventError if one has no match."""
    need_checkout()
    files = [file for path in paths or [API_EVENTS] for file in _matching_files(path)]
    return list(dict.fromkeys(files))


def load_api_events(paths: Iterable[Path]) -> list[ApiEvent]:
    """Load the events from the files that `event_files` finds."""
    return [ApiEvent.load(file) for file in event_files(paths)]


def changed_files(paths: Iterable[Path], *, pause_seconds: float = 0.3) -> Iterator[list[Path]]:
    """Yield all event files, and after that the new and changed ones whenever there are some."""
    seen: dict[Path, int] = {}
    while True:
        found = seen
        # A file may be missing for a moment while an editor replaces it.
        with suppress(EventError, FileNotFoundError):
            found = {file: file.stat().st_mtime_ns for file in event_files(paths)}
        if changed := [file for file, modified in found.items() if seen.get(file) != modified]:
            yield changed
        seen = found
        time.sleep(pause_seconds)


def _matching_files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.glob("*.json"))
    matching = map(Path, glob.glob(str(path), recursive=True))
    files = [path] if path.is_file() else sorted(file for file in matching if file.is_file())
    if not files and (named := API_EVENTS / f"{path}.json").is_file():
        return [named]  # a name from the table of replays
    if not files:
        names = [file.stem for file in API_EVENTS.glob("*.json")]
        raise EventError(f"There is no event {path}.{did_you_mean(path.stem, names)} The events are in events/api.")
    return files
