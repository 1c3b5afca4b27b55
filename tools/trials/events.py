"""Sample requests with the outcome that they should have, as `events/api/*.json` holds them."""

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
_OF_WHAT_IS_GIVEN = {"payment_id", "token"}


class EventError(Exception):
    """An event file can't be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """A call to the API."""

    method: str
    path: str
    body: Any = None

    def filled_in(self, values: Mapping[str, str]) -> "Request":
        """The request with `${payment_id}` and `${token}` replaced."""
        return Request(self.method, filled_in(self.path, values.get), filled_in(self.body, values.get))


@dataclass(frozen=True, slots=True)
class ApiEvent:
    """A request to the API, and what should come of it.

    `given` is made first, and its payment followed to its end. `http_status` and, where the request is accepted, the
    fields of the payment once nothing about it is processing; where it is refused, the fields of the error. `fault` is
    set at the Sparkle sandbox for this payment alone, after what is given.
    """

    file: Path
    description: str
    request: Request
    http_status: int
    payment: dict[str, Any]
    error: dict[str, Any]
    given: Request | None = None
    fault: dict[str, Any] | None = None

    @classmethod
    def load(cls, file: Path) -> "ApiEvent":
        """Read an event file. Raises EventError."""
        try:
            event = json.loads(file.read_text())
            given, expected = event.get("given"), event["expected"]
            dangling = set(_REFERENCE.findall(json.dumps(event["request"]))) - (_OF_WHAT_IS_GIVEN if given else set())
            if dangling:
                raise ValueError(f"nothing is given that {', '.join(sorted(dangling))} could stand for")
            return cls(
                file=file,
                description=event["description"],
                given=Request(**given) if given else None,
                request=Request(**event["request"]),
                http_status=expected["http_status"],
                payment=expected.get("payment", {}),
                error=expected.get("error", {}),
                fault=event.get("fault"),
            )
        except OSError as error:
            raise EventError(f"{file}: {error.strerror}. Look in {API_EVENTS} for the events that there are.") from None
        except (ValueError, KeyError, TypeError) as error:
            raise EventError(f"{file} is not an API event: {error!r}. See events/README.md.") from None

    @property
    def name(self) -> str:
        return self.file.stem

    @property
    def is_about_what_is_given(self) -> bool:
        """Whether it is about the payment that is given, and makes none of its own."""
        return "${payment_id}" in self.request.path

    @property
    def expected(self) -> str:
        """The expectation in a few words."""
        return outcome(self.http_status, {"error": self.error} if self.error else self.payment)


def outcome(http_status: int, shown: Mapping[str, Any]) -> str:
    """An answer, or the payment as it is shown after that, in a few words: `202 declined · lost_card`,
    `202 captured · refund rejected · amount_exceeds_captured`, `400 refused · invalid_request`.
    """
    words = [shown.get("status"), shown.get("decline_code"), shown.get("error")]
    if isinstance(shown.get("error"), dict):
        words = ["refused", shown["error"].get("code", "no code")]
    for operation in shown.get("operations") or ():
        words += [f"{operation.get('type')} {operation.get('status')}", operation.get("error")]
    return f"{http_status} {' · '.join(filter(None, words))}".rstrip()


def filled_in(value: Any, resolve: Callable[[str], Any]) -> Any:
    """The value with each `${name}` in its strings replaced by `resolve(name)`; a string that is nothing else may
    become anything.
    """
    if isinstance(value, dict):
        return {name: filled_in(item, resolve) for name, item in value.items()}
    if isinstance(value, list):
        return [filled_in(item, resolve) for item in value]
    if not isinstance(value, str):
        return value
    if reference := _REFERENCE.fullmatch(value):
        return resolve(reference[1])
    return _REFERENCE.sub(lambda found: str(resolve(found[1])), value)


def event_files(paths: Iterable[Path]) -> list[Path]:
    """The event files that files, folders and globs name, or all there are. Raises EventError where one names none."""
    need_checkout()
    found = [file for path in paths or [API_EVENTS] for file in _named_by(path)]
    return list(dict.fromkeys(found))


def load_api_events(paths: Iterable[Path]) -> list[ApiEvent]:
    """The events in the files that `event_files` finds."""
    return [ApiEvent.load(file) for file in event_files(paths)]


def changed_files(paths: Iterable[Path], *, pause_seconds: float = 0.3) -> Iterator[list[Path]]:
    """The event files, and from then on those that are new or have changed, whenever there are any."""
    seen: dict[Path, int] = {}
    while True:
        found = seen
        # An editor may be about to put a new file in the old one's place.
        with suppress(EventError, FileNotFoundError):
            found = {file: file.stat().st_mtime_ns for file in event_files(paths)}
        if changed := [file for file, modified in found.items() if seen.get(file) != modified]:
            yield changed
        seen = found
        time.sleep(pause_seconds)


def _named_by(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.glob("*.json"))
    matching = map(Path, glob.glob(str(path), recursive=True))
    files = [path] if path.is_file() else sorted(file for file in matching if file.is_file())
    if not files and (named := API_EVENTS / f"{path}.json").is_file():
        return [named]  # as the table of replays names it
    if not files:
        names = [file.stem for file in API_EVENTS.glob("*.json")]
        raise EventError(
            f"There is no event {path}.{did_you_mean(path.stem, names)} events/api has all that there are."
        )
    return files
