"""POST /keys."""

from typing import Any

from functions.issue_key.issue_key import issue_key
from functions.shared import http, runtime, strict_json
from functions.shared.domain.errors import PaymentUnderWay, SealingKeyUsed
from functions.shared.domain.shapes import canonical_id, is_id


def _idempotency_key(event: runtime.Event) -> object:
    """The header's value, before the contract is checked. Over HTTP/2, header names are in lower case."""
    match event:
        case {"headers": {**headers}}:
            return {str(name).lower(): value for name, value in headers.items()}.get("idempotency-key")
    return None


@runtime.function(
    "issue_key",
    uses=(runtime.sealing_keys, runtime.ledger),
    payment_id=_idempotency_key,
    if_unavailable=http.UNAVAILABLE,
)
def handler(event: runtime.Event) -> dict[str, Any]:
    key = _idempotency_key(event)
    if not key:
        return _MISSING_KEY
    if not is_id(key):
        return _INVALID_KEY
    if not _is_empty(event.get("body")):
        return _NO_BODY
    payment_id = canonical_id(key)
    try:
        issued = issue_key(payment_id, sealing_keys=runtime.sealing_keys(), ledger=runtime.ledger(), now=runtime.now())
    except (PaymentUnderWay, SealingKeyUsed):
        return http.answer(409, payment_exists(payment_id, event["requestContext"]["path"]))
    return http.answer(201, issued)


def _is_empty(body: str | None) -> bool:
    try:
        return not body or not body.strip() or strict_json.loads(body) == {}
    except ValueError:
        return False


def payment_exists(payment_id: str, path: str) -> dict[str, Any]:
    """The answer's body. `path` is the request's: what precedes /keys is the stage, or the base path of the merchant's
    own domain."""
    error = {"code": "payment_exists", "message": "This Idempotency-Key was used before: its payment needs no key."}
    before = path.rstrip("/").rpartition("/")[0]
    return {"error": error, "payment_id": payment_id, "links": {"self": f"{before}/payments/{payment_id}"}}


_MISSING_KEY = http.error(400, "missing_idempotency_key", "The Idempotency-Key header is missing.")
_INVALID_KEY = http.error(
    400,
    "invalid_idempotency_key",
    "The Idempotency-Key must be a UUID, or 16 to 64 letters, digits, dashes and underscores without 12 digits in a"
    " row.",
)
_NO_BODY = http.error(400, "invalid_request", "A key is issued for an Idempotency-Key alone: send no body, or {}.")
