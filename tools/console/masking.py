"""What an execution holds, as it may be shown: of card numbers the first six and last four digits (PCI DSS 3.4.1).

There should be none: an execution holds sealed cards, ciphertext and published test cards. But an execution that was
started by hand, or was rejected, may hold anything.
"""

import json
import re
from typing import Any

from functions.shared.domain.card_number import brand_of, passes_luhn
from functions.shared.redaction import redacted

_SHORTEST_THAT_ONLY_A_CARD_HAS = 13


def masked(value: Any) -> Any:
    """The value as JSON says it, with whatever may be a card number masked, and halves of characters as `?`."""
    text = json.dumps(redacted(value, _mask), ensure_ascii=False)
    return json.loads(text.encode(errors="replace"))


def _mask(number: str) -> str:
    digits = re.sub(r"\D", "", number)
    if len(digits) < _SHORTEST_THAT_ONLY_A_CARD_HAS and not (brand_of(digits) and passes_luhn(digits)):
        return number  # an AWS account's number, in every ARN
    return f"{digits[:6]}{'*' * (len(digits) - 10)}{digits[-4:]}"
