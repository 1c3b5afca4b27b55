"""The settings of a deployment, from the environment variables that Terraform sets for the functions."""

import os
from datetime import datetime, timedelta

from functions.shared.domain.times import iso


def saves_cards() -> bool:
    """Whether a payment's card is kept if the request does not specify it."""
    return os.environ["SAVE_CARDS"] == "true"


def accepted_brands() -> frozenset[str]:
    """The card brands that this deployment accepts."""
    return frozenset(os.environ["ACCEPTED_BRANDS"].split(","))


def accepts_test_cards() -> bool:
    """Whether this deployment accepts published test cards."""
    return os.environ["TEST_CARDS_ACCEPTED"] == "true"


def kept_until(used_at: str) -> str:
    """The time until which a card last used at `used_at` is kept (ISO 8601)."""
    return iso(datetime.fromisoformat(used_at) + timedelta(days=int(os.environ["CARD_RETENTION_DAYS"])))
