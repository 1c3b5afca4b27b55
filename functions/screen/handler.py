"""State `Screen`: takes the request and its card's summary, and returns the screening rules that flag it.

A rule's denial is the error PaymentDenied, so that what is not denied goes straight on to the next state.
"""

import json
from typing import Any

from functions.screen.rules import load_rules
from functions.screen.screen_payment import screen_payment
from functions.shared import runtime
from functions.shared.domain.card import CardSummary
from functions.shared.domain.errors import PaymentDenied
from functions.shared.domain.payment import PaymentRequest, StoreRequest


@runtime.function("screen", uses=(load_rules, runtime.velocity_counter))
def handler(event: runtime.Event) -> dict[str, Any]:
    rules = load_rules()
    verdict = screen_payment(
        event["payment_id"],
        PaymentRequest.from_request(event["payment"]) if "payment" in event else StoreRequest(**event["store_request"]),
        CardSummary.from_dict(event["card"]),
        event["started_at"],
        test_card=event["test_card"],
        rules=rules,
        velocity_counter=runtime.velocity_counter(),
    )
    if verdict["flags"]:
        runtime.count("PaymentFlagged")
    if rules.alarming.intersection(verdict["flags"]):
        runtime.count("ScreeningAlarm")
    if verdict["rule"] or verdict["flags"]:
        runtime.logger.info("screened", rules_version=rules.version, rule=verdict["rule"], flags=verdict["flags"])
    if verdict["action"] == "deny":
        runtime.count("PaymentScreened")
        raise PaymentDenied(json.dumps(verdict))
    return verdict
