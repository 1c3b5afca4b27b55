"""Seal a card for one payment. Copy this file into your back end; it needs only the package `cryptography`.

    key = POST /keys, Idempotency-Key: payment_id       # signed with SigV4, like every call
    card_data = seal({"card_number": …, "expiry_date": "MM/YY", "card_holder": …, "security_code": …}, payment_id, key)
    POST /payments, Idempotency-Key: payment_id         # {"amount_minor": …, "currency": …, "card_data": card_data}

The result is a compact JWE (RFC 7516) with the `enc` A256GCM (RFC 7518), which any JOSE library can make as well. It is
valid only for the payment whose id is in its header. There are two kinds of keys:

- A single-use key, from `POST /keys`, has the `alg` ECDH-ES. Its private half is deleted when the payment has ended, so
  nobody can open the sealed card after that. Only a card that is sealed to such a key may have a security code, which
  is optional.
- A static key, from `GET /keys`, has the `alg` RSA-OAEP-256. It is for those who can't ask before each payment, and not
  every deployment has one.

An attacker who replaced your static key with his own could read every card sealed with it. To prevent that, note the
key's `fingerprint` while you know that the key is yours, and pin it on every call; `seal` then refuses any other key:

    card_data = seal(card, payment_id, key, fingerprint="…")
"""

import base64
import json
import os
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

SINGLE_USE, STATIC = "ECDH-ES", "RSA-OAEP-256"
"""The `alg` of each kind of key."""

_ENC = "A256GCM"
_FIELDS = {"card_number", "expiry_date", "card_holder"}
_MIN_KEY_BITS = 2048
_KEY_BYTES, _IV_BYTES, _TAG_BYTES, _COORDINATE_BYTES = 32, 12, 16, 32
# What goes into the key besides the shared secret (RFC 7518, 4.6.2): the `enc`, neither `apu` nor `apv`, and its length
# in bits; each text with its length in front.
_OTHER_INFO = b"".join(
    [len(_ENC).to_bytes(4, "big"), _ENC.encode(), bytes(4), bytes(4), (8 * _KEY_BYTES).to_bytes(4, "big")]
)


def seal(card_data: Mapping[str, str], payment_id: str, key: Mapping[str, Any], fingerprint: str | None = None) -> str:
    """Seal `{"card_number", "expiry_date", "card_holder"}`, and `security_code` if there is one, for this payment only,
    with its key from `POST /keys`; or without a security code, with a key from `GET /keys`.

    Raises ValueError, whose message contains no card data, if the card has a field that this key may not seal; or if
    the key is neither a P-256 public key in JWK nor an RSA public key in PEM of at least 2048 bits, or does not have
    the `fingerprint`, which no single-use key has.
    """
    if key.get("alg") not in (SINGLE_USE, STATIC) or key.get("enc") != _ENC:
        raise ValueError(f"The sealing key must be for {SINGLE_USE} or {STATIC}, and {_ENC}.")
    if not set(card_data) <= _FIELDS | {"security_code"}:
        raise ValueError("A card has a card_number, an expiry_date, a card_holder and perhaps a security_code.")
    single_use = key["alg"] == SINGLE_USE
    if "security_code" in card_data and not single_use:
        raise ValueError("Only a single-use key, from POST /keys, may seal a security code.")
    if single_use and fingerprint is not None:
        raise ValueError("The sealing key is not the one whose fingerprint is pinned.")
    agreed: dict[str, Any]
    content_key, encrypted_key, agreed = _agreed(key["jwk"]) if single_use else _wrapped(key["pem"], fingerprint)
    header = {"alg": key["alg"], "enc": _ENC, "kid": key["kid"], "payment_id": payment_id, **agreed}
    protected, iv = _base64url(json.dumps(header).encode()), os.urandom(_IV_BYTES)
    sealed = AESGCM(content_key).encrypt(iv, json.dumps(dict(card_data)).encode(), protected.encode())
    segments = (encrypted_key, iv, sealed[:-_TAG_BYTES], sealed[-_TAG_BYTES:])
    return ".".join([protected, *map(_base64url, segments)])


def fingerprint(pem: str) -> str:
    """Return the SHA-256 of a static key in hex. It hashes the SubjectPublicKeyInfo in DER, which `openssl pkey -pubin
    -outform DER` writes. Raises ValueError if `pem` is not an RSA public key in PEM.
    """
    return _fingerprint(_rsa_key(pem))


def _agreed(jwk: Mapping[str, str]) -> tuple[bytes, bytes, dict[str, Any]]:
    """Agree on a content key (RFC 7518, 4.6). Returns it, no encrypted key, and what the header says of it."""
    ephemeral_key = ec.generate_private_key(ec.SECP256R1())
    secret = ephemeral_key.exchange(ec.ECDH(), _ec_key(jwk))
    content_key = ConcatKDFHash(hashes.SHA256(), _KEY_BYTES, _OTHER_INFO).derive(secret)
    point = ephemeral_key.public_key().public_numbers()
    x, y = (_base64url(coordinate.to_bytes(_COORDINATE_BYTES, "big")) for coordinate in (point.x, point.y))
    return content_key, b"", {"epk": {"kty": "EC", "crv": "P-256", "x": x, "y": y}}


def _wrapped(pem: str, fingerprint: str | None) -> tuple[bytes, bytes, dict[str, Any]]:
    """Make a content key and encrypt it (RFC 7518, 4.3). Returns both, and that the header says nothing more."""
    public_key = _rsa_key(pem)
    if public_key.key_size < _MIN_KEY_BITS:
        raise ValueError(f"The sealing key is an RSA key of less than {_MIN_KEY_BITS} bits.")
    if fingerprint is not None and _fingerprint(public_key) != fingerprint:
        raise ValueError("The sealing key is not the one whose fingerprint is pinned.")
    content_key = AESGCM.generate_key(8 * _KEY_BYTES)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    return content_key, public_key.encrypt(content_key, oaep), {}


def _ec_key(jwk: Mapping[str, str]) -> ec.EllipticCurvePublicKey:
    """The public key of a JWK (RFC 7518, 6.2.1), which must be a point on the curve."""
    try:
        if (jwk["kty"], jwk["crv"]) != ("EC", "P-256"):
            raise ValueError
        x, y = (int.from_bytes(base64.urlsafe_b64decode(jwk[name] + "=="), "big") for name in ("x", "y"))
        return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    except (KeyError, TypeError, ValueError):
        raise ValueError("The sealing key is not a P-256 public key in JWK.") from None


def _rsa_key(pem: str) -> rsa.RSAPublicKey:
    try:
        public_key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        public_key = None
    if not isinstance(public_key, rsa.RSAPublicKey):
        raise ValueError("The sealing key is not an RSA public key in PEM.")
    return public_key


def _fingerprint(public_key: rsa.RSAPublicKey) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()


def _base64url(segment: bytes) -> str:
    """Encode in base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(segment).decode().rstrip("=")
