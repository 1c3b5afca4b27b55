"""Apply the screening rules to a payment, or to a card that is only to be stored."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from functions.screen.rules import Facts, Rules, RulesError
from functions.shared.domain.card import CardSummary
from functions.shared.domain.errors import InternalError
from functions.shared.domain.payment import PaymentRequest, StoreRequest
from functions.shared.ports import VelocityCounter


def screen_payment(
    payment_id: str,
    request: PaymentRequest | StoreRequest,
    card: CardSummary,
    started_at: str,
    *,
    test_card: bool,
    rules: Rules,
    velocity_counter: VelocityCounter,
) -> dict[str, Any]:
    """Return `{"action": "allow" | "deny", "rule", "decline_code", "flags", "challenges"}`, also for a card that is to
    be stored.

    `rule` is the first rule that denies the payment, and `decline_code` is `screened:` and its name; both are None if
    the payment is allowed. `challenges` are the rules that have the customer authenticated. The call may be repeated:
    the payment is counted once. Raises LedgerUnavailable, and InternalError if a rule can't be evaluated.
    """
    velocity = velocity_counter.count(payment_id, request, card, started_at)
    facts = Facts(
        operation=request.operation,
        amount_minor=request.amount_minor,
        currency=request.currency,
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
