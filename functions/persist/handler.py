"""State `Persist`: the gateway's outcome in, what was recorded out."""

import base64
import os
from datetime import datetime, timedelta
from typing import Any

from functions.persist.persist_payment import payment_from, persist_payment
from functions.shared import runtime

METRICS = {
    "captured": "PaymentCaptured",
    "authorized": "PaymentAuthorized",
    "declined": "PaymentDeclined",
    "stored": "CardStored",
}


@runtime.function("persist", uses=(runtime.ledger, runtime.card_vault))
def handler(event: runtime.Event) -> dict[str, Any]:
    ciphertext, now = event["encrypted"]["ciphertext"], runtime.now()
    retention = timedelta(days=int(os.environ["CARD_RETENTION_DAYS"]))
    recorded = persist_payment(
        payment_from(event, now),
        base64.b64decode(ciphertext) if ciphertext else None,
        event["charge"].get("gateway"),
        card_on_file=event["payment"]["card_on_file"],
        keep_card_until=(datetime.fromisoformat(now) + retention).isoformat(),
        ledger=runtime.ledger(),
        card_vault=runtime.card_vault(),
    )
    runtime.count(METRICS[recorded.status])
    return recorded.outcome()
