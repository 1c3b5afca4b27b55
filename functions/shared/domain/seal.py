"""What is sealed: the bytes that are hashed of a record, of the operations beside it, and of an anchor. They are
defined here and nowhere else.

Format 1: the SHA-256 of the JSON `[kind, 1, content]` in ASCII, keys in order, without blanks. It is hashed first, as
KMS takes messages of up to 4,096 bytes ("GenerateMac", AWS KMS API reference), and records are longer.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

Kind = Literal["record", "operations", "anchor"]

FORMAT = 1


def digest(kind: Kind, content: Mapping[str, Any]) -> bytes:
    """What the MAC is made of: 32 bytes, others for any other content and for any other kind.

    The content has texts, whole numbers, booleans and None, and lists and maps of them. What is none of these (somebody
    has written it) is told apart, too.
    """
    text = json.dumps([kind, FORMAT, content], sort_keys=True, separators=(",", ":"), default=repr)
    return hashlib.sha256(text.encode()).digest()


def facts(record: Mapping[str, Any]) -> bytes:
    """A digest of what no version of a payment's record changes: what was asked for, when, by whom, and with which
    card once one is known."""
    asked = {name: record.get(name) for name in _FACTS}
    return digest("record", asked | {"card": (record.get("card") or {}).get("fingerprint")})


_FACTS = ("amount_minor", "caller", "created_at", "currency", "description", "merchant_reference", "payment_id")
