"""Charge the card at the gateway, and determine the outcome."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from functions.shared.domain.card import Card, CardSummary, security_code_context
from functions.shared.domain.charge import Order, StoredCredential
from functions.shared.domain.errors import GatewayMismatch, GatewayOutcomeUnknown, LedgerConflict
from functions.shared.domain.payment import PaymentRequest
from functions.shared.ports import CardCipher, HeldCard, HeldCards, Ledger, PaymentGateway


def charge_card(
    payment_id: str,
    payment: PaymentRequest,
    summary: CardSummary,
    transaction_id: str,
    *,
    held_cards: HeldCards,
    cipher: CardCipher,
    code_cipher: Callable[[], CardCipher],
    gateway: PaymentGateway,
    ledger: Ledger,
) -> dict[str, Any]:
    """Return `{"outcome": "captured" | "authorized" | "declined", "gateway", "charge_id", "decline_code",
    "network_transaction_id", "shown"}`; or only the outcome `recorded`, without a call to the gateway, if the ledger
    already has the payment.

    The outcome is the request's own, and `shown` is the charge with all later movements. The call may be repeated, as
    every attempt has the same idempotency key. But a gateway forgets keys after about a day, and Step Functions forgets
    executions after 90 days. The ledger forgets nothing, so it is checked first.

    Raises LedgerConflict if the card is not held any more, LedgerUnavailable, GatewayOutcomeUnknown if neither the
    gateway's answer nor a search by reference reveals the outcome, GatewayMismatch if the gateway charged something
    else, and the errors of the gateway and the ciphers.
    """
    if ledger.statuses([payment_id]):
        return {"outcome": "recorded"}
    held = held_cards.find(payment_id)
    if held is None or held.transaction_id != transaction_id:
        raise LedgerConflict("The payment's card is not held any more.")
    card = _card(payment_id, summary, held, cipher=cipher, code_cipher=code_cipher)
    order = Order(
        payment_id,
        payment.amount_minor,
        payment.currency,
        payment.merchant_reference,
        payment.description,
        _stored_credential(payment, summary, held),
    )
    create_charge = gateway.charge if payment.capture else gateway.authorize
    try:
        charge = create_charge(order, card, f"{payment_id}-charge")
    except GatewayOutcomeUnknown:
        found = gateway.find_by_reference(payment_id)
        if found is None:
            raise  # not there yet is not the same as never there
        charge = found
    if not charge.is_as_requested(order.reference, order.amount_minor, order.currency, capture=payment.capture):
        raise GatewayMismatch("The gateway charged another reference, amount or currency than asked.")
    return {
        "outcome": charge.outcome(capture=payment.capture),
        "gateway": gateway.name,
        "charge_id": charge.charge_id,
        "decline_code": charge.decline_code,
        "network_transaction_id": charge.network_transaction_id_for(card),
        "shown": charge.to_dict(),
    }


def _stored_credential(payment: PaymentRequest, card: CardSummary, held: HeldCard) -> StoredCredential | None:
    if payment.initiator:
        return StoredCredential("subsequent", payment.initiator, payment.reason, held.network_transaction_id)
    return StoredCredential("initial", "customer") if card.token else None


def _card(
    payment_id: str,
    summary: CardSummary,
    held: HeldCard,
    *,
    cipher: CardCipher,
    code_cipher: Callable[[], CardCipher],
) -> Card:
    card = Card.from_card_data(json.loads(cipher.decrypt(held.ciphertext, summary.encryption_context)))
    if held.security_code is None:
        return card
    code = code_cipher().decrypt(held.security_code, security_code_context(payment_id))
    return replace(card, security_code=code.decode())
