"""The last line of defence for logs: it removes card numbers and silences other libraries.

Code must never log a card, and must not rely on this module to remove one. The module covers everything that goes
through `logging`, whatever handlers and levels are set, and http.client's debug output. It does not cover printed text
(ruff forbids print in functions/), `warnings` on standard error, or encoded digits: code that holds a card must not
output any of these.
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
"""Keys whose text is not redacted if it is a valid id: such ids may have as many digits as a card number."""

# Card numbers have up to 19 digits (ISO/IEC 7812-1); the shortest in use have 12. There is no Luhn check, because a
# mistyped number is still close to the real one.
_DIGITS = re.compile(r"\d(?:[ -]?\d){11,}")


def redacted(value: Any, mask: Callable[[str], str] = lambda number: MASK) -> Any:
    """The value in JSON's types, without apparent card numbers and without any run of 12 or more digits, even if
    single spaces or dashes separate them.
    """
    match value:
        case str():
            return _without_card_numbers(_DIGITS.sub(lambda match: mask(match[0]), value), mask)
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
    masked, position = "", 0
    for start, end in card_numbers(text):
        if start >= position:
            masked += text[position:start] + mask(text[start:end])
        position = max(position, end)
    return masked + text[position:]


def to_json(log: Any) -> str:
    """Serialize one of our log lines, as Powertools' `json_serializer`, which receives everything in the line."""
    return json.dumps(redacted(log), separators=(",", ":"))


def install(own_logger: str) -> None:
    """Install a log record factory that leaves records of the logger `own_logger` alone and restricts all others.

    At DEBUG, boto3, botocore and urllib3 print whole requests, which contain the card as JSON and in base64, where a
    search for digits can't find it. So no record below WARNING from another logger reaches a handler, whatever the
    handler's level. Messages at WARNING and above are redacted.
    """

    class Record(logging.LogRecord):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            if self.name == own_logger or str(self.name).startswith(f"{own_logger}."):
                return
            self.exc_info = self.stack_info = None
            if self.levelno < logging.WARNING:
                self.levelno = logging.NOTSET - 1  # below every handler's level

        def getMessage(self) -> str:  # noqa: N802
            return str(redacted(super().getMessage()))

    logging.setLogRecordFactory(Record)
    # If a handler fails, logging would print the unredacted record.
    logging.raiseExceptions = False
    # With a `debuglevel`, http.client prints what it sends. (The import costs nothing: boto3 imports it anyway.)
    vars(http.client)["print"] = lambda *args: None
