"""Seal a card for one payment. Copy this file into your back end; it needs the package `cryptography` alone.

    keys = GET /keys                                    # signed with SigV4, as every call
    card_data = seal({"card_number": …, "expiry_date": "MM/YY", "card_holder": …}, payment_id, keys["keys"][0])
    POST /payments, Idempotency-Key: payment_id         # {"amount_minor": …, "currency": …, "card_data": card_data}

The result is a compact JWE (RFC 7516), `alg` RSA-OAEP-256 and `enc` A256GCM (RFC 7518), that any JOSE library makes as
well. It is good for the one payment whose id is in its header. Never seal a security code: a card with one is refused.
"""

import base64
import json
import os
from collections.abc import Mapping

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_public_key

_TAG_BYTES = 16


def seal(card_data: Mapping[str, str], payment_id: str, key: Mapping[str, str]) -> str:
    """Seal `{"card_number", "expiry_date", "card_holder"}` with a key as `GET /keys` has it, for this payment alone.

    Raises ValueError where the key is not an RSA public key in PEM.
    """
    public_key = load_pem_public_key(key["pem"].encode())
    if not isinstance(public_key, rsa.RSAPublicKey):
        raise ValueError("The sealing key is not an RSA key.")
    header = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": key["kid"], "payment_id": payment_id}
    protected = _encoded(json.dumps(header).encode())
    content_key, iv = AESGCM.generate_key(256), os.urandom(12)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    sealed = AESGCM(content_key).encrypt(iv, json.dumps(dict(card_data)).encode(), protected.encode())
    ciphertext, tag = sealed[:-_TAG_BYTES], sealed[-_TAG_BYTES:]
    segments = (public_key.encrypt(content_key, oaep), iv, ciphertext, tag)
    return ".".join([protected, *map(_encoded, segments)])


def _encoded(segment: bytes) -> str:
    """base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(segment).decode().rstrip("=")
