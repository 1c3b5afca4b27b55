"""State `Persist`: the gateway's outcome in, what was recorded out."""

import base64
from typing import Any

from functions.persist.persist_payment import persist_payment
from functions.shared import runtime
from functions.shared.domain.card import CardSummary
from functions.shared.domain.payment import Payment, PaymentRequest

METRICS = {
    "captured": "PaymentCaptured",
    "authorized": "PaymentAuthorized",
    "declined": "PaymentDeclined",
    "stored": "CardStored",
}


@runtime.function("persist")
def handler(event: runtime.Event) -> dict[str, Any]:
    encrypted, charge = event["encrypted"], event["charge"]
    payment = Payment.first(
        event["payment_id"],
        charge["outcome"],
        PaymentRequest.from_request(event["payment"]),
        CardSummary(**event["card"]),
        encrypted["transaction_id"],
        started_at=event["started_at"],
        now=runtime.now(),
        charge_id=charge.get("charge_id"),
        decline_code=charge.get("decline_code"),
    )
    ciphertext = base64.b64decode(encrypted["ciphertext"])
    recorded = persist_payment(
        payment, ciphertext, charge.get("gateway"), ledger=runtime.ledger(), card_vault=runtime.card_vault()
    )
    runtime.count(METRICS[recorded.status])
    return recorded.outcome()
