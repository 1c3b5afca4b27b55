"""Store a card without a payment."""

from typing import Any

from functions.shared.domain.card import CardSummary, sealed_hash
from functions.shared.domain.errors import LedgerConflict, SealingKeyUsed
from functions.shared.ports import CardVault, HeldCards, StoredCard


def keep_card(
    key: str, card: StoredCard, sealed_hash: str | None, now: str, *, card_vault: CardVault, held_cards: HeldCards
) -> dict[str, Any]:
    """Store the card, delete the key that it was sealed to, and return what `POST /cards` answers: `{"payment_id",
    "status", "card"}`.

    `key` is the request's idempotency key, and `sealed_hash` the hash of the card as it came, if it came sealed. The
    call may be repeated. Raises LedgerUnavailable, and LedgerConflict if the key has stored another card.
    """
    card_vault.keep(key, card, now, sealed_hash)
    held_cards.erase_key(key)
    return _answer(key, card.summary)


def recall_kept_card(key: str, sealed_card: str, now: str, *, card_vault: CardVault) -> dict[str, Any]:
    """Answer a repeated request, whose card can't be opened a second time, as it was answered before.

    Raises LedgerConflict if the key has stored a card sealed otherwise, or one that was erased since; SealingKeyUsed if
    it has stored none; LedgerUnavailable.
    """
    stored = card_vault.stored_on_request(key, now)
    if stored is None:
        raise SealingKeyUsed("The key of this card was deleted. Use a new Idempotency-Key and its own key.")
    if stored.card is None or stored.sealed_hash != sealed_hash(sealed_card):
        raise LedgerConflict("The key has stored another card, or one that was erased since.")
    return _answer(key, stored.card)


def _answer(key: str, card: CardSummary) -> dict[str, Any]:
    return {"payment_id": key, "status": "stored", "card": card.to_dict()}
