"""The anchors, in a bucket with Object Lock.

| key                     | content                                                                                   |
|-------------------------|-------------------------------------------------------------------------------------------|
| `anchors/{number}.json` | an anchor as JSON, with its root and its MAC (base64); the number has eight digits        |
| `parts/{sha256}.json`   | lines of an anchor, named by their hash in the anchor: `[[payment_id, version, …]]`       |

No key is written twice. If somebody overwrites an object, or puts a delete marker on it, the bucket's retention still
holds the earlier version: verification reads all versions (tools/books/anchors.py).
"""

import json
from base64 import b64encode
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from functions.shared.adapters.table.items import ledger_errors
from functions.shared.domain.anchor import Anchor, part_hash

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

ANCHORS, PARTS = "anchors/", "parts/"
_ANCHOR_FIELDS = tuple(field.name for field in fields(Anchor))


class S3Anchors:
    """`Anchors` in S3."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def last(self) -> Anchor | None:
        with ledger_errors("S3"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=ANCHORS)
            keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
            if not keys:
                return None
            text = self._client.get_object(Bucket=self._bucket, Key=max(keys))["Body"].read()
        return to_anchor(json.loads(text))

    def keep_part(self, part: bytes) -> None:
        self._put(f"{PARTS}{part_hash(part)}.json", part)

    def keep(self, anchor: Anchor, mac: bytes) -> bool:
        document = asdict(anchor) | {"root": anchor.root, "mac": b64encode(mac).decode()}
        return self._put(f"{ANCHORS}{anchor.number:08}.json", json.dumps(document, indent=1).encode())

    def _put(self, key: str, body: bytes) -> bool:
        """Write an object unless its key exists, and return whether the key was new. S3 requires a checksum for an
        object to be locked ("PutObject", Amazon S3 API reference)."""
        with ledger_errors("S3"):
            try:
                self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*", ChecksumAlgorithm="SHA256"
                )
            except ClientError as error:
                # S3 answers with the second code if two clients write the key at once ("Conditional writes", S3 user
                # guide).
                if error.response["Error"]["Code"] not in ("PreconditionFailed", "ConditionalRequestConflict"):
                    raise
                return False
        return True


def to_anchor(document: dict[str, Any]) -> Anchor:
    """Read an anchor from its JSON document. Raises KeyError if the document lacks a field."""
    return Anchor(**{name: document[name] for name in _ANCHOR_FIELDS} | {"parts": tuple(document["parts"])})
