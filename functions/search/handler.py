"""GET /payments?merchant_reference=…, and GET /payments?status=…&from=…&to=…."""

from typing import Any

from functions.search.search_payments import Criteria, InvalidSearch, search_payments
from functions.shared import http, runtime
from functions.shared.domain.errors import Unavailable


@runtime.function("search", uses=(runtime.ledger, runtime.payment_index), payment_id=lambda event: None)
def handler(event: runtime.Event) -> dict[str, Any]:
    try:
        criteria = Criteria.from_parameters(event["queryStringParameters"] or {}, runtime.now())
        found = search_payments(criteria, index=runtime.payment_index(), ledger=runtime.ledger())
    except InvalidSearch as error:
        return _INVALID[str(error)]
    except Unavailable as error:
        runtime.logger.warning("unavailable", reason=str(error))
        return http.UNAVAILABLE
    return http.answer(200, found)


_INVALID = {
    "names": http.error(
        400, "invalid_request", "The parameters are merchant_reference, status, from, to, limit and cursor."
    ),
    "merchant_reference": http.error(400, "invalid_request", "merchant_reference has 1 to 64 characters."),
    "status": http.error(
        400,
        "invalid_request",
        "status is captured, authorized, declined, stored, reversed, in_doubt, voided, refunded or partially_refunded.",
    ),
    "time": http.error(
        400, "invalid_request", "from and to are days, as 2026-11-29, or times, as 2026-11-29T09:00:00Z."
    ),
    "period": http.error(
        400,
        "invalid_request",
        "from is not after to, and without merchant_reference at most 366 days before it.",
    ),
    "limit": http.error(400, "invalid_request", "limit is a whole number from 1 to 100."),
    "cursor": http.error(400, "invalid_request", "cursor is the next_cursor of the page before."),
}
