"""The formats of untrusted values: ids, tokens, codes, sealed cards.

An id is untrusted until it has been checked. A checked id contains no card number, so it may be logged in full and used
as a name. contracts/definitions.json defines the same formats in JSON Schema. This module needs only the standard
library, because the client has its own copy of it (client/shapes.py).
"""

import re
from typing import TypeGuard
from uuid import UUID

from .card_number import looks_like_a_card_number

_UUID = re.compile("[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|[0-9A-Fa-f]{32}")
_LONG_NUMBER = re.compile("([0-9][_-]*){12}")

SEALED_CARD = (
    r"eyJ[A-Za-z0-9_-]{16,1021}\.([A-Za-z0-9_-]{683})?\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{2,4096}\.[A-Za-z0-9_-]{22}"
)
"""A compact JWE (RFC 7516) in base64url: a header, a content key in the 512 bytes of RSA-4096 or none if it is agreed
on (ECDH-ES), an initialization vector of 12 bytes, the ciphertext, a tag of 16 bytes."""


def is_id(value: object) -> TypeGuard[str]:
    """Whether the value is a valid Idempotency-Key, which is also the id of the payment or operation.

    It must be a UUID, with or without dashes; or 16 to 64 letters, digits, dashes and underscores that, without the
    dashes and underscores, contain no run of 12 or more digits.
    """
    if not isinstance(value, str) or not re.fullmatch("[A-Za-z0-9_-]{16,64}", value):
        return False
    return bool(_UUID.fullmatch(value)) or not _LONG_NUMBER.search(value)


def canonical_id(value: str) -> str:
    """The canonical spelling of an id: a UUID in lower case with dashes (RFC 9562), any other id unchanged.

    terraform/api/templates/ids.vtl does the same with the ids in API requests.
    """
    return str(UUID(value)) if _UUID.fullmatch(value) else value


def to_int(number: float | None) -> int | None:
    """Convert a number that a contract accepted as an integer, such as 1999.0, to int."""
    return None if number is None else int(number)


def is_token(value: object) -> TypeGuard[str]:
    """Whether the value has the format of a stored card's token."""
    return isinstance(value, str) and bool(re.fullmatch("tok_[a-z2-7]{52}", value))


def is_sealed_card(value: object) -> TypeGuard[str]:
    """Whether the value has the format of a sealed card, without 12 digits in a row in any segment, ignoring dashes
    and underscores.

    About three in ten million sealed cards do have such a segment: some 920 characters of one are random, and
    920 * (10/62)**12 is 3e-7. The client seals such a card again.
    """
    if not isinstance(value, str) or not re.fullmatch(SEALED_CARD, value):
        return False
    return not _LONG_NUMBER.search(value)


def is_gateway_id(value: object) -> TypeGuard[str]:
    """Whether the value can be a gateway's id of a charge or refund, or our reference as the gateway repeats it."""
    if not isinstance(value, str) or not re.fullmatch("[A-Za-z0-9_-]{1,64}", value):
        return False
    return not looks_like_a_card_number(value)


def is_code(value: object) -> TypeGuard[str]:
    """Whether the value can be a gateway's reason code in snake case, such as `insufficient_funds`."""
    if not isinstance(value, str) or not re.fullmatch("[a-z][a-z0-9_]{0,63}", value):
        return False
    return not _LONG_NUMBER.search(value)
