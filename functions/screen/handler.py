"""State `Screen`: takes the request and its card's summary, and returns the screening rules that flag it, the gateway
that takes it, and whether the customer must be authenticated.

A rule's denial is the error PaymentDenied, so that what is not denied goes straight on to the next state.
"""

import json
from typing import Any

from functions.screen.rules import load_rules
from functions.screen.screen_payment import screen_payment
from functions.shared import runtime
from functions.shared.domain.card import CardSummary
from functions.shared.domain.errors import AuthenticationNotSupported, PaymentDenied
from functions.shared.domain.payment import PaymentRequest, StoreRequest
from functions.shared.domain.routing import route


@runtime.function("screen", uses=(load_rules, runtime.velocity_counter, runtime.gateway_routes))
def handler(event: runtime.Event) -> dict[str, Any]:
    rules = load_rules()
    payment_id, card = event["payment_id"], CardSummary.from_dict(event["card"])
    request = (
        PaymentRequest.from_request(event["payment"]) if "payment" in event else StoreRequest(**event["store_request"])
    )
    verdict = screen_payment(
        payment_id,
        request,
        card,
        event["started_at"],
        test_card=event["test_card"],
        rules=rules,
        velocity_counter=runtime.velocity_counter(),
    )
    if verdict["flags"]:
        runtime.count("PaymentFlagged")
    if rules.alarming.intersection(verdict["flags"]):
        runtime.count("ScreeningAlarm")
    if verdict["rule"] or verdict["flags"] or verdict["challenges"]:
        fired = {name: verdict[name] for name in ("rule", "flags", "challenges")}
        runtime.logger.info("screened", rules_version=rules.version, **fired)
    if verdict["action"] == "deny":
        runtime.count("PaymentScreened")
        raise PaymentDenied(json.dumps(verdict))
    routes = runtime.gateway_routes()
    gateway = route(routes, payment_id, currency=request.currency, brand=card.brand, bin=card.bin)
    three_d_secure = request.three_d_secure
    if verdict["challenges"] and request.initiator != "merchant":  # then no customer is there
        three_d_secure = "required"
    if three_d_secure == "required" and not runtime.gateway_abilities(gateway).three_d_secure:
        raise AuthenticationNotSupported("The customer must be authenticated, which the payment's gateway can't do.")
    return verdict | {"gateway": gateway, "three_d_secure": three_d_secure}
