"""The shapes of what strangers send: ids, tokens, codes, sealed cards.

An id is data of a stranger until it was checked. One that passed may be logged whole, and be a name: there is no card
number in it. contracts/definitions.json says the same in JSON Schema. It needs the standard library alone, as the
client has a copy of this file for itself (client/shapes.py).
"""

import re
from typing import TypeGuard
from uuid import UUID

from .card_number import looks_like_a_card_number

_UUID = re.compile("[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|[0-9A-Fa-f]{32}")
_LONG_NUMBER = re.compile("([0-9][_-]*){12}")

SEALED_CARD = (
    r"eyJ[A-Za-z0-9_-]{16,1021}\.[A-Za-z0-9_-]{683}\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{2,4096}\.[A-Za-z0-9_-]{22}"
)
"""A compact JWE (RFC 7516) in base64url: a header, a content key in the 512 bytes of RSA-4096, an initialization vector
of 12 bytes, the ciphertext, a tag of 16 bytes."""


def is_id(value: object) -> TypeGuard[str]:
    """Whether it can be an Idempotency-Key, and so a payment's or an operation's id.

    A UUID, with or without dashes; or 16 to 64 letters, digits, dashes and underscores, without a run of 12 or more
    digits once dashes and underscores are dropped.
    """
    if not isinstance(value, str) or not re.fullmatch("[A-Za-z0-9_-]{16,64}", value):
        return False
    return bool(_UUID.fullmatch(value)) or not _LONG_NUMBER.search(value)


def canonical_id(value: str) -> str:
    """The spelling of an id by which it is known: a UUID's in small letters, with dashes (RFC 9562); any other's own.

    terraform/api/templates/ids.vtl does the same to what comes in by the API.
    """
    return str(UUID(value)) if _UUID.fullmatch(value) else value


def whole(number: float | None) -> int | None:
    """The integer that a contract let through, however it was written: 1999.0 is one."""
    return None if number is None else int(number)


def is_token(value: object) -> TypeGuard[str]:
    """Whether it can be the token of a stored card."""
    return isinstance(value, str) and bool(re.fullmatch("tok_[a-z2-7]{52}", value))


def is_sealed_card(value: object) -> TypeGuard[str]:
    """Whether it can be a sealed card. None of its segments has 12 digits in a row, dashes and underscores aside.

    About three in ten million sealed cards do have such a segment: some 920 characters of one are random, and
    920 * (10/62)**12 is 3e-7. The client seals such a card again.
    """
    if not isinstance(value, str) or not re.fullmatch(SEALED_CARD, value):
        return False
    return not _LONG_NUMBER.search(value)


def is_gateway_id(value: object) -> TypeGuard[str]:
    """Whether it can be what a gateway calls a charge or a refund, or the reference of ours that it repeats."""
    if not isinstance(value, str) or not re.fullmatch("[A-Za-z0-9_-]{1,64}", value):
        return False
    return not looks_like_a_card_number(value)


def is_code(value: object) -> TypeGuard[str]:
    """Whether it can be a gateway's reason in snake case: `insufficient_funds`."""
    if not isinstance(value, str) or not re.fullmatch("[a-z][a-z0-9_]{0,63}", value):
        return False
    return not _LONG_NUMBER.search(value)
