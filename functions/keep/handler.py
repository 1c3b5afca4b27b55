"""State `Keep`: takes the ciphertext of a card that is to be stored without a payment, and returns the stored card."""

import base64
from typing import Any

from functions.keep.keep_card import keep_card
from functions.shared import runtime
from functions.shared.domain.card import CardSummary
from functions.shared.ports import StoredCard


@runtime.function("keep", uses=(runtime.card_vault,))
def handler(event: runtime.Event) -> dict[str, Any]:
    now = runtime.now()
    card = StoredCard(
        CardSummary.from_dict(event["card"]), base64.b64decode(event["ciphertext"]), runtime.kept_until(now)
    )
    kept = keep_card(event["payment_id"], card, now, card_vault=runtime.card_vault())
    runtime.count("CardStored")
    return kept
