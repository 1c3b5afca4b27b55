"""Record the gateway's decision."""

from dataclasses import replace
from typing import Any

from functions.shared.domain.adoption import adopt
from functions.shared.domain.charge import Charge
from functions.shared.domain.errors import LedgerConflict
from functions.shared.domain.ledger import capture_entry
from functions.shared.domain.payment import FAILURE_STATUSES, Payment
from functions.shared.ports import CardVault, HeldCards, Ledger, StoredCard, VelocityCounter


def payment_from(event: dict[str, Any], now: str) -> Payment:
    """The payment's first record, from the state's input."""
    charge = event["charge"]
    return Payment.first_of(
        event,
        charge["outcome"],
        event["transaction_id"],
        now=now,
        gateway=charge.get("gateway"),
        charge_id=charge.get("charge_id"),
        decline_code=charge.get("decline_code"),
    )


def denied_payment_from(event: dict[str, Any], verdict: dict[str, Any], now: str) -> Payment:
    """The first record of a payment that a screening rule has declined, from the state's input and the verdict."""
    return Payment.first_of(
        event | {"flags": verdict["flags"]}, "declined", None, now=now, decline_code=verdict["decline_code"]
    )


def deny_payment(payment: Payment, *, held_cards: HeldCards, ledger: Ledger) -> Payment:
    """Write a payment whose card was never encrypted, and which the gateway was never asked for; erase its key.

    The call may be repeated. Raises LedgerUnavailable, LedgerConflict.
    """
    ledger.record(payment)
    held_cards.erase(payment.payment_id, payment.updated_at)
    return payment


def already_recorded(payment_id: str, *, held_cards: HeldCards, ledger: Ledger, now: str) -> Payment:
    """The payment that Charge found in the ledger and so did not charge again. Its recorded status is the outcome.

    Raises LedgerConflict if the record shows a failure, and LedgerUnavailable.
    """
    payment = ledger.payment(payment_id)
    assert payment  # nothing is ever deleted
    if payment.status in FAILURE_STATUSES:
        raise LedgerConflict(f"The payment was recorded before, as {payment.status}.")
    held_cards.erase(payment_id, now)
    return payment


def persist_payment(
    payment: Payment,
    charge: Charge,
    *,
    card_on_file: bool,
    network_transaction_id: str | None = None,
    keep_card_until: str,
    held_cards: HeldCards,
    ledger: Ledger,
    card_vault: CardVault,
    velocity_counter: VelocityCounter,
) -> Payment:
    """Write the payment, its journal entries and the card to be kept, all or nothing; then erase what is held for the
    payment. The call may be repeated.

    Only a capture moves money. `charge` is the charge as the state Charge saw it; its later movements are adopted. A
    decline by the gateway is counted once it is recorded. A stored card that was charged by its token is kept for
    longer, unless it was erased in the meantime; the first charge that the customer made gives it the network's
    transaction id for later ones. Raises LedgerUnavailable, LedgerConflict.
    """
    entries, card = [], None
    token = payment.card.token if payment.card else None
    if token and not card_on_file:
        assert payment.card
        if held_card := held_cards.find(payment.payment_id):
            card = StoredCard(payment.card, held_card.ciphertext, keep_card_until, network_transaction_id)
        elif not ledger.statuses([payment.payment_id]):
            # No earlier attempt has stored the card. Somebody stopped the execution, and so the card was erased.
            payment = replace(payment, card=payment.card.without_token())
    if payment.status == "captured":
        assert payment.amount_minor and payment.currency  # every payment has them
        entries.append(capture_entry(charge.gateway, payment.amount_minor, payment.currency))
    recorded, posted = replace(payment, authentication=charge.authentication).post(*entries)
    recorded, adopted = adopt(recorded, posted, charge, payment.updated_at)
    ledger.record(recorded, posted + adopted, card)
    if recorded.was_declined_by_gateway:
        velocity_counter.count_decline(recorded)
    if token and card_on_file:
        by_customer = payment.initiator == "customer"
        card_vault.renew(token, keep_card_until, network_transaction_id if by_customer else None)
    held_cards.erase(payment.payment_id, payment.updated_at)
    return recorded
