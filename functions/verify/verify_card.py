"""Ask the gateway whether a card that is to be stored is good."""

import json

from functions.shared.domain.card import CardSummary
from functions.shared.domain.errors import GatewayMismatch, VerificationDeclined
from functions.shared.domain.payment import DeclinedCard, StoreRequest
from functions.shared.ports import CardCipher, HeldCard, PaymentGateway, VelocityCounter
from functions.shared.use_cases.decrypt_card import decrypt_card


def verify_card(
    key: str,
    request: StoreRequest,
    summary: CardSummary,
    encrypted: HeldCard,
    started_at: str,
    *,
    cipher: CardCipher,
    gateway: PaymentGateway,
    velocity_counter: VelocityCounter,
) -> str | None:
    """Return the network's id of the verification, if there is one. No money moves.

    `key` is the idempotency key of the request to store the card. The call may be repeated, as every attempt of an
    execution has the same idempotency key at the gateway. A later request by the same key is verified anew: its
    security code may have been corrected. A decline is counted like a payment's, for the rules against card testing.
    Raises VerificationDeclined, GatewayMismatch if the gateway verified something else, LedgerUnavailable, and the
    errors of the gateway and the cipher.
    """
    card = decrypt_card(encrypted, summary, cipher=cipher)
    verification = gateway.verify(key, card, f"{key}-verification-{encrypted.transaction_id[:16]}")
    if verification.reference != key:
        raise GatewayMismatch("The gateway verified another reference than asked.")
    if verification.decline_code:
        velocity_counter.count_decline(DeclinedCard(key, summary, request.caller, started_at))
        raise VerificationDeclined(json.dumps({"decline_code": verification.decline_code}))
    return verification.network_transaction_id_for(summary)
