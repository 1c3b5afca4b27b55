"""Store a card without a payment."""

from typing import Any

from functions.shared.ports import CardVault, StoredCard


def keep_card(key: str, card: StoredCard, now: str, *, card_vault: CardVault) -> dict[str, Any]:
    """Store the card, and return what `POST /cards` answers: `{"payment_id", "status", "card"}`.

    The call may be repeated. Raises LedgerUnavailable, and LedgerConflict if the key has stored another card.
    """
    card_vault.keep(key, card, now)
    return {"payment_id": key, "status": "stored", "card": card.summary.to_dict()}
