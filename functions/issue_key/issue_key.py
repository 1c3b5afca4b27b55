"""Issue the key to which the card of one payment is sealed."""

from typing import Any

from functions.shared.domain.errors import SealingKeyUsed
from functions.shared.ports import Ledger, SealingKeys


def issue_key(payment_id: str, *, sealing_keys: SealingKeys, ledger: Ledger, now: str) -> dict[str, Any]:
    """Return the public half as `POST /keys` shows it: `{"kid", "alg", "enc", "jwk", "expires_at"}`.

    `payment_id` is the idempotency key with which the payment will be requested. Raises SealingKeyUsed if the payment
    is in the ledger or has ended otherwise, and the errors of the two ports.
    """
    if ledger.statuses([payment_id]):
        raise SealingKeyUsed("The payment is recorded. Pay with a new Idempotency-Key.")
    key = sealing_keys.issue(payment_id, now)
    jwk = {"kty": "EC", "crv": "P-256", "x": key.x, "y": key.y, "kid": key.kid, "alg": "ECDH-ES", "use": "enc"}
    return {"kid": key.kid, "alg": "ECDH-ES", "enc": "A256GCM", "jwk": jwk, "expires_at": key.expires_at}
