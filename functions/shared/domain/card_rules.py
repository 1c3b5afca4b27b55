"""What a card has to be, as far as the card and the time can tell.

It needs the standard library alone, as the client has a copy of this file for itself (client/card_rules.py).
The checkout's page has the same rules in examples/checkout/page/rules.mjs, with the same numbers of card_rules.json.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

from .card_number import RULES, is_blank, is_card_number, looks_like_a_card_number

_EXPIRY_DATE, _CARD_HOLDER = RULES["expiry_date"], RULES["card_holder"]

LAST_PLACE = timezone(timedelta(hours=_EXPIRY_DATE["last_place_hours"]))
"""Where a month ends last. A card is good until then: whoever holds it may be there."""

LONGEST_VALIDITY_YEARS: int = _EXPIRY_DATE["longest_years"]
"""A card that is good for longer is none: its date was mistyped."""

LONGEST_HOLDER: int = _CARD_HOLDER["longest"]


def expiry_of(expiry_date: str) -> tuple[int, int] | None:
    """`(2030, 12)` of `12/30`, or None where it is not MM/YY."""
    written = re.fullmatch(_EXPIRY_DATE["pattern"], expiry_date)
    return (2000 + int(written[2]), int(written[1])) if written else None


def has_expired(expiry: tuple[int, int], now: datetime) -> bool:
    """Whether its month has ended everywhere. `now` has a time zone."""
    here = now.astimezone(LAST_PLACE)
    return (here.year, here.month) > expiry


def expires_too_late(expiry: tuple[int, int], now: datetime) -> bool:
    here = now.astimezone(LAST_PLACE)
    return (here.year + LONGEST_VALIDITY_YEARS, here.month) < expiry


def broken_rules(card_data: Mapping[str, str], now: datetime) -> dict[str, str]:
    """The rules that a card breaks, by its fields; what is in them is in no rule. An expired card breaks none."""
    broken = {}
    if not is_card_number(card_data["card_number"]):
        broken["card_number"] = "must be a card's: digits alone, with a brand's prefix and length and the check digit"
    expiry = expiry_of(card_data["expiry_date"])
    if expiry is None:
        broken["expiry_date"] = "must be MM/YY"
    elif expires_too_late(expiry, now):
        broken["expiry_date"] = f"must not be further than {LONGEST_VALIDITY_YEARS} years from now"
    holder = card_data["card_holder"]
    if is_blank(holder) or len(holder) > LONGEST_HOLDER:
        broken["card_holder"] = f"must be a name of at most {LONGEST_HOLDER} characters"
    elif re.search(_CARD_HOLDER["refused"], holder):
        broken["card_holder"] = "has a control character, or one that is none"
    elif looks_like_a_card_number(holder):
        broken["card_holder"] = "looks like a card number"
    return broken
