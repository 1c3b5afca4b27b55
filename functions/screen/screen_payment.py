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
    the payment is counted once. What a rule takes for a guess of a card's number is not counted by that number, so that
    nothing tells whether it was right. Raises LedgerUnavailable, and InternalError if a rule can't be evaluated.
    """
    known: dict[str, Any] = {
        "operation": request.operation,
        "amount_minor": request.amount_minor,
        "currency": request.currency,
        "brand": card.brand,
        "bin": card.bin,
        "hour": datetime.fromisoformat(started_at).astimezone(UTC).hour,
        "test_card": test_card,
    }

    def admits(lookalike_cards: int) -> bool:
        return rules.admits(known | {"lookalike_cards_1h": lookalike_cards})

    try:
        velocity = velocity_counter.count(payment_id, request, card, started_at, admits)
        return rules.screen(Facts(fingerprint=card.fingerprint, **known, **asdict(velocity))).to_dict()
    except RulesError as error:
        raise InternalError(str(error)) from None
