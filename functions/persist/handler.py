"""State `Persist`: the gateway's outcome in, what was recorded out."""

import base64
from typing import Any

from functions.persist.persist_payment import payment_from, persist_payment
from functions.shared import runtime

METRICS = {
    "captured": "PaymentCaptured",
    "authorized": "PaymentAuthorized",
    "declined": "PaymentDeclined",
    "stored": "CardStored",
}


@runtime.function("persist")
def handler(event: runtime.Event) -> dict[str, Any]:
    payment = payment_from(event, runtime.now())
    ciphertext, gateway = base64.b64decode(event["encrypted"]["ciphertext"]), event["charge"].get("gateway")
    ledger, card_vault = runtime.ledger(), runtime.card_vault()
    recorded = persist_payment(payment, ciphertext, gateway, ledger=ledger, card_vault=card_vault)
    runtime.count(METRICS[recorded.status])
    return recorded.outcome()
