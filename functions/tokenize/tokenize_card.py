"""Check the request and its card; derive the card's fingerprint and, if the card is to be kept, its token."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from functions.shared.contracts import is_test_card, load
from functions.shared.domain.card import Card, CardSummary, sealed_hash
from functions.shared.domain.card_rules import broken_rules
from functions.shared.domain.errors import (
    BrandNotAccepted,
    ExpiredCard,
    InvalidInput,
    ReturnUrlNotAllowed,
    TestCardNotAccepted,
    UnknownCurrency,
    UnknownToken,
)
from functions.shared.domain.payment import PaymentRequest
from functions.shared.domain.return_url import is_allowed
from functions.shared.ports import CardVault, Mac

MinorUnit = Callable[[str], int | None]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What a deployment accepts: cards of these brands, published test cards if `test_cards`, and return URLs of these
    origins."""

    brands: frozenset[str]
    test_cards: bool
    return_origins: tuple[str, ...] = ()

    def check(self, card: CardSummary, *, test_card: bool) -> None:
        """Raises TestCardNotAccepted, BrandNotAccepted."""
        if test_card and not self.test_cards:
            raise TestCardNotAccepted("card_number is a published test card's, and none is accepted here.")
        if card.brand not in self.brands:
            raise BrandNotAccepted(f"card_number is of a brand that is not accepted here: {card.brand}.")

    def check_request(self, payment: PaymentRequest) -> None:
        """Raises ReturnUrlNotAllowed."""
        if payment.return_url is not None and not is_allowed(payment.return_url, self.return_origins):
            raise ReturnUrlNotAllowed("return_url is not of an origin that this deployment allows.")


def tokenize_card(
    request: dict[str, Any],
    card: Card,
    payment_id: str,
    *,
    save_card: bool,
    accepted: Acceptance,
    token_mac: Mac,
    minor_unit: MinorUnit,
    now: str,
) -> dict[str, Any]:
    """Return `{"payment": …, "card": …, "test_card": …}`: the request without its card, the card's summary, and whether
    it is a published test card.

    `save_card` is the default for requests that don't say whether to keep the card. Raises InvalidInput,
    TestCardNotAccepted, BrandNotAccepted, ExpiredCard, UnknownCurrency, ReturnUrlNotAllowed, and the errors of
    `token_mac`.
    """
    payment = PaymentRequest.from_request(request)
    _check_currency(payment, minor_unit)
    accepted.check_request(payment)
    requested = request.get("save_card")
    keep = save_card if requested is None else requested
    token = card_token(card, payment_id, token_mac) if keep else None
    summary, test_card = _checked(card, token, accepted=accepted, token_mac=token_mac, now=now)
    _check_expiry(summary, now)
    return {"payment": payment.to_dict(), "card": summary.to_dict(), "test_card": test_card}


def tokenize_card_to_store(
    request: dict[str, Any], card: Card, key: str, *, accepted: Acceptance, token_mac: Mac, now: str
) -> dict[str, Any]:
    """Return `{"store_request": …, "card": …, "test_card": …, "sealed_hash": …}` for a card to be stored without a
    payment.

    `key` is the request's idempotency key. An expired card may be stored. Raises InvalidInput, TestCardNotAccepted,
    BrandNotAccepted, and the errors of `token_mac`.
    """
    # A payment may have the same key, and save the same card: these are two stored cards.
    token = card_token(card, f"{key}/card", token_mac)
    summary, test_card = _checked(card, token, accepted=accepted, token_mac=token_mac, now=now)
    store_request = {"caller": request.get("caller"), "verify": request.get("verify") is True}
    return {
        "store_request": store_request,
        "card": summary.to_dict(),
        "test_card": test_card,
        "sealed_hash": sealed_hash(request["card_data"]),
    }


def _checked(
    card: Card, token: str | None, *, accepted: Acceptance, token_mac: Mac, now: str
) -> tuple[CardSummary, bool]:
    """The card's summary, and whether it is a published test card."""
    for field, rule in broken_rules(card.to_card_data(), datetime.fromisoformat(now)).items():
        raise InvalidInput(f"{field} {rule}.")
    summary, test_card = card.summary(token, fingerprint(card, token_mac)), is_test_card(card.pan)
    accepted.check(summary, test_card=test_card)
    return summary, test_card


def recall_card(
    request: dict[str, Any],
    *,
    accepted: Acceptance,
    card_vault: CardVault,
    token_mac: Mac,
    minor_unit: MinorUnit,
    now: str,
) -> dict[str, Any]:
    """Look up a stored card by its token, and return the same as `tokenize_card`.

    Raises UnknownToken, TestCardNotAccepted, BrandNotAccepted, ExpiredCard, UnknownCurrency, ReturnUrlNotAllowed, and
    the errors of `card_vault` and `token_mac`.
    """
    payment = PaymentRequest.from_request(request)
    _check_currency(payment, minor_unit)
    accepted.check_request(payment)
    summary = card_vault.summary(request["token"], now)
    if summary is None:
        raise UnknownToken("No card is stored under this token.")
    test_card = _is_stored_test_card(summary, token_mac)
    accepted.check(summary, test_card=test_card)
    _check_expiry(summary, now)
    return {"payment": payment.to_dict(), "card": summary.to_dict(), "test_card": test_card}


def card_token(card: Card, payment_id: str, token_mac: Mac) -> str:
    """A repeated request yields the same token. Different requests yield different tokens, even for the same number,
    and the tokens don't reveal whether the numbers are equal."""
    return "tok_" + _keyed_hash(f"{card.pan}/{payment_id}", token_mac)


def fingerprint(card: Card, token_mac: Mac) -> str:
    """The same number yields the same fingerprint, which does not reveal the number."""
    return _fingerprint(card.pan, token_mac)


def _is_stored_test_card(card: CardSummary, token_mac: Mac) -> bool:
    """Whether the stored card is a test card, judged by its fingerprint, as its number is unknown here. KMS is called
    only for test numbers with the same first six and last four digits."""
    candidates = [pan for pan in load("test_cards") if (pan[:6], pan[-4:]) == (card.bin, card.last4)]
    return card.fingerprint in [_fingerprint(pan, token_mac) for pan in candidates]


def _fingerprint(pan: str, token_mac: Mac) -> str:
    return "fp_" + _keyed_hash(pan, token_mac)


def _keyed_hash(text: str, token_mac: Mac) -> str:
    return base64.b32encode(token_mac.mac(text.encode())).decode().rstrip("=").lower()


def _check_currency(payment: PaymentRequest, minor_unit: MinorUnit) -> None:
    if minor_unit(payment.currency) is None:
        raise UnknownCurrency("The currency is not in ISO 4217, or has no minor unit.")


def _check_expiry(card: CardSummary, now: str) -> None:
    if card.expired(datetime.fromisoformat(now)):
        raise ExpiredCard("The card has expired.")
