"""GET and DELETE /cards/{token}."""

from typing import Any

from functions.shared import http, runtime
from functions.shared.domain.shapes import is_token


@runtime.function("cards", uses=(runtime.card_vault,), payment_id=lambda event: None, if_unavailable=http.UNAVAILABLE)
def handler(event: runtime.Event) -> dict[str, Any]:
    token = event["pathParameters"]["token"]
    if not is_token(token):
        return _NOT_FOUND
    if event["httpMethod"] == "DELETE":
        return http.answer(204) if runtime.card_vault().erase(token, runtime.now()) else _NOT_FOUND
    card = runtime.card_vault().summary(token, runtime.now())
    return http.answer(200, card.to_dict()) if card else _NOT_FOUND


_NOT_FOUND = http.error(404, "card_not_found", "There is no stored card with this token.")
