"""What a deployment decides, from the environment that Terraform gives to the functions."""

import os
from datetime import datetime, timedelta

from functions.shared.domain.times import iso


def saves_cards() -> bool:
    """Whether a payment's card is kept when the request does not say."""
    return os.environ["SAVE_CARDS"] == "true"


def accepted_brands() -> frozenset[str]:
    """The brands whose cards this deployment takes."""
    return frozenset(os.environ["ACCEPTED_BRANDS"].split(","))


def accepts_test_cards() -> bool:
    """Whether this deployment takes published test cards."""
    return os.environ["TEST_CARDS_ACCEPTED"] == "true"


def kept_until(used_at: str) -> str:
    """Until when a card is kept that was last used at that time (ISO 8601)."""
    return iso(datetime.fromisoformat(used_at) + timedelta(days=int(os.environ["CARD_RETENTION_DAYS"])))
