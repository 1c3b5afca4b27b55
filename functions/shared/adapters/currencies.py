"""Minor units by ISO 4217, from the `iso4217` package, which ships the standard's own table."""

import json
from functools import cache
from pathlib import Path

from iso4217 import Currency


def minor_unit(currency: str) -> int | None:
    """How many decimals the currency has (USD 2, JPY 0, KWD 3); None if it doesn't exist or has no minor unit (XAU)."""
    try:
        return Currency(currency).exponent
    except ValueError:
        return None


def decimals(currency: str) -> int | None:
    """The same for every currency that ever existed, including those that the standard has dropped (HRK 2): the books
    keep payments in such a currency for ever.
    """
    return _all_decimals().get(currency)


@cache
def _all_decimals() -> dict[str, int]:
    decimals_by_currency: dict[str, int] = json.loads(Path(__file__).with_name("decimals.json").read_text())["decimals"]
    return decimals_by_currency
