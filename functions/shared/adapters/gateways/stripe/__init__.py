"""The payment gateway Stripe: docs/stripe.md.

The adapter calls Stripe's API with `requests` and not with Stripe's SDK, whose import would take half a second of each
cold start. Tests compare the names of its parameters and fields with the SDK's types.
"""

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

MINOR_UNITS: Mapping[str, int] = {"ISK": 2, "UGX": 2, "MGA": 0}
"""The currencies for which Stripe's decimals differ from ISO 4217: https://docs.stripe.com/currencies (seen
2026-11-29)."""


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
    """Make the adapter.

    With the setting `network_transaction_ids` at `true`, charges of stored cards name the network's id of the
    customer's transaction, which Stripe accepts only of accounts that it has enabled for this.
    """
    from functions.shared.adapters.gateways.stripe.client import Stripe

    return Stripe(
        url,
        api_key,
        connect_timeout_seconds=connect_timeout_seconds,
        read_timeout_seconds=read_timeout_seconds,
        sends_network_transaction_ids=settings.get("network_transaction_ids") == "true",
        iso_minor_unit=iso_minor_unit,
        now=now,
        observe=observe,
    )
