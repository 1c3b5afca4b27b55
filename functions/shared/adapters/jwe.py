"""Sealed cards: compact JWE (RFC 7516) with RSA-OAEP-256 and A256GCM (RFC 7518), with the private key in KMS.

The header comes from the sender, so it is checked before any key is used and may choose nothing: it must name the one
algorithm, the one encryption, no compression, a key of ours, and this payment's id.
"""

import base64
import binascii
import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from functions.shared import strict_json
from functions.shared.adapters.kms import kms_errors
from functions.shared.domain.errors import (
    InvalidSealedCard,
    SealedCardTampered,
    SealedForAnotherPayment,
    SealingNotSupported,
    UnknownSealingKey,
)
from functions.shared.domain.shapes import canonical_id

if TYPE_CHECKING:
    from mypy_boto3_kms.client import KMSClient

ALGORITHM = "RSA-OAEP-256"
ENCRYPTION = "A256GCM"
_HEADER_NAMES = {"alg", "enc", "kid", "payment_id", "typ", "cty"}
# Both headers are optional (RFC 7516, 4.1.11 and 4.1.12). Our clients omit them; others don't: jwcrypto writes typ JWE.
_TYPES = ("JOSE", "JWE")
_CONTENT_TYPES = ("json", "application/json")
_KEY_BYTES, _IV_BYTES, _TAG_BYTES = 32, 12, 16


class KmsCardOpener:
    """`CardOpener` with RSA_4096 keys in KMS. `key_ids` holds all keys published now or before; `kid` must be one."""

    def __init__(self, client: "KMSClient", key_ids: Collection[str]) -> None:
        self._client = client
        self._key_ids = key_ids

    def open(self, sealed: str, payment_id: str) -> bytes:
        segments = sealed.split(".")
        if len(segments) != 5:
            raise InvalidSealedCard("A sealed card is a compact JWE, five segments with dots between them.")
        header, encrypted_key, iv, ciphertext, tag = map(_decoded, segments)
        key_id = self._checked_key_id(_header(header), payment_id)
        content_key = self._content_key(key_id, encrypted_key)
        if (len(content_key), len(iv), len(tag)) != (_KEY_BYTES, _IV_BYTES, _TAG_BYTES):
            raise SealedCardTampered("The sealed card does not open.")
        try:
            return AESGCM(content_key).decrypt(iv, ciphertext + tag, segments[0].encode())
        except InvalidTag:
            raise SealedCardTampered("The sealed card does not open.") from None

    def _checked_key_id(self, header: dict[str, Any], payment_id: str) -> str:
        """Return the id of the key in the header, if the header is acceptable and names this payment."""
        if (header.get("alg"), header.get("enc")) != (ALGORITHM, ENCRYPTION) or not header.keys() <= _HEADER_NAMES:
            raise SealingNotSupported(f"Seal with {ALGORITHM} and {ENCRYPTION}, without compression or extensions.")
        if header.get("typ", "JOSE") not in _TYPES or header.get("cty", "json") not in _CONTENT_TYPES:
            raise SealingNotSupported("The header may say typ JOSE or JWE, and cty json or application/json.")
        key_id = header.get("kid")
        if not isinstance(key_id, str) or key_id not in self._key_ids:
            raise UnknownSealingKey("The sealed card names no key of ours. Take one from GET /keys.")
        sealed_for = header.get("payment_id")
        if not isinstance(sealed_for, str) or canonical_id(sealed_for) != canonical_id(payment_id):
            raise SealedForAnotherPayment("The card was sealed for another payment_id than the Idempotency-Key.")
        return key_id

    def _content_key(self, key_id: str, encrypted_key: bytes) -> bytes:
        with kms_errors():
            try:
                answer = self._client.decrypt(
                    KeyId=key_id, CiphertextBlob=encrypted_key, EncryptionAlgorithm="RSAES_OAEP_SHA_256"
                )
            except self._client.exceptions.InvalidCiphertextException:
                raise SealedCardTampered("The sealed card does not open.") from None
        return answer["Plaintext"]


def _decoded(segment: str) -> bytes:
    """Decode base64url without padding (RFC 7515, section 2), and reject any deviation from it."""
    if not re.fullmatch("[A-Za-z0-9_-]+", segment):
        raise InvalidSealedCard("A segment of the sealed card is not base64url.")
    try:
        decoded = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        raise InvalidSealedCard("A segment of the sealed card is not base64url.") from None
    return decoded


def _header(decoded: bytes) -> dict[str, Any]:
    try:
        header = strict_json.loads(decoded)
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise InvalidSealedCard("The sealed card's header is not a JSON object.")
    return header
