"""What anchors are made of, from the ledger's index `by_writing`; and the anchors, in a bucket with Object Lock.

| key                     | what                                                                                      |
|-------------------------|-------------------------------------------------------------------------------------------|
| `anchors/{number}.json` | an anchor as JSON, with its root and its MAC (base64); the number has eight digits        |
| `parts/{sha256}.json`   | lines of an anchor, by the hash that the anchor has of them: `[[payment_id, version, …]]` |

No key is written twice. Who puts another object, or a delete marker, in the place of one leaves the version before it,
which the bucket's retention holds: who verifies reads versions (tools/books/anchors.py).
"""

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from functions.shared.adapters.dynamodb import (
    WRITTEN_SHARDS,
    ledger_errors,
    marshal,
    read_batch,
    written_shard,
)
from functions.shared.domain.anchor import Anchor, Line, part_hash

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_s3.client import S3Client

ANCHORS, PARTS = "anchors/", "parts/"
_ANCHOR_FIELDS = tuple(field.name for field in fields(Anchor))


class DynamoDbWritten:
    """`Written` by the index, which has the keys; the records are read from the table itself."""

    shards = WRITTEN_SHARDS

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def lines(self, day: str, shard: int) -> Iterator[Line]:
        with ledger_errors():
            pages = self._client.get_paginator("query").paginate(
                TableName=self._table,
                IndexName="by_writing",
                KeyConditionExpression="written_shard = :shard",
                ExpressionAttributeValues=marshal({":shard": written_shard(day, f"{shard:02}")}),
            )
            keys = [(item["pk"]["S"], item["sk"]["S"]) for page in pages for item in page["Items"]]
        for record in read_batch(self._client, self._table, keys):
            yield Line.of(record)


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
        """Whether it is new. S3 wants a checksum of what is to be locked ("PutObject", Amazon S3 API reference)."""
        with ledger_errors("S3"):
            try:
                self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*", ChecksumAlgorithm="SHA256"
                )
            except ClientError as error:
                # The latter, where two do it at once ("Conditional writes", S3 user guide).
                if error.response["Error"]["Code"] not in ("PreconditionFailed", "ConditionalRequestConflict"):
                    raise
                return False
        return True


def to_anchor(document: dict[str, Any]) -> Anchor:
    """An anchor's document, read back. Raises KeyError for what is none."""
    return Anchor(**{name: document[name] for name in _ANCHOR_FIELDS} | {"parts": tuple(document["parts"])})
