"""The answer that the states Charge and Confirm have in common."""

from typing import Any

from functions.shared.domain.card import CardSummary
from functions.shared.domain.charge import Charge, Order
from functions.shared.domain.errors import GatewayMismatch


def check_charge(charge: Charge, order: Order, *, capture: bool) -> None:
    """Raise GatewayMismatch unless this is the charge that was asked for."""
    if not charge.is_as_requested(order.reference, order.amount_minor, order.currency, capture=capture):
        raise GatewayMismatch("The gateway charged another reference, amount or currency than asked.")


def charge_outcome(charge: Charge, card: CardSummary, *, capture: bool) -> dict[str, Any]:
    """`{"outcome": "captured" | "authorized" | "declined", "gateway", "charge_id", "decline_code",
    "network_transaction_id", "shown"}` of a charge that is as requested and waits for nobody.

    The outcome is the request's own, and `shown` is the charge with all later movements.
    """
    return {
        "outcome": charge.outcome(capture=capture),
        "gateway": charge.gateway,
        "charge_id": charge.charge_id,
        "decline_code": charge.decline_code,
        "network_transaction_id": charge.network_transaction_id_for(card),
        "shown": charge.to_dict(),
    }
