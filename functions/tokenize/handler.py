"""State `Tokenize`: takes the request with a card or a stored card's token, and returns the card's summary.

A request to store a card comes as `store_request` instead of `request`, and it has a card.
"""

from typing import Any

from functions.shared import runtime
from functions.shared.use_cases.open_card import open_card
from functions.tokenize.tokenize_card import Acceptance, recall_card, tokenize_card, tokenize_card_to_store


@runtime.function("tokenize", uses=(runtime.token_mac, runtime.card_opener))
def handler(event: runtime.Event) -> dict[str, Any]:
    request, payment_id = event.get("request") or event["store_request"], event["payment_id"]
    accepted = Acceptance(
        brands=runtime.accepted_brands(),
        test_cards=runtime.accepts_test_cards(),
        return_origins=runtime.return_origins(),
    )
    token_mac, minor_unit, now = runtime.token_mac(), runtime.minor_unit, runtime.now()
    if request.get("token") is not None:
        vault = runtime.card_vault()
        return recall_card(
            request, accepted=accepted, card_vault=vault, token_mac=token_mac, minor_unit=minor_unit, now=now
        )
    card = open_card(request["card_data"], payment_id, card_opener=runtime.card_opener, validate=runtime.validate)
    if "store_request" in event:
        return tokenize_card_to_store(request, card, payment_id, accepted=accepted, token_mac=token_mac, now=now)
    return tokenize_card(
        request,
        card,
        payment_id,
        save_card=runtime.saves_cards(),
        accepted=accepted,
        token_mac=token_mac,
        minor_unit=minor_unit,
        now=now,
    )
