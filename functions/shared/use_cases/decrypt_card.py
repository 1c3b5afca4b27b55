"""The card in the clear, for the gateway, as Encrypt encrypted it."""

import json

from functions.shared.domain.card import Card, CardSummary
from functions.shared.domain.errors import KeyUnusable
from functions.shared.domain.security_code import CODE_KEY, decrypt_code
from functions.shared.ports import CardCipher, HeldCard


def decrypt_card(encrypted: HeldCard, summary: CardSummary, *, cipher: CardCipher) -> Card:
    """The card, with its security code if `encrypted` has one. Raises KeyServiceUnavailable, KeyUnusable."""
    card_data = json.loads(cipher.decrypt(encrypted.ciphertext, summary.encryption_context))
    if encrypted.security_code is not None:
        card_data["security_code"] = _security_code(card_data.get(CODE_KEY, ""), encrypted.security_code)
    return Card.from_card_data(card_data)


def _security_code(key: str, ciphertext: bytes) -> str:
    try:
        return decrypt_code(bytes.fromhex(key), ciphertext)
    except ValueError:
        raise KeyUnusable("The security code was encrypted with another card.") from None
