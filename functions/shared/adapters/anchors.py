"""The anchors, in a bucket with Object Lock.

| key                     | what                                                                                      |
|-------------------------|-------------------------------------------------------------------------------------------|
| `anchors/{number}.json` | an anchor as JSON, with its root and its MAC (base64); the number has eight digits        |
| `parts/{sha256}.json`   | lines of an anchor, by the hash that the anchor has of them: `[[payment_id, version, …]]` |

No key is written twice. Where somebody puts another object, or a delete marker, in the place of one, the version before
stays, as the bucket's retention holds it: verification reads all versions (tools/books/anchors.py).
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
        """Write an object, and return whether its key is new. S3 wants a checksum of an object that is to be locked
        ("PutObject", Amazon S3 API reference)."""
        with ledger_errors("S3"):
            try:
                self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*", ChecksumAlgorithm="SHA256"
                )
            except ClientError as error:
                # The second is the answer where two write the key at once ("Conditional writes", S3 user guide).
                if error.response["Error"]["Code"] not in ("PreconditionFailed", "ConditionalRequestConflict"):
                    raise
                return False
        return True


def to_anchor(document: dict[str, Any]) -> Anchor:
    """The anchor of its document. Raises KeyError for a document of anything else."""
    return Anchor(**{name: document[name] for name in _ANCHOR_FIELDS} | {"parts": tuple(document["parts"])})
