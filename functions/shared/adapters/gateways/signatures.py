"""The signature with which gateways sign their events: `t=<seconds since 1970>,v1=<HMAC>[,v1=<HMAC>]`.

Each HMAC is a SHA-256 in hex over `<t>.<body>`, and its key is the text of a secret that the gateway shares with us.
While a secret is replaced, the gateway signs with both. Stripe's scheme ("Verify webhook signatures manually",
docs.stripe.com/webhooks, seen 2026-11-29), which other gateways use as well.
"""

import hmac
import re
from collections.abc import Iterable

from functions.shared.domain.times import epoch_seconds

TOLERANCE_SECONDS = 300
"""Whoever has overheard an event can repeat it for as long. That of Stripe's own libraries."""


def signature(secret: str, timestamp: str, body: bytes) -> str:
    return hmac.digest(secret.encode(), timestamp.encode() + b"." + body, "sha256").hex()


def is_signed(header: str, body: bytes, secrets: Iterable[str], now: str) -> bool:
    """Whether one of the secrets has signed the body within the tolerance. `now` is UTC in ISO 8601."""
    fields = [field.strip().partition("=") for field in header.split(",")]
    timestamps = [value for name, _, value in fields if name == "t"]
    if len(timestamps) != 1 or not re.fullmatch("[0-9]{1,12}", timestamps[0]):
        return False
    if abs(epoch_seconds(now) - int(timestamps[0])) > TOLERANCE_SECONDS:
        return False
    expected = [signature(secret, timestamps[0], body).encode() for secret in secrets if secret]
    signatures = [value.encode() for name, _, value in fields if name == "v1"]
    return any(hmac.compare_digest(correct, sent) for correct in expected for sent in signatures)
