"""The format of seals: which bytes are hashed for a record, for the operations beside it, and for an anchor.

This module is its only definition. Format 1: the SHA-256 of the JSON `[kind, 1, content]` in ASCII, with sorted keys
and no blanks. The JSON is hashed before KMS makes the MAC, because KMS accepts messages of at most 4,096 bytes
("GenerateMac", AWS KMS API reference), and records are longer.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

Kind = Literal["record", "operations", "anchor"]

FORMAT = 1


def digest(kind: Kind, content: Mapping[str, Any]) -> bytes:
    """The 32 bytes that the MAC covers. They differ for any other content and any other kind.

    The content consists of texts, integers, booleans, None, and lists and maps of these. A value of any other type,
    which somebody else must have written, enters the digest by its `repr`.
    """
    text = json.dumps([kind, FORMAT, content], sort_keys=True, separators=(",", ":"), default=repr)
    return hashlib.sha256(text.encode()).digest()


def facts(record: Mapping[str, Any]) -> bytes:
    """A digest of the facts that all versions of a payment's record share: the request, its time and caller, and the
    card's fingerprint once the card is known."""
    unchanging = {name: record.get(name) for name in _UNCHANGING_FIELDS}
    # Records without these have the digest that they had before the fields existed.
    unchanging |= {name: record[name] for name in ("initiator", "reason", "metadata") if name in record}
    return digest("record", unchanging | {"card": (record.get("card") or {}).get("fingerprint")})


_UNCHANGING_FIELDS = (
    "amount_minor",
    "caller",
    "created_at",
    "currency",
    "description",
    "merchant_reference",
    "payment_id",
)
