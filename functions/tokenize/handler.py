"""State `Tokenize`: the request and its card in, the card's token out."""

from datetime import UTC, datetime
from typing import Any

from functions.shared import runtime
from functions.shared.card_data import open_card
from functions.tokenize.tokenize_card import tokenize_card


@runtime.function("tokenize")
def handler(event: runtime.Event) -> dict[str, Any]:
    return tokenize_card(
        event["request"],
        open_card(
            event["request"]["card_data"],
            event["payment_id"],
            card_opener=runtime.card_opener,
            validate=runtime.validate,
        ),
        token_mac=runtime.token_mac(),
        minor_unit=runtime.minor_unit,
        today=datetime.now(UTC).date(),
    )
