"""Record what the gateway decided."""

from dataclasses import replace

from functions.shared.domain.ledger import capture_entry
from functions.shared.domain.payment import Payment
from functions.shared.ports import CardVault, Ledger, StoredCard


def persist_payment(
    payment: Payment, ciphertext: bytes, gateway: str | None, *, ledger: Ledger, card_vault: CardVault
) -> Payment:
    """Write the payment and its journal entry, all or nothing, and keep the card. Safe to repeat.

    Only a capture moves money. The card of a declined payment is not kept. Raises LedgerUnavailable, LedgerConflict.
    """
    if payment.status != "declined":
        card_vault.keep(StoredCard(payment.card, ciphertext), payment.updated_at)
    entries = []
    if payment.status == "captured":
        assert gateway and payment.amount_minor and payment.currency  # the contract of the state
        entries.append(capture_entry(gateway, payment.amount_minor, payment.currency))
    recorded = replace(payment, entry_count=len(entries))
    ledger.record(recorded, entries)
    return recorded
