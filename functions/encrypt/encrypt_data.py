"""Encrypt the card under the card-data key."""

import base64
import hashlib
import json
from typing import Any

from functions.shared.domain.card import Card
from functions.shared.ports import CardCipher


def encrypt_card(card: Card, token: str, *, cipher: CardCipher) -> dict[str, Any]:
    """Return `{"ciphertext": base64, "transaction_id": hex}`; the transaction's id is the SHA-256 of the ciphertext."""
    ciphertext = encrypt_data(card.to_card_data(), token, cipher=cipher)
    return {
        "ciphertext": base64.b64encode(ciphertext).decode(),
        "transaction_id": hashlib.sha256(ciphertext).hexdigest(),
    }


def encrypt_data(card_data: dict[str, str], token: str, *, cipher: CardCipher) -> bytes:
    """The `CiphertextBlob` of the card data as JSON, bound to its token by the encryption context.

    Raises KeyServiceUnavailable, KeyUnusable.
    """
    return cipher.encrypt(json.dumps(card_data).encode(), {"token": token})
