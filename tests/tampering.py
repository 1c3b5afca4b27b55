"""Sealed cards (compact JWE) changed by somebody who means ill."""

import base64
import json
from collections.abc import Callable
from typing import Any


def encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def with_header(sealed: str, header: Any) -> str:
    """The sealed card under another protected header."""
    return ".".join([encoded(json.dumps(header).encode()), *sealed.split(".")[1:]])


def with_segment(sealed: str, number: int, change: Callable[[bytes], bytes]) -> str:
    segments = sealed.split(".")
    padded = segments[number] + "=" * (-len(segments[number]) % 4)
    segments[number] = encoded(change(base64.urlsafe_b64decode(padded)))
    return ".".join(segments)


def flipped(value: bytes) -> bytes:
    return bytes([value[0] ^ 1]) + value[1:]
