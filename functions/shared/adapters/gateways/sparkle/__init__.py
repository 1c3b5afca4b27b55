"""The Sparkle payment gateway, according to its contract in docs/sparkle.yaml."""

from collections.abc import Callable, Mapping

from functions.shared.domain.charge import Abilities
from functions.shared.ports import PaymentGateway

ABILITIES = Abilities(
    void=True,
    partial_capture=True,
    settlement_report=True,
    three_d_secure=True,
    security_code=True,
)

MINOR_UNITS: Mapping[str, int] = {"ISK": 2, "UGX": 2}
"""The currencies for which Sparkle's decimals differ from ISO 4217: docs/sparkle.yaml."""


def connect(
    url: str,
    api_key: Callable[[], str],
    *,
    connect_timeout_seconds: float,
    read_timeout_seconds: float,
    settings: Mapping[str, str],
    iso_minor_unit: Callable[[str], int | None],
    now: Callable[[], str],
    observe: Callable[[str, float, bool], None],
) -> PaymentGateway:
    """Make the adapter. Sparkle has no settings of its own."""
    from functions.shared.adapters.gateways.sparkle.client import Sparkle

    return Sparkle(
        url,
        api_key,
        connect_timeout_seconds=connect_timeout_seconds,
        read_timeout_seconds=read_timeout_seconds,
        iso_minor_unit=iso_minor_unit,
        observe=observe,
    )
