"""Amounts as people write them, with the currency's own decimals."""

import re
from decimal import Decimal

from functions.shared.adapters.currencies import decimals


def decimal(amount_minor: int, currency: str) -> Decimal:
    """1234.50 for 123450 USD, 1234 for 1234 JPY."""
    return Decimal(amount_minor).scaleb(-(decimals(currency) or 0))


def amount_text(amount_minor: int, currency: str) -> str:
    """`1,234.50`, without the currency."""
    return f"{decimal(amount_minor, currency):,f}"


def money(amount_minor: int, currency: str) -> str:
    """`1,234.50 USD`."""
    return f"{amount_text(amount_minor, currency)} {currency}"


def to_minor(amount: str, currency: str) -> int:
    """123450 for `1,234.50` and USD. Raises ValueError if the text is not an amount in that currency."""
    places = decimals(currency)
    if places is None:
        raise ValueError(f"{currency!r} is not a currency. Write its ISO 4217 code, like USD.")
    if not re.fullmatch(r"\d[\d,]*(\.\d+)?", amount):
        raise ValueError(f"{amount!r} is not an amount. Write it like {amount_text(1999, currency)}.")
    in_minor = Decimal(amount.replace(",", "")).scaleb(places)
    if in_minor != in_minor.to_integral_value():
        raise ValueError(f"{currency} has {places} decimals, and {amount} has more.")
    return int(in_minor)


def readable(text: str) -> str:
    """The text with amounts in minor units, `charge ch_1 of 123450 USD`, turned into `charge ch_1 of 1,234.50 USD`."""
    return re.sub(r"(?<![\w.,])(-?\d+) ([A-Z]{3})\b", lambda match: money(int(match[1]), match[2]), text)
