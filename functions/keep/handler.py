"""States `Keep` and `RecallCard`: take a card that is to be stored without a payment, and return the stored card."""

import base64
from typing import Any

from functions.keep.keep_card import keep_card, recall_kept_card
from functions.shared import runtime
from functions.shared.domain.card import CardSummary
from functions.shared.ports import StoredCard


@runtime.function("keep", uses=(runtime.card_vault, runtime.held_cards))
def handler(event: runtime.Event) -> dict[str, Any]:
    key, now = event["payment_id"], runtime.now()
    if "repeated" in event:
        return recall_kept_card(key, event["repeated"], now, card_vault=runtime.card_vault())
    encrypted = event["encrypted"]
    card = StoredCard(
        CardSummary.from_dict(event["card"]),
        base64.b64decode(encrypted["ciphertext"]),
        runtime.kept_until(now),
        encrypted.get("network_transaction_id"),
    )
    answer = keep_card(
        key, card, event["sealed_hash"], now, card_vault=runtime.card_vault(), held_cards=runtime.held_cards()
    )
    runtime.count("CardStored")
    return answer
