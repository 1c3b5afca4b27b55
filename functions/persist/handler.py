"""States `Persist` and `Deny`: take the gateway's outcome, or a rule's denial, and return the recorded outcome.

State `Erase`: takes a rejected payment, of which nothing is recorded.
"""

from typing import Any

from functions.persist.persist_payment import (
    already_recorded,
    denied_payment_from,
    deny_payment,
    payment_from,
    persist_payment,
)
from functions.shared import runtime
from functions.shared.domain.caught import message
from functions.shared.domain.charge import Charge

METRICS = {
    "captured": "PaymentCaptured",
    "authorized": "PaymentAuthorized",
    "declined": "PaymentDeclined",
}


FACTORIES = (
    runtime.ledger,
    runtime.books_mac,
    runtime.held_cards,
    runtime.card_vault,
    runtime.velocity_counter,
)


@runtime.function("persist", uses=FACTORIES)
def handler(event: runtime.Event) -> dict[str, Any]:
    held_cards, ledger, now = runtime.held_cards(), runtime.ledger(), runtime.now()
    if "rejected" in event:
        held_cards.erase(event["payment_id"], now)
        return {"payment_id": event["payment_id"], "status": "rejected"}
    if "denied" in event:
        denied = denied_payment_from(event, message(event["denied"]), now)
        recorded = deny_payment(denied, held_cards=held_cards, ledger=ledger)
        runtime.count("PaymentDeclined")
        return recorded.outcome()
    if event["charge"]["outcome"] == "recorded":
        return already_recorded(event["payment_id"], held_cards=held_cards, ledger=ledger, now=now).outcome()
    recorded = persist_payment(
        payment_from(event, now),
        Charge.from_dict(event["charge"]["shown"]),
        card_on_file=event["payment"]["card_on_file"],
        network_transaction_id=event["charge"].get("network_transaction_id"),
        keep_card_until=runtime.kept_until(now),
        held_cards=held_cards,
        ledger=ledger,
        card_vault=runtime.card_vault(),
        velocity_counter=runtime.velocity_counter(),
    )
    runtime.count(METRICS[event["charge"]["outcome"]])
    return recorded.outcome()
