"""How many decimals a currency has according to ISO 4217, which the books use."""

import json
from pathlib import Path

_DECIMALS: dict[str, int] = json.loads(Path(__file__).with_name("decimals.json").read_text())["decimals"]


def decimals(currency: str) -> int | None:
    """Return the number of decimals, or None for an unknown currency: USD has 2, JPY 0, KWD 3, and HUF 2, even if
    browsers and cash desks round it otherwise.

    To convert a Decimal price to minor units: `int(price.scaleb(decimals(currency)))`.
    """
    return _DECIMALS.get(currency)
