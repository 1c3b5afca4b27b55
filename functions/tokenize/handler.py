"""State `Tokenize`: the request and its card, or the token of a stored one, in; the card's token and summary out."""

from datetime import UTC, datetime
from typing import Any

from functions.shared import runtime
from functions.shared.card_data import open_card
from functions.tokenize.tokenize_card import recall_card, tokenize_card


@runtime.function("tokenize", uses=(runtime.token_mac, runtime.card_opener))
def handler(event: runtime.Event) -> dict[str, Any]:
    request, payment_id, today = event["request"], event["payment_id"], datetime.now(UTC).date()
    if request.get("token") is not None:
        vault = runtime.card_vault()
        return recall_card(request, card_vault=vault, minor_unit=runtime.minor_unit, today=today, now=runtime.now())
    card = open_card(request["card_data"], payment_id, card_opener=runtime.card_opener, validate=runtime.validate)
    return tokenize_card(
        request,
        card,
        payment_id,
        save_card=runtime.saves_cards(),
        token_mac=runtime.token_mac(),
        minor_unit=runtime.minor_unit,
        today=today,
    )
