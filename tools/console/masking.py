"""Masks the data of an execution for display: card numbers keep their first six and last four digits (PCI DSS 3.4.1),
and task tokens nothing, since whoever has one can resume the execution.

Normally there are no real card numbers: an execution holds sealed cards, ciphertext and published test cards. But an
execution that was started by hand, or was rejected, may hold anything.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from functions.shared.domain.card_number import brand_of, passes_luhn
from functions.shared.redaction import MASK, redacted

_MIN_UNAMBIGUOUS_LENGTH = 13
# As our state machine passes it on, and as the context object names it.
_TOKENS = ("task_token", "taskToken", "TaskToken")


def masked(value: Any) -> Any:
    """Return the value as plain JSON data: possible card numbers are masked, unpaired surrogates become `?`."""
    text = json.dumps(redacted(_without_tokens(value), _mask), ensure_ascii=False)
    return json.loads(text.encode(errors="replace"))


def _without_tokens(value: Any) -> Any:
    """The value with the members of its objects, however deep, that hold a task token replaced."""
    match value:
        case Mapping():
            hidden = {name: MASK for name in value if name in _TOKENS}
            return {name: hidden.get(name) or _without_tokens(item) for name, item in value.items()}
        case list() | tuple():
            return [_without_tokens(item) for item in value]
    return value


def _mask(number: str) -> str:
    digits = re.sub(r"\D", "", number)
    if len(digits) < _MIN_UNAMBIGUOUS_LENGTH and not (brand_of(digits) and passes_luhn(digits)):
        return number  # probably an AWS account id, which every ARN contains
    return f"{digits[:6]}{'*' * (len(digits) - 10)}{digits[-4:]}"
