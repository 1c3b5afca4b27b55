"""Check the request and its card, and name the card by a fingerprint and, where it is to be kept, by a token."""

import base64
from collections.abc import Callable
from datetime import date
from typing import Any

from functions.shared.domain.card import Card, CardSummary
from functions.shared.domain.errors import ExpiredCard, UnknownCurrency, UnknownToken
from functions.shared.domain.payment import PaymentRequest
from functions.shared.ports import CardVault, Mac

MinorUnit = Callable[[str], int | None]


def tokenize_card(
    request: dict[str, Any],
    card: Card,
    payment_id: str,
    *,
    save_card: bool,
    token_mac: Mac,
    minor_unit: MinorUnit,
    today: date,
) -> dict[str, Any]:
    """Return `{"payment": …, "card": …}`: the request without its card, and what may be known of the card.

    `save_card` is the deployment's answer where the request has none. Raises
    ExpiredCard (only to charge: an expired card may be stored), UnknownCurrency, and what the token's key raises.
    """
    payment = PaymentRequest.from_request(request)
    _check_currency(payment, minor_unit)
    keep = payment.operation == "store" or request.get("save_card", save_card)
    summary = card.summary(card_token(card, payment_id, token_mac) if keep else None, fingerprint(card, token_mac))
    if payment.operation == "charge":
        _check_expiry(summary, today)
    return {"payment": payment.to_dict(), "card": summary.to_dict()}


def recall_card(
    request: dict[str, Any], *, card_vault: CardVault, minor_unit: MinorUnit, today: date, now: str
) -> dict[str, Any]:
    """The same of a stored card, by its token.

    Raises UnknownToken, ExpiredCard, UnknownCurrency, and what the vault raises.
    """
    payment = PaymentRequest.from_request(request)
    _check_currency(payment, minor_unit)
    summary = card_vault.summary(request["token"], now)
    if summary is None:
        raise UnknownToken("No card is stored under this token.")
    _check_expiry(summary, today)
    return {"payment": payment.to_dict(), "card": summary.to_dict()}


def card_token(card: Card, payment_id: str, token_mac: Mac) -> str:
    """One request that is repeated gives one token. Two give two, from which nobody sees that the numbers are equal."""
    return "tok_" + _keyed_hash(f"{card.pan}/{payment_id}", token_mac)


def fingerprint(card: Card, token_mac: Mac) -> str:
    """The same number gives the same fingerprint, and no fingerprint gives its number away."""
    return "fp_" + _keyed_hash(card.pan, token_mac)


def _keyed_hash(text: str, token_mac: Mac) -> str:
    return base64.b32encode(token_mac.mac(text.encode())).decode().rstrip("=").lower()


def _check_currency(payment: PaymentRequest, minor_unit: MinorUnit) -> None:
    if payment.currency is not None and minor_unit(payment.currency) is None:
        raise UnknownCurrency("The currency is not in ISO 4217, or has no minor unit.")


def _check_expiry(card: CardSummary, today: date) -> None:
    if card.expired(today):
        raise ExpiredCard("The card has expired.")
