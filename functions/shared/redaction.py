"""The backstop under everything that is logged: card numbers are taken out, and other libraries kept quiet.

Nobody should log a card, and nothing here is a reason to. It covers what goes through `logging`, whoever adds handlers
or sets levels, and http.client's own debug output. It does not cover what is printed (in functions/, ruff forbids it),
`warnings` shown on standard error, or digits that are encoded: for those, whoever holds a card says nothing at all.
"""

import http.client
import json
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from functions.shared.domain.card_number import card_numbers
from functions.shared.domain.shapes import is_gateway_id, is_id

MASK = "[redacted]"

IDS: dict[str, Callable[[str], object]] = {
    "charge_id": is_gateway_id,
    "function_arn": re.compile(r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:function:[A-Za-z0-9_:$-]+").fullmatch,
    "function_request_id": is_id,
    "operation_id": is_id,
    "payment_id": is_id,
    "transaction_id": re.compile("[0-9a-f]{64}").fullmatch,
    "xray_trace_id": re.compile("1-[0-9a-f]{8}-[0-9a-f]{24}").fullmatch,
}
"""Keys whose text is left alone where it is what it must be: such ids may have as many digits as a card number has."""

# ISO/IEC 7812-1: card numbers have up to 19 digits; the shortest in use have 12. No Luhn test, as a mistyped number is
# nearly the real one.
_DIGITS = re.compile(r"\d(?:[ -]?\d){11,}")


def redacted(value: Any, mask: Callable[[str], str] = lambda number: MASK) -> Any:
    """The value as JSON says it, without what looks like a card number, and without any run of 12 or more digits,
    single spaces and dashes between them or not.
    """
    match value:
        case str():
            return _without_card_numbers(_DIGITS.sub(lambda found: mask(found[0]), value), mask)
        case None | bool():
            return value
        case int() | float():
            return value if (text := redacted(str(value), mask)) == str(value) else text
        case Mapping():
            return {
                redacted(str(key), mask): item if _is_id(key, item) else redacted(item, mask)
                for key, item in value.items()
            }
        case list() | tuple() | set() | frozenset():
            return [redacted(item, mask) for item in value]
    return redacted(str(value), mask)


def _is_id(key: object, value: object) -> bool:
    return isinstance(key, str) and isinstance(value, str) and key in IDS and bool(IDS[key](value))


def _without_card_numbers(text: str, mask: Callable[[str], str]) -> str:
    masked, rest = "", 0
    for start, end in card_numbers(text):
        if start >= rest:
            masked += text[rest:start] + mask(text[start:end])
        rest = max(rest, end)
    return masked + text[rest:]


def to_json(log: Any) -> str:
    """A log line of ours. Powertools' `json_serializer`: it is given everything that the line will say."""
    return json.dumps(redacted(log), separators=(",", ":"))


def install(own: str) -> None:
    """Have every log record of this process made as the logger named `own` may write it, or others may.

    At DEBUG boto3, botocore and urllib3 print whole requests: the card is in there as JSON, and in base64, where no
    look at digits finds it. So of other loggers, nothing below WARNING reaches a handler, whatever its level.
    """

    class Record(logging.LogRecord):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            if self.name == own or str(self.name).startswith(f"{own}."):
                return
            self.exc_info = self.stack_info = None
            if self.levelno < logging.WARNING:
                self.levelno = logging.NOTSET - 1  # below every handler's level

        def getMessage(self) -> str:  # noqa: N802
            return str(redacted(super().getMessage()))

    logging.setLogRecordFactory(Record)
    # Where a handler fails, logging would print the record as it came.
    logging.raiseExceptions = False
    # With a `debuglevel`, it prints what it sends. (Importing it costs nothing: boto3 would do it a moment later.)
    vars(http.client)["print"] = lambda *args: None
