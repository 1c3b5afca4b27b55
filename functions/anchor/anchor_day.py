"""Anchor a day: store digests of its payments' records and journals outside the ledger."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from functions.shared.domain.anchor import GENESIS_ROOT, UNSEALED, Anchor, Line, indexed_until, part_hash, to_part
from functions.shared.domain.errors import LedgerUnavailable
from functions.shared.ports import Anchors, Mac, Written

# The number of connections that botocore keeps open.
_MAX_CONNECTIONS = 10
# A part has at most this many lines: a few megabytes, so that most days have few parts.
MAX_PART_LINES = 10_000


def anchor_day(day: str, *, written: Written, anchors: Anchors, mac: Mac, now: str) -> Anchor:
    """Write the next anchor, with the payments last written on that day, and return it.

    The call may be repeated: a day's last anchor is the valid one and includes what was written since the previous one.
    Raises LedgerUnavailable (also if another run wrote an anchor concurrently), KeyServiceUnavailable, KeyUnusable.
    """
    last = anchors.last()
    days = [day] if last else [day, UNSEALED]
    parts, payments, entries = [], 0, 0
    for lines in _parts([(anchored_day, shard) for anchored_day in days for shard in range(written.shards)], written):
        part = to_part(lines)
        anchors.keep_part(part)
        parts.append(part_hash(part))
        payments += len(lines)
        entries += sum(line.entry_count for line in lines)
    anchor = Anchor(
        number=last.number + 1 if last else 1,
        day=day,
        taken_at=now,
        until=indexed_until(day, now),
        payments=payments,
        entries=entries,
        parts=tuple(parts),
        previous=last.root if last else GENESIS_ROOT,
    )
    if not anchors.keep(anchor, mac.mac(anchor.digest)):
        raise LedgerUnavailable("Another run has written an anchor meanwhile.")
    return anchor


def _parts(shards: Sequence[tuple[str, int]], written: Written) -> Iterator[list[Line]]:
    """Yield the shards' lines in parts, with only some of the shards in memory at a time."""
    lines: list[Line] = []
    with ThreadPoolExecutor(_MAX_CONNECTIONS) as pool:
        for start in range(0, len(shards), _MAX_CONNECTIONS):
            for shard_lines in pool.map(
                lambda shard: list(written.lines(*shard)), shards[start : start + _MAX_CONNECTIONS]
            ):
                lines += shard_lines
            while len(lines) >= MAX_PART_LINES:
                yield lines[:MAX_PART_LINES]
                lines = lines[MAX_PART_LINES:]
    if lines:
        yield lines
