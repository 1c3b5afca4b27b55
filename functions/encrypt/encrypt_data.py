"""Encrypt the card under the card-data key."""

import base64
import hashlib
import json
from typing import Any

from functions.shared.domain.card import Card
from functions.shared.domain.errors import UnknownToken
from functions.shared.ports import CardCipher, CardVault


def encrypt_card(card: Card, context: dict[str, str], *, cipher: CardCipher) -> dict[str, Any]:
    """Return `{"ciphertext": base64, "transaction_id": hex}`; the transaction's id is the SHA-256 of the ciphertext."""
    return _transaction(encrypt_data(card.to_card_data(), context, cipher=cipher))


def stored_card(token: str, *, card_vault: CardVault, now: str) -> dict[str, Any]:
    """Read the ciphertext stored under the token, and return the same as `encrypt_card`.

    Raises UnknownToken if the card was erased in the meantime, and LedgerUnavailable.
    """
    ciphertext = card_vault.ciphertext(token, now)
    if ciphertext is None:
        raise UnknownToken("No card is stored under this token.")
    return _transaction(ciphertext)


def encrypt_data(card_data: dict[str, str], context: dict[str, str], *, cipher: CardCipher) -> bytes:
    """The `CiphertextBlob` of the card data as JSON, bound to its card by the encryption context.

    Raises KeyServiceUnavailable, KeyUnusable.
    """
    return cipher.encrypt(json.dumps(card_data).encode(), context)


def _transaction(ciphertext: bytes) -> dict[str, Any]:
    return {
        "ciphertext": base64.b64encode(ciphertext).decode(),
        "transaction_id": hashlib.sha256(ciphertext).hexdigest(),
    }
