"""State `Charge`: takes the transaction's id, and returns the gateway's outcome.

If the customer has to be asked first, it raises CustomerActionRequired, so that all other payments go straight on.
"""

from dataclasses import replace
from typing import Any

from functions.charge.charge_card import charge_card
from functions.shared import runtime
from functions.shared.domain.card import CardSummary
from functions.shared.domain.errors import CustomerActionRequired
from functions.shared.domain.payment import PaymentRequest


@runtime.function("charge", uses=(runtime.held_cards, runtime.card_cipher, runtime.gateways, runtime.ledger))
def handler(event: runtime.Event) -> dict[str, Any]:
    payment = PaymentRequest.from_request(event["payment"])
    try:
        return charge_card(
            event["payment_id"],
            replace(payment, three_d_secure=event["three_d_secure"]),
            CardSummary.from_dict(event["card"]),
            event["transaction_id"],
            event["started_at"],
            held_cards=runtime.held_cards(),
            cipher=runtime.card_cipher(),
            gateway=runtime.gateways().named(event["gateway"]),
            ledger=runtime.ledger(),
        )
    except CustomerActionRequired:
        runtime.count("CustomerActionRequired")
        raise
