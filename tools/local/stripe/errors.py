"""Stripe's errors: https://docs.stripe.com/api/errors and https://docs.stripe.com/error-codes (seen 2026-11-29)."""

from typing import Any


class StripeError(Exception):
    """An answer with an error: `status` and the body's `error` object."""

    def __init__(self, status: int, message: str, type: str = "invalid_request_error", **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.error: dict[str, Any] = {"type": type, "message": message} | more

    def body(self) -> dict[str, Any]:
        """Return the JSON answer."""
        return {"error": self.error}


class KeyReused(StripeError):
    """The idempotency key belongs to another request: https://docs.stripe.com/api/idempotent_requests."""

    def __init__(self) -> None:
        message = "Keys for idempotent requests can only be used with the same parameters they were first used with."
        super().__init__(400, message, "idempotency_error")


class KeyInUse(StripeError):
    """The key's first request is still being carried out."""

    def __init__(self) -> None:
        message = "There is currently another in-progress request using this Idempotency-Key."
        super().__init__(409, message, "idempotency_error", code="idempotency_key_in_use")


def missing(what: str, id: str) -> StripeError:
    """There is no such object."""
    return StripeError(404, f"No such {what}: '{id}'", code="resource_missing", param="id")


def rate_limited() -> StripeError:
    """Too many requests: https://docs.stripe.com/rate-limits."""
    return StripeError(429, "Request rate limit exceeded.", code="rate_limit")
