"""Sparkle's errors. A class name in snake case is the error's `code` on the wire.

GatewayError
├── InvalidApiKey           401
├── ChargeNotFound          404
├── RefundNotFound          404
├── RequestInProgress       409  a request with the same key is being processed
├── ReferenceReversed       409  the reference was reversed, before or after it was charged
├── ReferenceAlreadyCharged 409  a reference can have only one charge
├── RefundReferenceUsed     409  a charge can have only one refund with the same refund_reference
├── ChargeDisputed          409  a dispute holds the money, or has cost it
├── InvalidState            409  the charge or refund does not allow the operation, or no longer does
├── InvalidRequest          422  `reason` says what kind
├── IdempotencyKeyReused    422  for another request
├── AmountExceedsAuthorized 422
├── AmountExceedsCaptured   422
└── RateLimited             429
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar


class GatewayError(Exception):
    """The gateway refused the request, and moved no money. The text never repeats what the caller sent."""

    status: ClassVar[int]
    message: ClassVar[str]
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, message: str | None = None, reason: str | None = None) -> None:
        super().__init__(message or self.message)
        self.reason = reason

    @classmethod
    def code(cls) -> str:
        """Return the error's name on the wire: `reference_reversed` for `ReferenceReversed`."""
        return snake_case(cls.__name__)

    def body(self) -> dict[str, Any]:
        """Return the JSON answer: `{"error": {"code", "message"}}`, with a `reason` if there is one."""
        error = {"code": self.code(), "message": str(self)}
        return {"error": error | ({"reason": self.reason} if self.reason else {})}


class InvalidApiKey(GatewayError):
    status = 401
    message = "The Authorization header must be 'Bearer' and a valid API key."
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": "Bearer"}


class ChargeNotFound(GatewayError):
    status = 404
    message = "There is no charge with this id."


class RefundNotFound(GatewayError):
    status = 404
    message = "There is no refund with this id."


class RequestInProgress(GatewayError):
    status = 409
    message = "A request with this Idempotency-Key is still being worked on."


class ReferenceReversed(GatewayError):
    status = 409
    message = "This reference was reversed; no charge is accepted for it any more."


class ReferenceAlreadyCharged(GatewayError):
    status = 409
    message = "This reference was charged under another Idempotency-Key."


class RefundReferenceUsed(GatewayError):
    status = 409
    message = "This charge has a refund with this refund_reference, made under another Idempotency-Key."


class ChargeDisputed(GatewayError):
    status = 409
    message = "The cardholder has disputed the charge."


class InvalidState(GatewayError):
    status = 409
    message = "The charge is in no state for this operation."


class InvalidRequest(GatewayError):
    status = 422
    message = "The request is not valid."


class IdempotencyKeyReused(GatewayError):
    status = 422
    message = "This Idempotency-Key was used for another request."


class AmountExceedsAuthorized(GatewayError):
    status = 422
    message = "The amount is more than was authorized."


class AmountExceedsCaptured(GatewayError):
    status = 422
    message = "The amount is more than is left of what was captured."


class RateLimited(GatewayError):
    status = 429
    message = "Too many requests."
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "1"}


def snake_case(name: str) -> str:
    """Convert `ReferenceReversed` or `Not Found` to `reference_reversed` or `not_found`."""
    return re.sub(r"(?<=[a-z])\s*(?=[A-Z])", "_", name).lower().replace(" ", "_")
