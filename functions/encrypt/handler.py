"""State `Encrypt`: the card in, its ciphertext and the transaction's id out."""

from typing import Any

from functions.encrypt.encrypt_data import encrypt_card
from functions.shared import runtime
from functions.shared.domain.card import Card


@runtime.function("encrypt")
def handler(event: runtime.Event) -> dict[str, Any]:
    return encrypt_card(Card.from_card_data(event["card_data"]), event["token"], cipher=runtime.card_cipher())
