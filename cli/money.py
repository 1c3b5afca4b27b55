"""Money as people write it: with the currency's own decimals."""

import re
from decimal import Decimal

from functions.shared.adapters.currencies import decimals


def decimal(amount_minor: int, currency: str) -> Decimal:
    """1234.50 for 123450 USD, 1234 for 1234 JPY."""
    return Decimal(amount_minor).scaleb(-(decimals(currency) or 0))


def figure(amount_minor: int, currency: str) -> str:
    """`1,234.50`, for where the currency is said elsewhere."""
    return f"{decimal(amount_minor, currency):,f}"


def money(amount_minor: int, currency: str) -> str:
    """`1,234.50 USD`."""
    return f"{figure(amount_minor, currency)} {currency}"


def readable(text: str) -> str:
    """The text with its amounts in minor units, `charge ch_1 of 123450 USD`, as people write them."""
    return re.sub(r"(-?\b\d+) ([A-Z]{3})\b", lambda found: money(int(found[1]), found[2]), text)
