"""The rules for card data that can be checked with nothing but the data and the time.

This module needs only the standard library, because the client has its own copy of it (client/card_rules.py). The
checkout page implements the same rules in examples/checkout/page/rules.mjs, with the same numbers from card_rules.json.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

from .card_number import RULES, is_blank, is_card_number, looks_like_a_card_number

_EXPIRY_DATE, _CARD_HOLDER = RULES["expiry_date"], RULES["card_holder"]

LATEST_TIME_ZONE = timezone(timedelta(hours=_EXPIRY_DATE["last_place_hours"]))
"""The time zone in which a month ends last. A card is valid until then, because its holder may be there."""

LONGEST_VALIDITY_YEARS: int = _EXPIRY_DATE["longest_years"]
"""The longest plausible validity of a card. A later expiry date must be a typing error."""

LONGEST_HOLDER_NAME: int = _CARD_HOLDER["longest"]


def expiry_of(expiry_date: str) -> tuple[int, int] | None:
    """Parse `12/30` as `(2030, 12)`. Returns None if the text is not MM/YY."""
    match = re.fullmatch(_EXPIRY_DATE["pattern"], expiry_date)
    return (2000 + int(match[2]), int(match[1])) if match else None


def has_expired(expiry: tuple[int, int], now: datetime) -> bool:
    """Whether the expiry month has ended everywhere. `now` must have a time zone."""
    local_now = now.astimezone(LATEST_TIME_ZONE)
    return (local_now.year, local_now.month) > expiry


def expires_too_late(expiry: tuple[int, int], now: datetime) -> bool:
    local_now = now.astimezone(LATEST_TIME_ZONE)
    return (local_now.year + LONGEST_VALIDITY_YEARS, local_now.month) < expiry


def broken_rules(card_data: Mapping[str, str], now: datetime) -> dict[str, str]:
    """The broken rule for each invalid field. The texts never quote the field. An expired card breaks no rule, and
    neither does one without a security code.
    """
    broken = {}
    if not is_card_number(card_data["card_number"]):
        broken["card_number"] = "must be a card's: digits alone, with a brand's prefix and length and the check digit"
    expiry = expiry_of(card_data["expiry_date"])
    if expiry is None:
        broken["expiry_date"] = "must be MM/YY"
    elif expires_too_late(expiry, now):
        broken["expiry_date"] = f"must not be further than {LONGEST_VALIDITY_YEARS} years from now"
    holder = card_data["card_holder"]
    if is_blank(holder) or len(holder) > LONGEST_HOLDER_NAME:
        broken["card_holder"] = f"must be a name of at most {LONGEST_HOLDER_NAME} characters"
    elif re.search(_CARD_HOLDER["refused"], holder):
        broken["card_holder"] = "has a control character, or one that is none"
    elif looks_like_a_card_number(holder):
        broken["card_holder"] = "looks like a card number"
    code = card_data.get("security_code")
    if code is not None and not re.fullmatch(RULES["security_code"]["pattern"], code):
        broken["security_code"] = "must be 3 or 4 digits"
    return broken
