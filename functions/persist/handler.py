"""State `Persist`: takes the gateway's outcome, and returns the recorded outcome."""

import base64
from typing import Any

from functions.persist.persist_payment import payment_from, persist_payment, recorded_before
from functions.shared import runtime
from functions.shared.domain.charge import Charge

METRICS = {
    "captured": "PaymentCaptured",
    "authorized": "PaymentAuthorized",
    "declined": "PaymentDeclined",
    "stored": "CardStored",
}


@runtime.function("persist", uses=(runtime.ledger, runtime.books_mac, runtime.card_vault, runtime.velocity_counter))
def handler(event: runtime.Event) -> dict[str, Any]:
    if event["charge"]["outcome"] == "recorded":
        return recorded_before(event["payment_id"], ledger=runtime.ledger()).outcome()
    ciphertext, now = event["encrypted"]["ciphertext"], runtime.now()
    recorded = persist_payment(
        payment_from(event, now),
        base64.b64decode(ciphertext) if ciphertext else None,
        Charge.from_dict(event["charge"]["shown"]) if "shown" in event["charge"] else None,
        card_on_file=event["payment"]["card_on_file"],
        keep_card_until=runtime.kept_until(now),
        ledger=runtime.ledger(),
        card_vault=runtime.card_vault(),
        velocity_counter=runtime.velocity_counter(),
    )
    runtime.count(METRICS[event["charge"]["outcome"]])
    return recorded.outcome()
