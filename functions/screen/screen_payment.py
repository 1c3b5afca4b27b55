"""Ask the rules whether a payment may be charged."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from functions.screen.rules import Facts, Rules, RulesError, Screening
from functions.shared.domain.card import CardSummary
from functions.shared.domain.errors import InternalError
from functions.shared.domain.payment import PaymentRequest
from functions.shared.ports import VelocityCounter


def screen_payment(
    payment_id: str,
    payment: PaymentRequest,
    card: CardSummary,
    started_at: str,
    *,
    test_card: bool,
    rules: Rules,
    velocity_counter: VelocityCounter,
) -> dict[str, Any]:
    """Return `{"action": "allow" | "deny", "rule", "decline_code", "flags"}`.

    `rule` is the first that denies the payment and `decline_code` is `screened:` and its name, both None if it is
    allowed. Safe to repeat: the payment is counted once. A card that is only stored is allowed, and not counted. Raises
    LedgerUnavailable, and InternalError where a rule can't be computed.
    """
    if payment.operation == "store":
        return Screening().to_dict()
    assert payment.amount_minor is not None and payment.currency is not None  # the contract of the state
    velocity = velocity_counter.count(card.fingerprint, payment_id, payment.amount_minor, payment.currency, started_at)
    facts = Facts(
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        brand=card.brand,
        bin=card.bin,
        fingerprint=card.fingerprint,
        hour=datetime.fromisoformat(started_at).astimezone(UTC).hour,
        test_card=test_card,
        **asdict(velocity),
    )
    try:
        return rules.screen(facts).to_dict()
    except RulesError as error:
        raise InternalError(str(error)) from None
