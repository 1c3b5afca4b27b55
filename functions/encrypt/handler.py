"""State `Encrypt`: takes the card, or a stored card's token, and holds its ciphertext until the payment has ended.

A card that is only to be stored is not held but returned, encrypted: such an execution has no history, and its next
state stores the card.
"""

from base64 import b64encode
from typing import Any

from functions.encrypt.encrypt_data import encrypt_card, hold_card, stored_card
from functions.shared import runtime
from functions.shared.domain.card import CardSummary
from functions.shared.ports import HeldCard
from functions.shared.use_cases.open_card import open_card


@runtime.function("encrypt", uses=(runtime.card_opener, runtime.card_cipher, runtime.held_cards))
def handler(event: runtime.Event) -> dict[str, Any]:
    if "store_request" in event:
        return _to_store(_encrypted(event, event["store_request"]), verify=event["store_request"].get("verify") is True)
    request, now = event["request"], runtime.now()
    if request.get("token") is not None:
        card = stored_card(request["token"], card_vault=runtime.card_vault(), now=now)
    else:
        card = _encrypted(event, request)
    return hold_card(event["payment_id"], card, held_cards=runtime.held_cards(), now=now)


def _to_store(card: HeldCard, *, verify: bool) -> dict[str, str]:
    """The card in base64; with its security code only if the gateway is to judge it."""
    encrypted = {"ciphertext": card.ciphertext} | (
        {"security_code": card.security_code} if verify and card.security_code else {}
    )
    return {name: b64encode(value).decode() for name, value in encrypted.items()}


def _encrypted(event: runtime.Event, request: dict[str, Any]) -> HeldCard:
    return encrypt_card(
        open_card(
            request["card_data"], event["payment_id"], card_opener=runtime.card_opener, validate=runtime.validate
        ),
        CardSummary.from_dict(event["card"]).encryption_context,
        cipher=runtime.card_cipher(),
    )
