"""Anchors: what the ledger was at a time, kept outside of it, so that what is gone or was rewritten since shows.

An anchor has a line for each payment whose record's last version was written on its day. Its root is made of all of
them and of the root before: none can be changed, left out or put in later without a difference in every later root.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from functions.shared.domain.seal import digest, facts
from functions.shared.domain.times import iso

UNSEALED = "unsealed"
"""Stands for a day: that of the records from before there were seals. Only the first anchor may have them."""

NO_ANCHOR = "0" * 64
"""What the first anchor has in place of a root before it."""

SEEN_WITHIN = timedelta(minutes=1)
"""A record is surely in the index of its day this long after it was written."""


@dataclass(frozen=True, slots=True)
class Line:
    """A payment as an anchor has it: which version of its record, and the head of its journal.

    `record` is the digest that the record's MAC is made of, `facts` one of what no version changes; both in hex.
    """

    payment_id: str
    version: int
    entry_count: int
    journal_hash: str
    record: str
    facts: str

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Line":
        """The line of a record, given as it was written. Raises KeyError, TypeError or ValueError for what is none."""
        return cls(
            record["payment_id"],
            int(record["version"]),
            int(record["entry_count"]),
            str(record["journal_hash"]),
            digest("record", without_mac(record)).hex(),
            facts(record).hex(),
        )


def without_mac(record: Mapping[str, Any]) -> dict[str, Any]:
    """What of a record its MAC is made of."""
    return {name: value for name, value in record.items() if name != "mac"}


def to_part(lines: Iterable[Line]) -> bytes:
    """Lines as they are kept: JSON, in the order of the payments' ids, each line a list."""
    in_order = sorted(lines, key=lambda line: line.payment_id)
    return json.dumps([list(asdict(line).values()) for line in in_order], separators=(",", ":")).encode()


def from_part(part: bytes) -> list[Line]:
    """The inverse of `to_part`."""
    return [Line(*line) for line in json.loads(part)]


@dataclass(frozen=True, slots=True)
class Anchor:
    """One anchor. `number` counts them from 1 on. Of one day there may be several: the last of them stands for it.

    What was last written on the `day` (UTC) `until` then is in it; what was written later may be. `parts` has the
    SHA-256 of each of its parts, in hex.
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
        """What the anchor's MAC is made of."""
        return digest("anchor", asdict(self))

    @property
    def root(self) -> str:
        return self.digest.hex()


def surely_seen(day: str, at: str) -> str:
    """Until when a read of the day at that time has surely seen every write."""
    return min(f"{day}T23:59:59.999Z", iso(datetime.fromisoformat(at) - SEEN_WITHIN))


def part_hash(part: bytes) -> str:
    return hashlib.sha256(part).hexdigest()
