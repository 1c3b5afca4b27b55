"""Minor units by ISO 4217, from the `iso4217` package, which ships the standard's own table."""

from iso4217 import Currency


def minor_unit(currency: str) -> int | None:
    """How many decimals the currency has (USD 2, JPY 0, KWD 3); None if it doesn't exist or has no minor unit (XAU)."""
    try:
        return Currency(currency).exponent
    except ValueError:
        return None
