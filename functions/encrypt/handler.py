"""State `Encrypt`: takes the card, or a stored card's token, and returns its ciphertext and the transaction's id."""

from typing import Any

from functions.encrypt.encrypt_data import encrypt_card, stored_card
from functions.shared import runtime
from functions.shared.domain.card import CardSummary
from functions.shared.use_cases.open_card import open_card


@runtime.function("encrypt", uses=(runtime.card_opener, runtime.card_cipher))
def handler(event: runtime.Event) -> dict[str, Any]:
    request, payment_id = event.get("request") or event["store_request"], event["payment_id"]
    if request.get("token") is not None:
        return stored_card(request["token"], card_vault=runtime.card_vault(), now=runtime.now())
    card = open_card(request["card_data"], payment_id, card_opener=runtime.card_opener, validate=runtime.validate)
    return encrypt_card(card, CardSummary.from_dict(event["card"]).encryption_context, cipher=runtime.card_cipher())
