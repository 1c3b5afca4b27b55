"""Charge the card at the gateway, and determine the outcome."""

import json
from dataclasses import replace
from typing import Any

from functions.shared.domain.card import CardSummary
from functions.shared.domain.charge import (
    AUTHENTICATION_EXPIRED,
    AUTHENTICATION_REQUIRED,
    Charge,
    Order,
    StoredCredential,
)
from functions.shared.domain.errors import CustomerActionRequired, GatewayOutcomeUnknown, LedgerConflict
from functions.shared.domain.payment import PaymentRequest
from functions.shared.ports import CardCipher, HeldCard, HeldCards, Ledger, PaymentGateway
from functions.shared.use_cases.charge_outcome import charge_outcome, check_charge
from functions.shared.use_cases.decrypt_card import decrypt_card
from functions.shared.use_cases.end_wait import end_wait


def charge_card(
    payment_id: str,
    payment: PaymentRequest,
    summary: CardSummary,
    transaction_id: str,
    started_at: str,
    *,
    held_cards: HeldCards,
    cipher: CardCipher,
    gateway: PaymentGateway,
    ledger: Ledger,
) -> dict[str, Any]:
    """Return what `charge_outcome` makes of the charge; or only the outcome `recorded`, without a call to the gateway,
    if the ledger already has the payment.

    The call may be repeated, as every attempt has the same idempotency key. But a gateway forgets keys after about a
    day, and Step Functions forgets executions after 90 days. The ledger forgets nothing, so it is checked first.

    Raises CustomerActionRequired if the charge waits for the customer. A customer who can't be asked is not waited for:
    the charge is declined with `authentication_required`.

    Raises LedgerConflict if the card is not held any more, LedgerUnavailable, GatewayOutcomeUnknown if neither the
    gateway's answer nor a search by reference reveals the outcome, GatewayMismatch if the gateway charged something
    else, and the errors of the gateway and the cipher.
    """
    if ledger.statuses([payment_id]):
        return {"outcome": "recorded"}
    held_card = held_cards.find(payment_id)
    if held_card is None or held_card.transaction_id != transaction_id:
        raise LedgerConflict("The payment's card is not held any more.")
    if not gateway.abilities.security_code:
        held_card = replace(held_card, security_code=None)
    card = decrypt_card(held_card, summary, cipher=cipher)
    order = Order(
        payment_id,
        payment.amount_minor,
        payment.currency,
        started_at,
        payment.merchant_reference,
        payment.description,
        _stored_credential(payment, summary, held_card),
        payment.three_d_secure,
        payment.return_url,
        payment.exemption,
    )
    create_charge = gateway.charge if payment.capture else gateway.authorize
    try:
        charge = create_charge(order, card, f"{payment_id}-charge")
    except GatewayOutcomeUnknown:
        found = gateway.find_by_reference(order)
        if found is None:
            raise  # not there yet is not the same as never there
        charge = found
    check_charge(charge, order, capture=payment.capture)
    if payment.return_url is None or payment.three_d_secure == "none":
        charge = _without_asking(charge, gateway)
    elif charge.status == "action_required":
        raise CustomerActionRequired(json.dumps({"gateway": charge.gateway, "charge_id": charge.charge_id}))
    check_charge(charge, order, capture=payment.capture)
    return charge_outcome(charge, summary, capture=payment.capture)


def _without_asking(charge: Charge, gateway: PaymentGateway) -> Charge:
    """The charge as it ends if nobody is asked. An earlier attempt may have ended it already."""
    charge = end_wait(charge, gateway=gateway)
    if charge.decline_code == AUTHENTICATION_EXPIRED:
        charge = replace(charge, decline_code=AUTHENTICATION_REQUIRED)
    return charge


def _stored_credential(payment: PaymentRequest, card: CardSummary, held_card: HeldCard) -> StoredCredential | None:
    if payment.initiator:
        return StoredCredential("subsequent", payment.initiator, payment.reason, held_card.network_transaction_id)
    return StoredCredential("initial", "customer") if card.token else None
