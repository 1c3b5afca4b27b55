"""Strict parsing of untrusted JSON."""

import json
from collections import Counter
from typing import Any, NoReturn

MAX_NESTING = 32
"""The maximum depth of nesting; nothing that we read is nested more deeply."""


def loads(text: str | bytes) -> Any:
    """Parse JSON (RFC 8259, in UTF-8) that every parser would read as the same value.

    Raises ValueError for duplicate member names, NaN, infinite or too large numbers, unpaired surrogates, bytes that
    are not UTF-8, and values nested more than `MAX_NESTING` levels deep.
    """
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        value = json.loads(decoded, object_pairs_hook=_unique_members, parse_constant=_reject_constant)
        if _is_nested_deeply(value):
            raise ValueError("It is nested too deeply.")
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()  # 1e400 is infinite; half a pair has no bytes
        return value
    except RecursionError:
        raise ValueError("It is nested too deeply.") from None


def _is_nested_deeply(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_NESTING):
        containers = [
            element.values() if isinstance(element, dict) else element
            for element in level
            if isinstance(element, dict | list)
        ]
        level = [inner for container in containers for inner in container]
    return any(isinstance(element, dict | list) for element in level)


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object, rejecting duplicate names, of which json.loads would silently keep the last value."""
    for name, count in Counter(name for name, _ in pairs).items():
        if count > 1:
            raise ValueError(f"{name} is there {count} times.")
    return dict(pairs)


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number in JSON.")
