"""Check the request and its card, and name the card by a token."""

import base64
from collections.abc import Callable
from datetime import date
from typing import Any

from functions.shared.domain.card import Card
from functions.shared.domain.errors import ExpiredCard, UnknownCurrency
from functions.shared.domain.payment import PaymentRequest
from functions.shared.ports import TokenMac


def tokenize_card(
    request: dict[str, Any], card: Card, *, token_mac: TokenMac, minor_unit: Callable[[str], int | None], today: date
) -> dict[str, Any]:
    """Return `{"payment": …, "card": …}`: the request without its card, and what may be known of the card.

    Raises ExpiredCard (only to charge: an expired card may be stored), UnknownCurrency, and what the token's key
    raises.
    """
    payment = PaymentRequest.from_request(request)
    if payment.operation == "charge" and card.expired(today):
        raise ExpiredCard("The card has expired.")
    if payment.currency is not None and minor_unit(payment.currency) is None:
        raise UnknownCurrency("The currency is not in ISO 4217, or has no minor unit.")
    return {"payment": payment.to_dict(), "card": card.summary(card_token(card.pan, token_mac)).to_dict()}


def card_token(pan: str, token_mac: TokenMac) -> str:
    """The same card gives the same token, and no token gives its card away: `tok_` and a keyed hash in base32."""
    return "tok_" + base64.b32encode(token_mac.mac(pan.encode())).decode().rstrip("=").lower()
