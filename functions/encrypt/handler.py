"""State `Encrypt`: takes the card, or a stored card's token, and holds its ciphertext until the payment has ended.

A card that is only to be stored is not held but returned, encrypted: such an execution has no history, and its next
state stores the card.
"""

from base64 import b64encode
from typing import Any

from functions.encrypt.encrypt_data import encrypt_card, hold_card, stored_card
from functions.shared import runtime
from functions.shared.domain.card import CardSummary, sealed_hash
from functions.shared.ports import HeldCard
from functions.shared.use_cases.open_card import open_card


@runtime.function("encrypt", uses=(runtime.card_opener, runtime.card_cipher, runtime.held_cards))
def handler(event: runtime.Event) -> dict[str, Any]:
    if "store_request" in event:
        request = event["store_request"]
        ciphertext = b64encode(_encrypted(event, request).ciphertext).decode()
        return {"ciphertext": ciphertext, "sealed_hash": sealed_hash(request["card_data"])}
    request, now = event["request"], runtime.now()
    if request.get("token") is not None:
        card = stored_card(request["token"], card_vault=runtime.card_vault(), now=now)
    else:
        card = _encrypted(event, request)
    return hold_card(event["payment_id"], card, held_cards=runtime.held_cards(), now=now)


def _encrypted(event: runtime.Event, request: dict[str, Any]) -> HeldCard:
    payment_id = event["payment_id"]
    return encrypt_card(
        open_card(request["card_data"], payment_id, card_opener=runtime.card_opener, validate=runtime.validate),
        payment_id,
        CardSummary.from_dict(event["card"]).encryption_context,
        cipher=runtime.card_cipher(),
        code_cipher=runtime.ephemeral_cipher(),
    )
