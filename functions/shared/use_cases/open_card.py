"""Open the `card_data` of a request. Real cards must be sealed; only published test cards may come in the clear."""

from collections.abc import Callable
from typing import Any

from functions.shared import strict_json
from functions.shared.contracts import is_test_card
from functions.shared.domain.card import Card
from functions.shared.domain.card_number import looks_like_a_card_number
from functions.shared.domain.errors import (
    CardDataMustBeSealed,
    CardNumberInText,
    InvalidInput,
    InvalidSealedCard,
    SensitiveAuthenticationData,
)
from functions.shared.ports import CardOpener, Opened

_SECURITY_CODE = "security_code"

# The names of the card security code at Visa, Mastercard, American Express, Discover and JCB, and everyday names.
_SECURITY_CODE_NAMES = {"cvv", "cvv2", "cvc", "cvc2", "cid", "cav", "cav2", "csc", "securitycode", "cardsecuritycode"}

Validate = Callable[[str, Any], None]


def open_card(
    card_data: str | dict[str, str], payment_id: str, *, card_opener: Callable[[], CardOpener], validate: Validate
) -> Card:
    """The card in the clear, from a sealed card (a compact JWE) or from a test card's plain data.

    Only a card sealed to a single-use key may have a security code: the key is deleted when the payment ends, and then
    the code that was sealed is as good as deleted, too (PCI DSS v4.0.1, 3.3.1.2).

    The opener is created only for a sealed card. `validate(contract, instance)` checks the sealed content, which no
    schema could check before. Raises InvalidCardNumber, CardDataMustBeSealed, CardNumberInText (for the holder),
    SensitiveAuthenticationData, InvalidSealedCard, InvalidInput, and the opener's errors.
    """
    if isinstance(card_data, str):
        card = Card.from_card_data(_card_in(card_opener().open(card_data, payment_id), validate))
    else:
        card = Card.from_card_data(card_data)
        if not is_test_card(card.pan):
            raise CardDataMustBeSealed("Seal this card: only published test cards may be sent in the clear.")
    if looks_like_a_card_number(card.card_holder):
        raise CardNumberInText("This looks like a card number: card_holder.")
    return card


def _card_in(opened: Opened, validate: Validate) -> dict[str, str]:
    try:
        card_data = strict_json.loads(opened.content)
    except ValueError:
        raise InvalidSealedCard("What was sealed is not JSON, or not in one way only.") from None
    for name in card_data if isinstance(card_data, dict) else ():
        if _is_security_code(name) and not (opened.single_use and name == _SECURITY_CODE):
            raise SensitiveAuthenticationData(
                f"A security code was sealed. Only a single-use key may seal one, as {_SECURITY_CODE}."
            )
    try:
        validate("card_data", card_data)
    except InvalidInput as error:
        raise InvalidSealedCard(f"What was sealed is no card: {error}") from None
    return card_data  # type: ignore[no-any-return]


def _is_security_code(name: str) -> bool:
    return "".join(filter(str.isalnum, name)).lower() in _SECURITY_CODE_NAMES
