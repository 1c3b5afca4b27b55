"""State `Charge`: takes the transaction's id, and returns the gateway's outcome."""

from typing import Any

from functions.charge.charge_card import charge_card
from functions.shared import runtime
from functions.shared.domain.card import CardSummary
from functions.shared.domain.payment import PaymentRequest


@runtime.function("charge", uses=(runtime.held_cards, runtime.card_cipher, runtime.gateway, runtime.ledger))
def handler(event: runtime.Event) -> dict[str, Any]:
    return charge_card(
        event["payment_id"],
        PaymentRequest.from_request(event["payment"]),
        CardSummary.from_dict(event["card"]),
        event["transaction_id"],
        held_cards=runtime.held_cards(),
        cipher=runtime.card_cipher(),
        code_cipher=runtime.ephemeral_cipher,
        gateway=runtime.gateway(),
        ledger=runtime.ledger(),
    )
