"""The settings of a deployment, from the environment variables that Terraform sets for the functions."""

import json
import os
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

from functions.shared.domain.routing import Route
from functions.shared.domain.times import iso

if TYPE_CHECKING:
    from functions.shared.domain.charge import Abilities


def saves_cards() -> bool:
    """Whether a payment's card is kept if the request does not specify it."""
    return os.environ["SAVE_CARDS"] == "true"


def accepted_brands() -> frozenset[str]:
    """The card brands that this deployment accepts."""
    return frozenset(os.environ["ACCEPTED_BRANDS"].split(","))


def accepts_test_cards() -> bool:
    """Whether this deployment accepts published test cards."""
    return os.environ["TEST_CARDS_ACCEPTED"] == "true"


def return_origins() -> tuple[str, ...]:
    """The origins to which a customer's browser may return after a challenge."""
    return tuple(filter(None, os.environ["RETURN_URLS"].split(",")))


def customer_timeout_minutes() -> int:
    """How long a payment waits for its customer."""
    return int(os.environ["CUSTOMER_TIMEOUT_MINUTES"])


def gateway_abilities(gateway: str) -> "Abilities":
    """What the gateway can do."""
    from functions.shared.adapters.gateways.registry import adapter

    abilities: Abilities = adapter(gateway).ABILITIES
    return abilities


@cache
def gateway_routes() -> tuple[Route, ...]:
    """The routes by which payments go to gateways."""
    return tuple(map(Route.from_dict, json.loads(os.environ["GATEWAY_ROUTES"])))


def kept_until(used_at: str) -> str:
    """The time until which a card last used at `used_at` is kept (ISO 8601)."""
    return iso(datetime.fromisoformat(used_at) + timedelta(days=int(os.environ["CARD_RETENTION_DAYS"])))
