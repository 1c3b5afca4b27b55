"""State `Charge`: takes the ciphertext, and returns the gateway's outcome."""

import base64
from typing import Any

from functions.charge.charge_card import charge_card
from functions.shared import runtime
from functions.shared.domain.card import CardSummary
from functions.shared.domain.payment import PaymentRequest


@runtime.function("charge", uses=(runtime.card_cipher, runtime.gateway, runtime.ledger))
def handler(event: runtime.Event) -> dict[str, Any]:
    return charge_card(
        event["payment_id"],
        PaymentRequest.from_request(event["payment"]),
        CardSummary.from_dict(event["card"]),
        base64.b64decode(event["ciphertext"]),
        cipher=runtime.card_cipher(),
        gateway=runtime.gateway(),
        ledger=runtime.ledger(),
    )
