"""Upgrades a table of the former version, which kept everything in one table without seals."""

from collections.abc import Iterator
from dataclasses import asdict
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from functions.shared.adapters.table import keys
from functions.shared.adapters.table.books import DynamoDbBooks
from functions.shared.adapters.table.cards import DynamoDbCardVault
from functions.shared.adapters.table.items import marshal
from functions.shared.adapters.table.ledger import entry_items
from functions.shared.adapters.table.written import DynamoDbWritten
from functions.shared.domain.ledger import capture_entry
from tests.mocked_aws import ANCHORS_BUCKET, CARDS_TABLE, COUNTERS_TABLE, REGION, TABLE, MockedAws, mocked_aws
from tests.samples import ACCOUNTS, payment
from tests.unit.tools.books.conftest import anchored, days_ago
from tools.books import upgrade as module
from tools.books import verification as verify
from tools.books.reading import BooksReader
from tools.books.upgrade import upgrade
from tools.deployment.stack import Stack

CARD = {
    "pk": "CARD#tok_1", "sk": "CARD", "token": "tok_1", "fingerprint": "fp_1", "brand": "visa", "bin": "424242",
    "last4": "4242", "expiry": "12/49", "ciphertext": b"x", "expires_at": 4102444800,
}  # fmt: skip
COUNTER = {"pk": "VELOCITY#fp_1", "sk": "2026-11-23T09:00:00Z", "payments": 1, "expires_at": 4102444800}
CHECKED = {"pk": "ENDED#CHECKED", "sk": "CHECKED", "until": "2026-11-23T09:00:00Z"}


def put(aws: MockedAws, *items: dict[str, Any], table: str = TABLE) -> None:
    for item in items:
        aws.dynamodb.put_item(TableName=table, Item=marshal(item))


def pks(aws: MockedAws, table: str) -> list[str]:
    return sorted(item["pk"]["S"] for item in aws.dynamodb.scan(TableName=table)["Items"])


def unsealed(payment_id: str) -> list[dict[str, Any]]:
    at = f"{days_ago(9)}T09:00:00.000Z"
    record, entries = payment(payment_id, created_at=at, updated_at=at).post(capture_entry("sparkle", 1999, "USD"))
    items = [item for posted in entries for item in entry_items(posted)]
    return [asdict(record) | {"pk": f"PAYMENT#{payment_id}", "sk": "PAYMENT"}, *items]


@pytest.fixture
def aws() -> Iterator[MockedAws]:
    """A table of the former version."""
    with mocked_aws() as account, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SEGMENTS", 1)  # moto returns the whole table for each segment
        patch.setattr(verify, "SEGMENTS", 1)
        patch.setattr(verify, "REREAD_PAUSES_SECONDS", (0,))
        patch.setattr(keys, "WRITTEN_SHARDS", 2)
        patch.setattr(DynamoDbWritten, "shards", 2)
        put(account, CARD, COUNTER, CHECKED, *unsealed("pay-1"))
        yield account


def stack(aws: MockedAws) -> Stack:
    arn = f"arn:aws:states:{REGION}:123456789012:stateMachine:payments-test-payment"
    return Stack(
        "http://127.0.0.1:1", REGION, arn, TABLE, "/aws/lambda/", access_key_id="key", secret_access_key="secret",
        cards_table=CARDS_TABLE, counters_table=COUNTERS_TABLE, books_key_arn=aws.books_key_id,
        anchors_bucket=ANCHORS_BUCKET,
    )  # fmt: skip


def upgraded(aws: MockedAws) -> str:
    out = StringIO()
    upgrade(stack(aws), Console(file=out, width=200))
    return out.getvalue()


def verified(aws: MockedAws) -> tuple[bool, str]:
    out = StringIO()
    opened = BooksReader(aws.ledger(), DynamoDbBooks(aws.dynamodb, TABLE), days_ago(9), ACCOUNTS)
    return verify.verify(stack(aws), opened, Console(file=out, width=200)), out.getvalue()


def test_cards_and_counters_move_to_their_tables_and_old_tokens_keep_working(aws: MockedAws) -> None:
    assert "Moved 1 card, and 2 counters and notes. Marked 1 unsealed payment for" in upgraded(aws)
    assert pks(aws, CARDS_TABLE) == ["CARD#tok_1"]
    assert pks(aws, COUNTERS_TABLE) == ["ENDED#CHECKED", "VELOCITY#fp_1"]
    assert set(pks(aws, TABLE)) == {"PAYMENT#pay-1"}
    moved = DynamoDbCardVault(aws.dynamodb, CARDS_TABLE).find("tok_1", "2026-11-23T09:00:00.000Z")
    assert moved is not None
    assert moved.ciphertext == b"x"
    assert "Moved 0 cards, and 0 counters and notes. Marked 0 unsealed payments" in upgraded(aws)


def test_newer_items_in_the_new_table_are_kept(aws: MockedAws) -> None:
    put(aws, CHECKED | {"until": "2026-11-28T09:00:00Z"}, table=COUNTERS_TABLE)
    upgraded(aws)
    item = aws.dynamodb.get_item(TableName=COUNTERS_TABLE, Key=marshal({"pk": "ENDED#CHECKED", "sk": "CHECKED"}))[
        "Item"
    ]
    assert item["until"]["S"] == "2026-11-28T09:00:00Z"
    assert set(pks(aws, TABLE)) == {"PAYMENT#pay-1"}


def test_before_the_upgrade_the_verification_names_misplaced_and_unsealed_items(aws: MockedAws) -> None:
    intact, output = verified(aws)
    assert not intact
    assert "make upgrade-ledger moves it" in output
    assert "its record has no MAC" in output


def test_an_unsealed_record_is_accepted_only_as_the_first_anchor_has_it(aws: MockedAws) -> None:
    upgraded(aws)
    assert not verified(aws)[0]
    anchored(aws, days_ago(0), f"{days_ago(0)}T00:00:00.000Z")
    intact, output = verified(aws)
    assert intact, output
    assert "1 payment is from before seals were introduced." in output
    put(aws, *unsealed("pay-2"))
    upgraded(aws)
    anchored(aws, days_ago(0), f"{days_ago(0)}T00:00:00.000Z")
    intact, output = verified(aws)
    assert not intact
    assert "pay-2" in output
    assert "its record has no MAC" in output


def test_the_next_version_of_such_a_record_has_a_seal(aws: MockedAws) -> None:
    upgraded(aws)
    anchored(aws, days_ago(0), f"{days_ago(0)}T00:00:00.000Z")
    recorded = aws.ledger().find("pay-1")
    assert recorded
    aws.ledger().record(recorded.payment.next_version(f"{days_ago(0)}T00:00:00.000Z"), previous=recorded.payment)
    intact, output = verified(aws)
    assert intact, output
    assert "from before there were seals" not in output
