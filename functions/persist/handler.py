"""States `Persist` and `Deny`: take the gateway's outcome, or a rule's denial, and return the recorded outcome."""

import base64
import json
from typing import Any

from functions.persist.persist_payment import (
    already_recorded,
    denied_payment_from,
    deny_payment,
    payment_from,
    persist_payment,
)
from functions.shared import runtime
from functions.shared.domain.charge import Charge

METRICS = {
    "captured": "PaymentCaptured",
    "authorized": "PaymentAuthorized",
    "declined": "PaymentDeclined",
}


@runtime.function("persist", uses=(runtime.ledger, runtime.books_mac, runtime.card_vault, runtime.velocity_counter))
def handler(event: runtime.Event) -> dict[str, Any]:
    if "denied" in event:
        return _deny(event)
    if event["charge"]["outcome"] == "recorded":
        return already_recorded(event["payment_id"], ledger=runtime.ledger()).outcome()
    now = runtime.now()
    recorded = persist_payment(
        payment_from(event, now),
        base64.b64decode(event["encrypted"]["ciphertext"]),
        Charge.from_dict(event["charge"]["shown"]),
        card_on_file=event["payment"]["card_on_file"],
        keep_card_until=runtime.kept_until(now),
        ledger=runtime.ledger(),
        card_vault=runtime.card_vault(),
        velocity_counter=runtime.velocity_counter(),
    )
    runtime.count(METRICS[event["charge"]["outcome"]])
    return recorded.outcome()


def _deny(event: runtime.Event) -> dict[str, Any]:
    """Record that a rule declined the payment. Screen's verdict is the message of the error that Step Functions caught,
    whose cause is JSON (`tests/aws_facts/lambda_errors.yaml`)."""
    verdict = json.loads(json.loads(event["denied"])["errorMessage"])
    recorded = deny_payment(denied_payment_from(event, verdict, runtime.now()), ledger=runtime.ledger())
    runtime.count("PaymentDeclined")
    return recorded.outcome()
