"""Stripe's decline codes in our terms: https://docs.stripe.com/declines/codes and https://docs.stripe.com/error-codes
(seen 2026-11-29)."""

GENERIC = "do_not_honor"
"""Our code for a decline whose reason Stripe doesn't know or whose code is none of these."""

_UNCHANGED = (
    "authentication_required",
    "card_not_supported",
    "card_velocity_exceeded",
    "currency_not_supported",
    "do_not_honor",
    "expired_card",
    "incorrect_cvc",
    "incorrect_number",
    "insufficient_funds",
    "invalid_account",
    "invalid_amount",
    "issuer_not_available",
    "lost_card",
    "pickup_card",
    "processing_error",
    "restricted_card",
    "stolen_card",
    "transaction_not_allowed",
    "try_again_later",
    "withdrawal_count_limit_exceeded",
)

DECLINE_CODES = {code: code for code in _UNCHANGED} | {
    "invalid_cvc": "incorrect_cvc",
    "invalid_number": "incorrect_number",
    "invalid_expiry_month": "expired_card",
    "invalid_expiry_year": "expired_card",
    "payment_intent_action_required": "authentication_required",
    "payment_intent_authentication_failure": "authentication_failed",
    "setup_intent_authentication_failure": "authentication_failed",
    "not_permitted": "transaction_not_allowed",
    "service_not_allowed": "transaction_not_allowed",
    "reenter_transaction": "processing_error",
}


def decline_code(error: object) -> str:
    """Our code for an error's `decline_code` or, if it has none, its `code`."""
    codes = (error.get("decline_code"), error.get("code")) if isinstance(error, dict) else ()
    return next((DECLINE_CODES[code] for code in codes if isinstance(code, str) and code in DECLINE_CODES), GENERIC)
