"""The ledger's anchors: write one by hand, and read them in all their S3 versions, so that a replaced one is
noticed."""

import json
from base64 import b64decode
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from functions.shared.adapters.anchors import ANCHORS, PARTS, to_anchor
from functions.shared.adapters.kms import KmsMac
from functions.shared.domain.anchor import GENESIS_ROOT, Anchor, Line, from_part, part_hash
from tools.books.flaws import Flaw
from tools.deployment.stack import Stack, StackError
from tools.output import counted

_THREADS = 8


@dataclass(slots=True)
class TrustedAnchors:
    """The anchors that can be trusted, and what is wrong with the others."""

    anchors: list[Anchor] = field(default_factory=list)
    lines: dict[str, list[tuple[Anchor, Line]]] = field(default_factory=lambda: defaultdict(list))
    flaws: list[Flaw] = field(default_factory=list)

    def covering(self, day: str, written_at: str) -> Anchor | None:
        """The anchor that must hold what was last written at this time, if one exists yet."""
        of_day = [anchor for anchor in self.anchors if anchor.day == day]
        return of_day[-1] if of_day and of_day[-1].until >= written_at else None


def anchor(stack: Stack, day: str, console: Console) -> None:
    """Have the anchor function anchor this day, and print what the anchor holds. Raises StackError if it can't."""
    try:
        with console.status(f"Anchoring {day}"):
            summary = stack.invoke("anchor", {"day": day})
    except StackError as error:
        raise StackError(f"{error}\nThe day is not anchored yet. Trying again is safe.") from None
    payments, entries = counted(summary["payments"], "payment"), counted(summary["entries"], "entry", "entries")
    console.print(f"Anchor {summary['number']}, of {summary['day']}: {payments} with {entries}.", highlight=False)
    console.print(f"Its root: {summary['root']}", highlight=False, soft_wrap=True)


def read_anchors(stack: Stack) -> TrustedAnchors:
    """Read all anchors, in the order of their numbers. Where the chain breaks, only those before the break are
    trusted."""
    return AnchorReader(stack).read()


class AnchorReader:
    def __init__(self, stack: Stack) -> None:
        self._s3 = stack.client("s3")
        self._bucket = stack.required("anchors_bucket")
        self._mac = KmsMac(stack.client("kms"), stack.required("books_key_arn"))

    def read(self) -> TrustedAnchors:
        result = TrustedAnchors()
        versions, hidden = self._versions()
        for key in sorted(hidden):
            result.flaws.append(Flaw(_name(key), "is hidden: somebody has put a delete marker over it"))
        previous, parts = GENESIS_ROOT, []
        anchor_keys = sorted(key for key in versions if key.startswith(ANCHORS))
        for number, key in enumerate(anchor_keys, start=1):
            if len(versions[key]) > 1:
                result.flaws.append(Flaw(_name(key), f"was written {len(versions[key])} times; the first stands"))
            expected = f"{ANCHORS}{number:08}.json"
            if key != expected:
                result.flaws.append(Flaw(_name(expected), f"is gone: the next one is {_name(key)}"))
                break
            try:
                anchor = self._anchor(key, versions[key][0], number, previous)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                result.flaws.append(Flaw(_name(key), str(error)))
                break
            previous = anchor.root
            result.anchors.append(anchor)
            parts += [(anchor, part) for part in anchor.parts]
        with ThreadPoolExecutor(_THREADS) as pool:
            for anchor, lines in pool.map(lambda part: (part[0], self._part(part[1], versions)), parts):
                if isinstance(lines, str):
                    result.flaws.append(Flaw(f"anchor {anchor.number}", lines))
                    continue
                for line in lines:
                    result.lines[line.payment_id].append((anchor, line))
        return result

    def _versions(self) -> tuple[dict[str, list[str]], set[str]]:
        """The versions of every object by key, oldest first, and the keys that a delete marker hides."""
        versions: defaultdict[str, list[tuple[Any, str]]] = defaultdict(list)
        hidden: set[str] = set()
        for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=self._bucket):
            hidden |= {
                marker["Key"] for marker in page.get("DeleteMarkers", []) if marker["Key"].startswith((ANCHORS, PARTS))
            }
            for version in page.get("Versions", []):  # S3 lists the newest first
                versions[version["Key"]].insert(0, (version["LastModified"], version["VersionId"]))
        return {
            key: [version for _, version in sorted(of_key, key=lambda each: each[0])]
            for key, of_key in versions.items()
        }, hidden

    def _anchor(self, key: str, version: str, number: int, previous: str) -> Anchor:
        """Read one anchor. Raises ValueError, which says what is wrong, or whatever reading it raises."""
        document = json.loads(self._get(key, version))
        anchor = to_anchor(document)
        if anchor.number != number:
            raise ValueError(f"says that it is number {anchor.number}")
        if not self._mac.verify(anchor.digest, b64decode(document["mac"])):
            raise ValueError("is not what its MAC was made of")
        if anchor.previous != previous:
            raise ValueError("does not follow the anchor before it: its previous root is another")
        return anchor

    def _part(self, sha256: str, versions: Mapping[str, list[str]]) -> list[Line] | str:
        """A part's lines, or what is wrong with it."""
        key = f"{PARTS}{sha256}.json"
        if key not in versions:
            return f"its part {sha256} is gone"
        part = self._get(key, versions[key][0])
        return from_part(part) if part_hash(part) == sha256 else f"its part {sha256} is another"

    def _get(self, key: str, version: str) -> bytes:
        body: bytes = self._s3.get_object(Bucket=self._bucket, Key=key, VersionId=version)["Body"].read()
        return body


def _name(key: str) -> str:
    """The name of an anchor or a part in a flaw."""
    stem = key.rpartition("/")[2].removesuffix(".json")
    return f"anchor {int(stem)}" if key.startswith(ANCHORS) and stem.isdigit() else key
