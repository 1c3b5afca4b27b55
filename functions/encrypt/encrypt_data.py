"""Encrypt the card under the card-data key, and hold it for its charge."""

import json
from typing import Any

from functions.shared.domain.card import Card
from functions.shared.domain.errors import UnknownToken
from functions.shared.domain.security_code import CODE_KEY, encrypt_code
from functions.shared.ports import CardCipher, CardVault, HeldCard, HeldCards


def encrypt_card(card: Card, context: dict[str, str], *, cipher: CardCipher) -> HeldCard:
    """Encrypt the card, and its security code apart from it, since the card alone may be stored.

    Raises KeyServiceUnavailable, KeyUnusable.
    """
    card_data = card.to_card_data()
    security_code = None
    if card.security_code is not None:
        key, security_code = encrypt_code(card.security_code)
        card_data[CODE_KEY] = key.hex()
    return HeldCard(encrypt_data(card_data, context, cipher=cipher), security_code)


def stored_card(token: str, *, card_vault: CardVault, now: str) -> HeldCard:
    """Read the card stored under the token.

    Raises UnknownToken if the card was erased in the meantime, and LedgerUnavailable.
    """
    card = card_vault.find(token, now)
    if card is None:
        raise UnknownToken("No card is stored under this token.")
    return card


def hold_card(payment_id: str, card: HeldCard, *, held_cards: HeldCards, now: str) -> dict[str, Any]:
    """Hold the card until the payment ends, and return `{"transaction_id": hex}`, the SHA-256 of the ciphertext held.

    The call may be repeated with another ciphertext of the card: the first one stays. Raises LedgerConflict if the
    payment has ended, and LedgerUnavailable.
    """
    return {"transaction_id": held_cards.hold(payment_id, card, now).transaction_id}


def encrypt_data(card_data: dict[str, str], context: dict[str, str], *, cipher: CardCipher) -> bytes:
    """The `CiphertextBlob` of the card data as JSON, bound to its card by the encryption context.

    Raises KeyServiceUnavailable, KeyUnusable.
    """
    return cipher.encrypt(json.dumps(card_data).encode(), context)
