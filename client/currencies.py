"""How many decimals a currency has: by ISO 4217, as the books go by it."""

import json
from pathlib import Path

_DECIMALS: dict[str, int] = json.loads(Path(__file__).with_name("decimals.json").read_text())["decimals"]


def decimals(currency: str) -> int | None:
    """USD 2, JPY 0, KWD 3, and HUF 2, whatever a browser or a cash desk makes of it. None of what is no currency.

    An amount in minor units is a price times ten to this: `int(price.scaleb(decimals(currency)))` of a Decimal.
    """
    return _DECIMALS.get(currency)
