"""Stripe's test cards: https://docs.stripe.com/testing (seen 2026-11-29)."""

import json
from dataclasses import dataclass
from pathlib import Path

_TEST_CARDS: dict[str, dict[str, str]] = json.loads(
    (Path(__file__).parents[3] / "functions" / "shared" / "contracts" / "test_cards.json").read_text()
)

_DECLINES = {
    "4000000000000002": ("card_declined", "generic_decline"),
    "4000000000009995": ("card_declined", "insufficient_funds"),
    "4000000000009987": ("card_declined", "lost_card"),
    "4000000000009979": ("card_declined", "stolen_card"),
    "4000000000000069": ("expired_card", "expired_card"),
    "4000000000000127": ("incorrect_cvc", "incorrect_cvc"),
    "4000000000000119": ("processing_error", "processing_error"),
    "4000000000006975": ("card_declined", "card_velocity_exceeded"),
    "4000008260003178": ("card_declined", "insufficient_funds"),
    "4000008400001629": ("card_declined", "generic_decline"),
}
"""An error's `code` and `decline_code`, by number."""
_ASKS_FOR_AUTHENTICATION = (
    "4000002500003155",
    "4000002760003184",
    "4000000000003220",
    "4000008260003178",
    "4000008400001629",
)
_AUTHENTICATES_ON_REQUEST = "4000000000003055"
_REFUND_STAYS_PENDING = "4000000000007726"

MESSAGES = {
    "card_declined": "Your card was declined.",
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
    "authentication_required": "Your card was declined. This transaction requires authentication.",
    "payment_intent_authentication_failure": "The provided PaymentMethod has failed authentication.",
}


@dataclass(frozen=True, slots=True)
class Card:
    """What the double keeps of a card, without its number and security code."""

    brand: str
    last4: str
    exp_month: int
    exp_year: int
    cvc_check: str | None
    decline: tuple[str, str] | None
    asks_for_authentication: bool
    authenticates_on_request: bool
    refund_stays_pending: bool

    @classmethod
    def of(cls, number: str, exp_month: int, exp_year: int, cvc: str | None) -> "Card":
        """Look up a card; one that is no test card of Stripe's is approved."""
        return cls(
            brand=_TEST_CARDS.get(number, {}).get("brand", "visa" if number.startswith("4") else "unknown"),
            last4=number[-4:],
            exp_month=exp_month,
            exp_year=exp_year,
            cvc_check="fail" if number == "4000000000000127" else "pass" if cvc else None,
            decline=_DECLINES.get(number),
            asks_for_authentication=number in _ASKS_FOR_AUTHENTICATION,
            authenticates_on_request=number == _AUTHENTICATES_ON_REQUEST,
            refund_stays_pending=number == _REFUND_STAYS_PENDING,
        )

    def is_authenticated(self, *, on_request: bool) -> bool:
        """Whether the customer is asked; of most cards, Stripe's request (`any`) changes nothing."""
        return self.asks_for_authentication or (on_request and self.authenticates_on_request)

    def stand_in(self, *, authenticated: bool) -> str:
        """Return a number with which localstripe does what Stripe does with this card."""
        if authenticated:
            return "4000008260003178" if self.decline else "4000002760003184"
        return "4000000000000341" if self.decline else "4242424242424242"
