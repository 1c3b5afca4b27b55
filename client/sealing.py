"""Seal a card for one payment. Copy this file into your back end; it needs only the package `cryptography`.

    keys = GET /keys                                    # signed with SigV4, like every call
    card_data = seal({"card_number": …, "expiry_date": "MM/YY", "card_holder": …}, payment_id, keys["keys"][0])
    POST /payments, Idempotency-Key: payment_id         # {"amount_minor": …, "currency": …, "card_data": card_data}

The result is a compact JWE (RFC 7516) with the `alg` RSA-OAEP-256 and the `enc` A256GCM (RFC 7518), which any JOSE
library can make as well. It is valid only for the payment whose id is in its header.

An attacker who replaced your key with his own could read every card sealed with it. To prevent that, note the key's
`fingerprint` while you know that the key is yours, and pass it on every call; `seal` then refuses any other key:

    card_data = seal(card, payment_id, key, fingerprint="…")
"""

import base64
import json
import os
from collections.abc import Mapping

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

_FIELDS = {"card_number", "expiry_date", "card_holder"}
_MIN_KEY_BITS = 2048
_TAG_BYTES = 16


def seal(card_data: Mapping[str, str], payment_id: str, key: Mapping[str, str], fingerprint: str | None = None) -> str:
    """Seal `{"card_number", "expiry_date", "card_holder"}` for this payment only, with a key from `GET /keys`.

    Raises ValueError, whose message contains no card data, if the card has any other field, such as a security code, or
    if the key is not an RSA public key in PEM of at least 2048 bits, or does not have the `fingerprint`.
    """
    if not set(card_data) <= _FIELDS:
        raise ValueError("A card has a card_number, an expiry_date and a card_holder. No security code is taken.")
    public_key = _public_key(key["pem"])
    if public_key.key_size < _MIN_KEY_BITS:
        raise ValueError(f"The sealing key is an RSA key of less than {_MIN_KEY_BITS} bits.")
    if fingerprint is not None and _fingerprint(public_key) != fingerprint:
        raise ValueError("The sealing key is not the one whose fingerprint is pinned.")
    header = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": key["kid"], "payment_id": payment_id}
    protected = _base64url(json.dumps(header).encode())
    content_key, iv = AESGCM.generate_key(256), os.urandom(12)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    sealed = AESGCM(content_key).encrypt(iv, json.dumps(dict(card_data)).encode(), protected.encode())
    ciphertext, tag = sealed[:-_TAG_BYTES], sealed[-_TAG_BYTES:]
    segments = (public_key.encrypt(content_key, oaep), iv, ciphertext, tag)
    return ".".join([protected, *map(_base64url, segments)])


def fingerprint(pem: str) -> str:
    """Return the SHA-256 of a sealing key in hex. It hashes the SubjectPublicKeyInfo in DER, which `openssl pkey -pubin
    -outform DER` writes. Raises ValueError if `pem` is not an RSA public key in PEM.
    """
    return _fingerprint(_public_key(pem))


def _public_key(pem: str) -> rsa.RSAPublicKey:
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
