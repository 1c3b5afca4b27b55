"""A payment card in memory, and the summary of it that may be disclosed.

Source: PCI DSS v4.0.1, requirement 3.4.1 (first six and last four digits are the most that may be shown).
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any, NoReturn

from functions.shared.domain.card_number import RULES, brand_of, is_card_number
from functions.shared.domain.card_rules import expiry_of, has_expired
from functions.shared.domain.errors import InvalidCardNumber, InvalidInput


@dataclass(frozen=True, slots=True)
class CardSummary:
    """The card data that may be disclosed: enough to recognise the card, not enough to use it.

    `token` names one stored card; it is None if the card is not kept. `fingerprint` depends on the card number alone:
    it stays the same whoever stores the card, and however often.
    """

    token: str | None
    fingerprint: str
    brand: str
    bin: str  # the first six digits
    last4: str
    expiry: str  # "MM/YY"

    @classmethod
    def from_dict(cls, card: Mapping[str, Any]) -> "CardSummary":
        """The inverse of `to_dict`. For cards stored before fingerprints existed, the token is the number's hash."""
        fingerprint = {} if "fingerprint" in card else {"fingerprint": "fp_" + card["token"].removeprefix("tok_")}
        return cls(**card, **fingerprint)

    def to_dict(self) -> dict[str, str | None]:
        return asdict(self)

    @property
    def encryption_context(self) -> dict[str, str]:
        """The context that binds the card's ciphertext: the token of a stored card, otherwise the fingerprint."""
        return {"token": self.token} if self.token else {"fingerprint": self.fingerprint}

    def without_token(self) -> "CardSummary":
        return replace(self, token=None)

    def expired(self, now: datetime) -> bool:
        """Whether the expiry month has ended everywhere; the card is valid until then."""
        month, year = self.expiry.split("/")
        return has_expired((2000 + int(year), int(month)), now)


@dataclass(frozen=True, slots=True, repr=False)
class Card:
    """A card in the clear. It exists only in a function's memory, and its `repr` is masked.

    `security_code` is for the one charge that the cardholder entered it for: nothing stores it with the card.
    """

    pan: str
    expiry_month: int
    expiry_year: int
    card_holder: str
    security_code: str | None = None

    @classmethod
    def from_card_data(cls, card_data: Mapping[str, str]) -> "Card":
        """Read `{"card_number", "expiry_date": "MM/YY", "card_holder"}`, and `security_code` if there is one.

        Raises InvalidCardNumber (Luhn, length or issuer range) and InvalidInput (expiry date, security code).
        """
        pan = card_data["card_number"]
        if not is_card_number(pan):
            raise InvalidCardNumber("The card number is not valid.")
        expiry = expiry_of(card_data["expiry_date"])
        if expiry is None:
            raise InvalidInput("expiry_date must be MM/YY.")
        year, month = expiry
        security_code = card_data.get("security_code")
        if security_code is not None and not re.fullmatch(RULES["security_code"]["pattern"], security_code):
            raise InvalidInput("security_code must be 3 or 4 digits.")
        return cls(pan, month, year, card_data["card_holder"], security_code)

    def to_card_data(self) -> dict[str, str]:
        """The inverse of `from_card_data`, without the security code, because this is what is encrypted and stored.

        The result is unmasked: encrypt it, never log it.
        """
        return {"card_number": self.pan, "expiry_date": self.expiry, "card_holder": self.card_holder}

    @property
    def brand(self) -> str:
        return brand_of(self.pan) or "unknown"

    @property
    def bin(self) -> str:
        return self.pan[:6]

    @property
    def last4(self) -> str:
        return self.pan[-4:]

    @property
    def expiry(self) -> str:
        return f"{self.expiry_month:02}/{self.expiry_year % 100:02}"

    def summary(self, token: str | None, fingerprint: str) -> CardSummary:
        return CardSummary(token, fingerprint, self.brand, self.bin, self.last4, self.expiry)

    def __repr__(self) -> str:
        return f"Card({self.bin}{'*' * (len(self.pan) - 10)}{self.last4})"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("A card stays in memory.")


def sealed_hash(card_data: str | Mapping[str, str]) -> str | None:
    """What tells two sealed cards apart: the SHA-256, in hex. None for a card in the clear, since a hash could reveal
    its number."""
    return sha256(card_data.encode()).hexdigest() if isinstance(card_data, str) else None
