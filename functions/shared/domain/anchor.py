"""Anchors: the ledger's state at a point in time, kept outside the ledger to reveal later deletions and rewrites.

An anchor has one line for each payment whose record's last version was written on the anchor's day. Its root hashes
all lines and the previous root: changing, omitting or inserting a line later changes every later root.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from functions.shared.domain.seal import digest, facts
from functions.shared.domain.times import end_of_day, iso

UNSEALED = "unsealed"
"""Replaces the day for records written before seals existed. Only the first anchor may contain them."""

GENESIS_ROOT = "0" * 64
"""The first anchor's `previous`, as no root precedes it."""

INDEXED_WITHIN = timedelta(minutes=1)
"""A record is assumed to be in its day's index this long after it was written."""


@dataclass(frozen=True, slots=True)
class Line:
    """A payment in an anchor: the version of its record, and the head of its journal.

    `record` is the digest under the record's MAC, and `facts` the digest of the fields that no version changes; both
    are in hex.
    """

    payment_id: str
    version: int
    entry_count: int
    journal_hash: str
    record: str
    facts: str

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Line":
        """The line for a record, given as stored. Raises KeyError, TypeError or ValueError for a malformed record."""
        return cls(
            record["payment_id"],
            int(record["version"]),
            int(record["entry_count"]),
            str(record["journal_hash"]),
            digest("record", without_mac(record)).hex(),
            facts(record).hex(),
        )


def without_mac(record: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a record that its MAC covers."""
    return {name: value for name, value in record.items() if name != "mac"}


def to_part(lines: Iterable[Line]) -> bytes:
    """Serialize lines as JSON: one list per line, sorted by payment id."""
    in_order = sorted(lines, key=lambda line: line.payment_id)
    return json.dumps([list(asdict(line).values()) for line in in_order], separators=(",", ":")).encode()


def from_part(part: bytes) -> list[Line]:
    """The inverse of `to_part`."""
    return [Line(*line) for line in json.loads(part)]


@dataclass(frozen=True, slots=True)
class Anchor:
    """One anchor. `number` counts from 1. A day may have several anchors; the last one is the day's.

    The anchor contains every record last written on `day` (UTC) up to `until`, and perhaps some written later. `parts`
    holds the SHA-256 of each part, in hex.
    """

    number: int
    day: str
    taken_at: str
    until: str
    payments: int
    entries: int
    parts: tuple[str, ...]
    previous: str

    @property
    def digest(self) -> bytes:
        """The digest that the anchor's MAC covers."""
        return digest("anchor", asdict(self))

    @property
    def root(self) -> str:
        return self.digest.hex()


def indexed_until(day: str, at: str) -> str:
    """The time up to which a read of the day's index, made at `at`, has seen every write."""
    return min(end_of_day(day), iso(datetime.fromisoformat(at) - INDEXED_WITHIN))


def part_hash(part: bytes) -> str:
    return hashlib.sha256(part).hexdigest()
