"""Sealed cards: compact JWE (RFC 7516) with A256GCM (RFC 7518), sealed to a single-use key or to a static one.

The header comes from the sender, so it is checked before any key is used and may choose nothing: it must name one of
two algorithms, the one encryption, no compression, a key of ours, and this payment's id.
"""

import base64
import binascii
import re
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash

from functions.shared import strict_json
from functions.shared.adapters.kms import kms_errors
from functions.shared.domain.errors import (
    InvalidSealedCard,
    SealedCardTampered,
    SealedForAnotherPayment,
    SealedWithTheWrongKind,
    SealingNotSupported,
    UnknownSealingKey,
)
from functions.shared.domain.shapes import canonical_id
from functions.shared.ports import Opened, SealingKeys

if TYPE_CHECKING:
    from mypy_boto3_kms.client import KMSClient

SINGLE_USE, STATIC = "ECDH-ES", "RSA-OAEP-256"
"""The `alg` of each kind of key."""

ENCRYPTION = "A256GCM"
_HEADER_NAMES = {"alg", "enc", "kid", "payment_id", "typ", "cty"}
_AGREEMENT_NAMES = {"epk", "apu", "apv"}
# Both headers are optional (RFC 7516, 4.1.11 and 4.1.12). Our clients omit them; others don't: jwcrypto writes typ JWE.
_TYPES = ("JOSE", "JWE")
_CONTENT_TYPES = ("json", "application/json")
_KEY_BYTES, _IV_BYTES, _TAG_BYTES, _COORDINATE_BYTES = 32, 12, 16, 32


class ContentKeys(Protocol):
    """One kind of sealing keys: it finds the content key of a sealed card, whose header is already checked."""

    def content_key(self, header: Mapping[str, Any], encrypted_key: bytes, payment_id: str) -> bytes: ...


class JweCardOpener:
    """`CardOpener` for the kinds of keys that the deployment accepts, by their `alg`: `SINGLE_USE`, `STATIC`."""

    def __init__(self, kinds: Mapping[str, ContentKeys]) -> None:
        self._kinds = kinds

    def open(self, sealed: str, payment_id: str) -> Opened:
        segments = sealed.split(".")
        if len(segments) != 5:
            raise InvalidSealedCard("A sealed card is a compact JWE, five segments with dots between them.")
        protected, encrypted_key, *rest = segments
        header = _header(_decoded(protected))
        # Only an agreed key is not in the card: its segment is empty (RFC 7518, 4.6).
        wrapped = _decoded(encrypted_key) if encrypted_key else b""
        iv, ciphertext, tag = map(_decoded, rest)
        kind = self._checked_kind(header, payment_id)
        content_key = kind.content_key(header, wrapped, payment_id)
        if (len(content_key), len(iv), len(tag)) != (_KEY_BYTES, _IV_BYTES, _TAG_BYTES):
            raise SealedCardTampered("The sealed card does not open.")
        try:
            content = AESGCM(content_key).decrypt(iv, ciphertext + tag, protected.encode())
        except InvalidTag:
            raise SealedCardTampered("The sealed card does not open.") from None
        return Opened(content, single_use=header["alg"] == SINGLE_USE)

    def _checked_kind(self, header: dict[str, Any], payment_id: str) -> ContentKeys:
        """The kind of key that the header asks for, if the header is acceptable and names this payment."""
        algorithm = header.get("alg")
        names = _HEADER_NAMES | _AGREEMENT_NAMES if algorithm == SINGLE_USE else _HEADER_NAMES
        if algorithm not in (SINGLE_USE, STATIC) or header.get("enc") != ENCRYPTION or not header.keys() <= names:
            raise SealingNotSupported(
                f"Seal with {SINGLE_USE} or {STATIC}, and {ENCRYPTION}, without compression or extensions."
            )
        if header.get("typ", "JOSE") not in _TYPES or header.get("cty", "json") not in _CONTENT_TYPES:
            raise SealingNotSupported("The header may say typ JOSE or JWE, and cty json or application/json.")
        if algorithm not in self._kinds:
            raise SealedWithTheWrongKind(f"No key for {algorithm} is accepted here. Take one from POST /keys.")
        if not isinstance(header.get("kid"), str):
            raise UnknownSealingKey("The sealed card names no key of ours.")
        sealed_for = header.get("payment_id")
        if not isinstance(sealed_for, str) or canonical_id(sealed_for) != canonical_id(payment_id):
            raise SealedForAnotherPayment("The card was sealed for another payment_id than the Idempotency-Key.")
        return self._kinds[algorithm]


class StaticKeys:
    """`ContentKeys` of RSA_4096 keys in KMS. `key_ids` holds the keys in service; `kid` must be one."""

    def __init__(self, client: "KMSClient", key_ids: Collection[str]) -> None:
        self._client = client
        self._key_ids = key_ids

    def content_key(self, header: Mapping[str, Any], encrypted_key: bytes, payment_id: str) -> bytes:
        key_id = header["kid"]
        if key_id not in self._key_ids:
            raise UnknownSealingKey("The sealed card names no key of ours. Take one from GET /keys.")
        if not encrypted_key:
            raise InvalidSealedCard("The sealed card has no content key.")
        with kms_errors():
            try:
                answer = self._client.decrypt(
                    KeyId=key_id, CiphertextBlob=encrypted_key, EncryptionAlgorithm="RSAES_OAEP_SHA_256"
                )
            except self._client.exceptions.InvalidCiphertextException:
                raise SealedCardTampered("The sealed card does not open.") from None
        return answer["Plaintext"]


class SingleUseKeys:
    """`ContentKeys` of keys that are issued for one payment each, for direct key agreement (RFC 7518, 4.6)."""

    def __init__(self, keys: SealingKeys, now: Callable[[], str]) -> None:
        self._keys = keys
        self._now = now

    def content_key(self, header: Mapping[str, Any], encrypted_key: bytes, payment_id: str) -> bytes:
        if encrypted_key:
            raise InvalidSealedCard("A card sealed by key agreement has no encrypted key.")
        parties = [_party(header, name) for name in ("apu", "apv")]
        sender = _ephemeral_key(header.get("epk"))
        private = self._keys.private_key(payment_id, header["kid"], self._now())
        secret = ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256R1()).exchange(ec.ECDH(), sender)
        return derived_key(secret, ENCRYPTION, *parties, key_bytes=_KEY_BYTES)


def derived_key(secret: bytes, algorithm: str, apu: bytes, apv: bytes, *, key_bytes: int) -> bytes:
    """The key that both sides derive from their secret: the Concat KDF as RFC 7518, 4.6.2, uses it. `algorithm` is the
    `enc`; `apu` and `apv` are decoded, and empty if the header has none."""
    texts = b"".join(len(text).to_bytes(4, "big") + text for text in (algorithm.encode(), apu, apv))
    return ConcatKDFHash(hashes.SHA256(), key_bytes, texts + (8 * key_bytes).to_bytes(4, "big")).derive(secret)


def _party(header: Mapping[str, Any], name: str) -> bytes:
    text = header.get(name, "")
    if not isinstance(text, str):
        raise InvalidSealedCard(f"The header's {name} is not base64url.")
    return _decoded(text) if text else b""


def _ephemeral_key(epk: object) -> ec.EllipticCurvePublicKey:
    """The sender's public key. Raises InvalidSealedCard, also for a point that is not on the curve: the agreement with
    such a point would reveal our key."""
    match epk:
        case {"kty": "EC", "crv": "P-256", "x": str(encoded_x), "y": str(encoded_y), **others} if not others:
            x, y = _decoded(encoded_x), _decoded(encoded_y)
        case _:
            raise InvalidSealedCard("The header's epk is not a P-256 public key.")
    if (len(x), len(y)) != (_COORDINATE_BYTES, _COORDINATE_BYTES):
        raise InvalidSealedCard("The header's epk is not a P-256 public key.")
    try:
        point = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1())
        return point.public_key()
    except ValueError:
        raise InvalidSealedCard("The header's epk is not a point of P-256.") from None


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
