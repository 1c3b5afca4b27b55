"""Sealed cards (compact JWE) that an attacker made or changed."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

from joserfc import jwe
from joserfc.jwk import RSAKey


def encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def sealed_unchecked(content: Any, payment_id: str, key: Mapping[str, str]) -> str:
    """Seal anything as a card is sealed, even a security code, which our own clients would refuse."""
    header = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": key["kid"], "payment_id": payment_id}
    registry = jwe.JWERegistry(algorithms=[header["alg"], header["enc"]])
    registry.strict_check_header = False
    return jwe.encrypt_compact(header, json.dumps(content), RSAKey.import_key(key["pem"]), registry=registry)


def with_header(sealed: str, header: Any) -> str:
    """The sealed card with another protected header."""
    return ".".join([encoded(json.dumps(header).encode()), *sealed.split(".")[1:]])


def with_segment(sealed: str, number: int, change: Callable[[bytes], bytes]) -> str:
    segments = sealed.split(".")
    padded = segments[number] + "=" * (-len(segments[number]) % 4)
    segments[number] = encoded(change(base64.urlsafe_b64decode(padded)))
    return ".".join(segments)


def flipped(value: bytes) -> bytes:
    return bytes([value[0] ^ 1]) + value[1:]
