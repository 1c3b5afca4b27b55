"""The single-use keys, in the table `ephemeral`: what a payment has only until it ends.

An item's key is `payment_id`. The key's attributes are `kid`, `x`, `y`, `private_key` (encrypted by KMS, bound to the
payment) and `issued_until`. held_cards.py adds the payment's card, and describes what remains after its end.
"""

import base64
import hashlib
import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec

from functions.shared.adapters.table.held_cards import RETENTION
from functions.shared.adapters.table.items import Item, get, ledger_errors, marshal
from functions.shared.domain.errors import (
    PaymentUnderWay,
    SealedForAnotherPayment,
    SealingKeyExpired,
    SealingKeyUsed,
    UnknownSealingKey,
)
from functions.shared.domain.times import epoch_seconds, iso
from functions.shared.ports import CardCipher, SealingKey

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

LIFETIME = timedelta(hours=1)
"""The time within which a payment must begin after its key was issued."""

_KEY_BYTES = 32

# A payment that holds a ciphertext is under way, and needs the key that it has.
ISSUE = (
    "SET kid = :kid, x = :x, y = :y, private_key = :private_key, issued_until = :issued_until, expires_at = :expires_at"
)
MAY_BE_ISSUED = (
    "attribute_not_exists(ended_at) AND attribute_not_exists(ciphertext)"
    " AND (attribute_not_exists(kid) OR (attribute_exists(private_key) AND issued_until <= :now))"
)


class DynamoDbSealingKeys:
    """`SealingKeys` in the table `ephemeral`. `cipher` encrypts the private halves."""

    def __init__(self, client: "DynamoDBClient", table: str, cipher: CardCipher) -> None:
        self._client = client
        self._table = table
        self._cipher = cipher

    def issue(self, payment_id: str, at: str) -> SealingKey:
        return self._issued(payment_id, at) or self._issue(payment_id, at)

    def _issue(self, payment_id: str, at: str) -> SealingKey:
        private = ec.generate_private_key(ec.SECP256R1()).private_numbers()
        point = private.public_numbers
        x, y = (_base64url(coordinate.to_bytes(_KEY_BYTES, "big")) for coordinate in (point.x, point.y))
        until = datetime.fromisoformat(at) + LIFETIME
        key = SealingKey(thumbprint(x, y), x, y, iso(until))
        values = {
            ":kid": key.kid,
            ":x": x,
            ":y": y,
            ":private_key": self._cipher.encrypt(
                private.private_value.to_bytes(_KEY_BYTES, "big"), _context(payment_id)
            ),
            ":issued_until": key.expires_at,
            ":expires_at": epoch_seconds(iso(until + RETENTION)),
            ":now": at,
        }
        with ledger_errors():
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key=marshal({"payment_id": payment_id}),
                    UpdateExpression=ISSUE,
                    ConditionExpression=MAY_BE_ISSUED,
                    ExpressionAttributeValues=marshal(values),
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                # Another request came first, or the payment has begun.
                if issued := self._issued(payment_id, at):
                    return issued
                raise PaymentUnderWay("The payment is under way, and its key can't be replaced.") from None
        return key

    def private_key(self, payment_id: str, kid: str, at: str) -> bytes:
        item = self._read(payment_id)
        if _was_used(item):
            raise SealingKeyUsed("The payment has ended, and its key was deleted.")
        if "kid" not in item:
            raise UnknownSealingKey("No key was issued for this payment. Take one from POST /keys.")
        if item["kid"] != kid:
            raise SealedForAnotherPayment("The card was sealed to another key than this payment's latest.")
        if item["issued_until"] <= at:
            raise SealingKeyExpired("The key was valid for an hour. Take a new one from POST /keys.")
        return self._cipher.decrypt(item["private_key"], _context(payment_id))

    def _read(self, payment_id: str) -> Item:
        attributes = "kid, x, y, private_key, issued_until, ended_at"
        return get(self._client, self._table, {"payment_id": payment_id}, ProjectionExpression=attributes) or {}

    def _issued(self, payment_id: str, at: str) -> SealingKey | None:
        """The key that the payment has, unless it has expired."""
        item = self._read(payment_id)
        if _was_used(item):
            raise SealingKeyUsed("The payment has ended. Pay with a new Idempotency-Key.")
        if "kid" not in item or item["issued_until"] <= at:
            return None
        return SealingKey(item["kid"], item["x"], item["y"], item["issued_until"])


def thumbprint(x: str, y: str) -> str:
    """A P-256 key's SHA-256 thumbprint in base64url: of its required members in order, without spaces (RFC 7638)."""
    members = {"crv": "P-256", "kty": "EC", "x": x, "y": y}
    return _base64url(hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest())


def _was_used(item: Item) -> bool:
    """Whether the payment has ended, or its key was deleted because a card was stored."""
    return "ended_at" in item or ("kid" in item and "private_key" not in item)


def _context(payment_id: str) -> dict[str, str]:
    return {"payment_id": payment_id, "purpose": "sealing"}


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
