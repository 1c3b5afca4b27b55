"""Ask the rules whether a payment may be charged, or a card stored."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from functions.screen.rules import Facts, Rules, RulesError
from functions.shared.domain.card import CardSummary
from functions.shared.domain.errors import InternalError
from functions.shared.domain.payment import NO_CURRENCY, PaymentRequest
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
    """Return `{"action": "allow" | "deny", "rule", "decline_code", "flags"}`, of a card that is only stored too.

    `rule` is the first that denies the payment and `decline_code` is `screened:` and its name, both None if it is
    allowed. Safe to repeat: the payment is counted once. Raises LedgerUnavailable, and InternalError where a rule can't
    be computed.
    """
    velocity = velocity_counter.count(payment_id, payment, card, started_at)
    facts = Facts(
        operation=payment.operation,
        amount_minor=payment.amount_minor or 0,
        currency=payment.currency or NO_CURRENCY,
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
