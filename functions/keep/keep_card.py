"""Store a card without a payment."""

import hashlib
from typing import Any

from functions.shared.domain.card import CardSummary
from functions.shared.domain.errors import LedgerConflict, SealingKeyUsed
from functions.shared.ports import CardVault, HeldCards, StoredCard


def keep_card(
    key: str,
    card_data: str | dict[str, str],
    card: StoredCard,
    now: str,
    *,
    card_vault: CardVault,
    held_cards: HeldCards,
) -> dict[str, Any]:
    """Store the card, delete the key that it was sealed to, and return what `POST /cards` answers: `{"payment_id",
    "status", "card"}`.

    `key` is the request's idempotency key, and `card_data` the card as it came. The call may be repeated. Raises
    LedgerUnavailable, and LedgerConflict if the key has stored another card.
    """
    card_vault.keep(key, card, now, _sealed_hash(card_data))
    held_cards.erase(key, now)
    return _answer(key, card.summary)


def recall_card(key: str, sealed_card: str, now: str, *, card_vault: CardVault) -> dict[str, Any]:
    """Answer a repeated request, whose card can't be opened a second time, as it was answered before.

    Raises LedgerConflict if the key has stored a card sealed otherwise, or one that was erased since; SealingKeyUsed if
    it has stored none; LedgerUnavailable.
    """
    stored = card_vault.stored_on_request(key, now)
    if stored is None:
        raise SealingKeyUsed("The key of this card was deleted. Use a new Idempotency-Key and its own key.")
    if stored.card is None or stored.sealed_hash != _sealed_hash(sealed_card):
        raise LedgerConflict("The key has stored another card, or one that was erased since.")
    return _answer(key, stored.card)


def _answer(key: str, card: CardSummary) -> dict[str, Any]:
    return {"payment_id": key, "status": "stored", "card": card.to_dict()}


def _sealed_hash(card_data: str | dict[str, str]) -> str | None:
    """What tells two sealed cards apart. Of a card in the clear there is none, as a hash could reveal its number."""
    return hashlib.sha256(card_data.encode()).hexdigest() if isinstance(card_data, str) else None
