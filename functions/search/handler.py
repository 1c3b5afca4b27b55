"""GET /payments?merchant_reference=…, and GET /payments?status=…&from=…&to=…."""

from typing import Any

from functions.search.search_payments import Criteria, InvalidSearch, search_payments
from functions.shared import http, runtime


@runtime.function(
    "search",
    uses=(runtime.ledger, runtime.payment_index),
    payment_id=lambda event: None,
    if_unavailable=http.UNAVAILABLE,
)
def handler(event: runtime.Event) -> dict[str, Any]:
    try:
        criteria = Criteria.from_parameters(event["queryStringParameters"] or {}, runtime.now())
        page = search_payments(criteria, index=runtime.payment_index(), ledger=runtime.ledger())
    except InvalidSearch as error:
        return _INVALID[str(error)]
    return http.answer(200, page)


_INVALID = {
    "names": http.error(
        400,
        "invalid_request",
        "parameters must be merchant_reference, status, from, to, limit or cursor.",
    ),
    "merchant_reference": http.error(
        400,
        "invalid_request",
        "merchant_reference must have 1 to 64 characters.",
    ),
    "status": http.error(
        400,
        "invalid_request",
        "status must be captured, authorized, declined, stored, reversed, in_doubt, voided, refunded or "
        "partially_refunded.",
    ),
    "time": http.error(
        400,
        "invalid_request",
        "times must be days (YYYY-MM-DD), or have a time zone (YYYY-MM-DDThh:mm:ssZ).",
    ),
    "period": http.error(
        400,
        "invalid_request",
        "from must not be after to, and without merchant_reference at most 366 days before it.",
    ),
    "limit": http.error(
        400,
        "invalid_request",
        "limit must be a whole number from 1 to 100.",
    ),
    "cursor": http.error(
        400,
        "invalid_request",
        "cursor must be the next_cursor of the page before.",
    ),
}
