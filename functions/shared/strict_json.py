"""JSON as strangers send it."""

import json
from collections import Counter
from typing import Any, NoReturn

NESTED_AT_MOST = 32
"""Nothing that we read has more levels."""


def loads(text: str | bytes) -> Any:
    """The value, where every parser would read the same one (RFC 8259, in UTF-8).

    Raises ValueError for two members of one name, numbers that are none or too large, halves of surrogate pairs, bytes
    that are not UTF-8, and what is nested more than `NESTED_AT_MOST` levels deep.
    """
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        value = json.loads(decoded, object_pairs_hook=_unique, parse_constant=_no_number)
        if _is_nested_deeply(value):
            raise ValueError("It is nested too deeply.")
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()  # 1e400 is infinite; half a pair has no bytes
        return value
    except RecursionError:
        raise ValueError("It is nested too deeply.") from None


def _is_nested_deeply(value: Any) -> bool:
    level = [value]
    for _ in range(NESTED_AT_MOST):
        containers = [
            each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)
        ]
        level = [inner for container in containers for inner in container]
    return any(isinstance(each, dict | list) for each in level)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Of two values under one name, json.loads would silently take the last."""
    for name, count in Counter(name for name, _ in pairs).items():
        if count > 1:
            raise ValueError(f"{name} is there {count} times.")
    return dict(pairs)


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number in JSON.")
