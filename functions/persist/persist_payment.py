"""Record what the gateway decided."""

from typing import Any

from functions.shared.domain.adoption import adopt
from functions.shared.domain.card import CardSummary
from functions.shared.domain.charge import Charge
from functions.shared.domain.errors import LedgerConflict
from functions.shared.domain.ledger import capture_entry
from functions.shared.domain.payment import FAILURES, Payment, PaymentRequest
from functions.shared.ports import CardVault, Ledger, StoredCard, VelocityCounter


def payment_from(event: dict[str, Any], now: str) -> Payment:
    """The payment's first record, as the state's input tells it."""
    charge = event["charge"]
    return Payment.first(
        event["payment_id"],
        charge["outcome"],
        PaymentRequest.from_request(event["payment"]),
        CardSummary.from_dict(event["card"]),
        event["encrypted"]["transaction_id"],
        started_at=event["started_at"],
        now=now,
        charge_id=charge.get("charge_id"),
        decline_code=charge.get("decline_code"),
        flags=tuple(event["flags"]),
    )


def recorded_before(payment_id: str, *, ledger: Ledger) -> Payment:
    """The payment that Charge found in the ledger, so that it charged nothing. It ends as the record says.

    Raises LedgerConflict where that is no success.
    """
    known = ledger.payment(payment_id)
    assert known  # nothing is ever deleted
    if known.status in FAILURES:
        raise LedgerConflict(f"The payment was recorded before, as {known.status}.")
    return known


def persist_payment(
    payment: Payment,
    ciphertext: bytes | None,
    shown: Charge | None,
    *,
    card_on_file: bool,
    keep_card_until: str,
    ledger: Ledger,
    card_vault: CardVault,
    velocity_counter: VelocityCounter,
) -> Payment:
    """Write the payment, its journal entries and the card to be kept, all or nothing. Safe to repeat.

    Only a capture moves money. `shown` is the charge as Charge saw it: what was done to it since it was asked for is
    adopted. What the gateway declined is counted, once it is recorded. A card that was charged by its token is kept for
    another while, unless it was erased meanwhile. Raises LedgerUnavailable, LedgerConflict.
    """
    entries, card = [], None
    token = payment.card.token if payment.card else None
    if token and not card_on_file:
        assert payment.card and ciphertext  # the contract of the state
        card = StoredCard(payment.card, ciphertext, keep_card_until)
    if payment.status == "captured":
        assert shown and payment.amount_minor and payment.currency  # the contract of the state
        entries.append(capture_entry(shown.gateway, payment.amount_minor, payment.currency))
    recorded, posted = payment.post(*entries)
    if shown:
        recorded, adopted = adopt(recorded, posted, shown, payment.updated_at)
        posted += adopted
    ledger.record(recorded, posted, card)
    if recorded.was_declined_by_gateway:
        velocity_counter.count_decline(recorded)
    if token and card_on_file:
        card_vault.renew(token, keep_card_until)
    return recorded
