"""Ask the gateway whether a card that is to be stored is good."""

import json
from collections.abc import Callable
from dataclasses import replace

from functions.shared.domain.card import Card, CardSummary, security_code_context
from functions.shared.domain.errors import GatewayMismatch, VerificationDeclined
from functions.shared.ports import CardCipher, HeldCard, PaymentGateway


def verify_card(
    key: str,
    summary: CardSummary,
    encrypted: HeldCard,
    *,
    cipher: CardCipher,
    code_cipher: Callable[[], CardCipher],
    gateway: PaymentGateway,
) -> str | None:
    """Return the network's id of the verification, if there is one. No money moves.

    `key` is the idempotency key of the request to store the card. The call may be repeated, as every attempt has the
    same idempotency key at the gateway. Raises VerificationDeclined, GatewayMismatch if the gateway verified something
    else, and the errors of the gateway and the ciphers.
    """
    card = Card.from_card_data(json.loads(cipher.decrypt(encrypted.ciphertext, summary.encryption_context)))
    if encrypted.security_code:
        code = code_cipher().decrypt(encrypted.security_code, security_code_context(key))
        card = replace(card, security_code=code.decode())
    verification = gateway.verify(key, card, f"{key}-verification")
    if verification.reference != key:
        raise GatewayMismatch("The gateway verified another reference than asked.")
    if verification.decline_code:
        raise VerificationDeclined(json.dumps({"decline_code": verification.decline_code}))
    return verification.network_transaction_id_for(card)
