"""Anchoring a day, with fakes, and with the ledger and the bucket of a mocked account."""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace

import pytest

from functions.anchor import anchor_day as module
from functions.anchor.anchor_day import anchor_day
from functions.anchor.handler import handler
from functions.shared.adapters.anchors import S3Anchors
from functions.shared.adapters.kms import KmsMac
from functions.shared.adapters.table import keys
from functions.shared.adapters.table.written import DynamoDbWritten
from functions.shared.domain.anchor import GENESIS_ROOT, UNSEALED, Anchor, Line, from_part, indexed_until
from functions.shared.domain.errors import InvalidInput, LedgerUnavailable
from functions.shared.domain.ledger import capture_entry
from tests.fakes import FakeAnchors, FakeMac, FakeWritten
from tests.mocked_aws import ANCHORS_BUCKET, TABLE, MockedAws, mocked_aws
from tests.samples import payment
from tests.unit.functions.conftest import World

DAY, NIGHT = "2026-11-23", "2026-11-24T00:30:00.000Z"
CAPTURE = capture_entry("sparkle", 1999, "USD")


def line(payment_id: str, entries: int = 1) -> Line:
    return Line(payment_id, 1, entries, "a" * 64, "b" * 64, "c" * 64)


def anchored(written: FakeWritten, anchors: FakeAnchors, day: str = DAY, now: str = NIGHT) -> Anchor:
    return anchor_day(day, written=written, anchors=anchors, mac=FakeMac(), now=now)


def test_an_anchor_has_a_line_for_each_payment_of_its_day_and_counts_them() -> None:
    written, anchors = FakeWritten(), FakeAnchors()
    written.by_day = {DAY: [line("pay-2", 3), line("pay-1")], "2026-11-22": [line("pay-0")]}
    anchor = anchored(written, anchors)
    assert (anchor.number, anchor.payments, anchor.entries, anchor.previous) == (1, 2, 4, GENESIS_ROOT)
    [part] = anchor.parts
    assert from_part(anchors.parts[part]) == [line("pay-1"), line("pay-2", 3)]


def test_each_root_holds_the_one_before() -> None:
    written, anchors = FakeWritten(), FakeAnchors()
    first, second = anchored(written, anchors), anchored(written, anchors, "2026-11-24")
    assert (second.number, second.previous) == (2, first.root)
    others = [replace(first, payments=1), replace(first, day="2026-11-22"), replace(first, parts=("d" * 64,))]
    assert len({each.root for each in (first, *others)}) == 4


def test_only_the_first_has_what_is_from_before_there_were_seals() -> None:
    written, anchors = FakeWritten(), FakeAnchors()
    written.by_day = {DAY: [line("pay-1")], UNSEALED: [line("pay-0")]}
    assert [anchored(written, anchors).payments for _ in range(2)] == [2, 1]


def test_a_large_day_is_kept_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PART_LINES", 3)
    written, anchors = FakeWritten(), FakeAnchors()
    written.by_day = {DAY: [line(f"pay-{n}") for n in range(8)]}
    anchor = anchored(written, anchors)
    assert [len(from_part(anchors.parts[part])) for part in anchor.parts] == [3, 3, 2]
    assert anchor.payments == 8


def test_who_anchors_while_somebody_else_does_is_told_to_try_again() -> None:
    written, anchors = FakeWritten(), FakeAnchors()
    anchors.last = lambda: None  # type: ignore[method-assign]
    anchored(written, anchors)
    with pytest.raises(LedgerUnavailable):
        anchored(written, anchors)


def test_of_a_day_that_is_not_over_it_has_surely_seen_what_was_written_a_minute_ago() -> None:
    assert indexed_until(DAY, NIGHT) == f"{DAY}T23:59:59.999Z"
    assert indexed_until(DAY, f"{DAY}T10:00:00.000Z") == f"{DAY}T09:59:00.000Z"


class TestHandler:
    def test_it_anchors_the_day_before_where_none_is_named(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("functions.shared.runtime.now", lambda: NIGHT)
        answer = handler({"day": None}, None)
        [(anchor, mac)] = world.anchors.kept
        assert answer == {
            "number": 1, "day": DAY, "until": f"{DAY}T23:59:59.999Z", "payments": 0, "entries": 0, "root": anchor.root
        }  # fmt: skip
        assert mac == world.books_mac.mac(anchor.digest)

    @pytest.mark.parametrize("day", ["2026-02-30", "2090-01-01"])
    def test_a_day_that_does_not_exist_or_has_not_begun_is_refused(self, world: World, day: str) -> None:
        with pytest.raises(InvalidInput):
            handler({"day": day}, None)
        assert world.anchors.kept == []


@pytest.fixture(scope="module")
def small_aws() -> Iterator[MockedAws]:
    with mocked_aws() as account, pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "WRITTEN_SHARDS", 2)
        patch.setattr(DynamoDbWritten, "shards", 2)
        yield account


class TestAdapters:
    def test_what_is_written_is_found_by_the_day_of_its_last_version(self, small_aws: MockedAws) -> None:
        paid, entries = payment("pay-1").post(CAPTURE)
        small_aws.ledger(lambda: f"{DAY}T23:59:59.999Z").record(paid, entries)
        written = DynamoDbWritten(small_aws.dynamodb, TABLE)

        def lines_on(day: str) -> list[tuple[str, int, int, str]]:
            lines = [line for shard in range(written.shards) for line in written.lines(day, shard)]
            return [(each.payment_id, each.version, each.entry_count, each.journal_hash) for each in lines]

        assert lines_on(DAY) == [("pay-1", 1, 1, entries[0].hash)]
        small_aws.ledger(lambda: "2026-11-24T00:00:00.000Z").record(paid.next_version(NIGHT))
        assert lines_on(DAY) == []
        assert lines_on("2026-11-24") == [("pay-1", 2, 1, entries[0].hash)]

    def test_a_records_line_is_what_its_mac_is_made_of(self, small_aws: MockedAws) -> None:
        small_aws.ledger(lambda: f"{DAY}T09:00:00.000Z").record(payment("pay-2"))
        written, shard = DynamoDbWritten(small_aws.dynamodb, TABLE), keys.shard_of("pay-2", keys.WRITTEN_SHARDS)
        assert keys.written_shard(DAY, shard) == f"{DAY}#{shard:02}"
        [line] = [each for each in written.lines(DAY, shard) if each.payment_id == "pay-2"]
        key = {"pk": {"S": "PAYMENT#pay-2"}, "sk": {"S": "PAYMENT"}}
        mac = small_aws.dynamodb.get_item(TableName=TABLE, Key=key)["Item"]["mac"]["S"]
        computed = KmsMac(small_aws.kms, small_aws.books_key_id).mac(bytes.fromhex(line.record))
        assert hmac.compare_digest(b64encode(computed).decode(), mac)

    def test_an_anchor_that_is_kept_is_the_last_and_its_number_is_taken(self, small_aws: MockedAws) -> None:
        anchors, part = S3Anchors(small_aws.s3, ANCHORS_BUCKET), b"[]"
        assert anchors.last() is None
        first = Anchor(1, DAY, NIGHT, NIGHT, 0, 0, (hashlib.sha256(part).hexdigest(),), GENESIS_ROOT)
        for _ in range(2):  # as in a repeated run
            anchors.keep_part(part)
        assert anchors.keep(first, b"mac")
        assert not anchors.keep(replace(first, payments=9), b"mac")
        assert anchors.last() == first
        second = replace(first, number=2, previous=first.root)
        assert anchors.keep(second, b"mac")
        assert anchors.last() == second
