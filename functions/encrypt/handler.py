"""State `Encrypt`: the card in, its ciphertext and the transaction's id out."""

from typing import Any

from functions.encrypt.encrypt_data import encrypt_card
from functions.shared import runtime
from functions.shared.card_data import open_card


@runtime.function("encrypt")
def handler(event: runtime.Event) -> dict[str, Any]:
    card = open_card(
        event["card_data"], event["payment_id"], card_opener=runtime.card_opener, validate=runtime.validate
    )
    return encrypt_card(card, event["token"], cipher=runtime.card_cipher())
