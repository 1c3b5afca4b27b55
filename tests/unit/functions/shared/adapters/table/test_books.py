"""The books in DynamoDB: postings by account and day, closed days' totals, and reconciliation breaks."""

from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from functions.shared.adapters.table import books as adapter
from functions.shared.adapters.table.books import DynamoDbBooks, DynamoDbBreaks
from functions.shared.adapters.table.keys import ACCOUNT_SHARDS
from functions.shared.domain.errors import LedgerUnavailable
from functions.shared.domain.ledger import Posting, capture_entry, refund_entry
from functions.shared.domain.settlement import Break
from functions.shared.ports import AccountPosting
from tests.mocked_aws import TABLE, MockedAws, new_id
from tests.samples import payment

BREAK = Break("2026-11-23", "amount_differs", "pay-1", "ch_1", "1999 USD", "2000 USD")


@pytest.fixture
def books(aws: MockedAws) -> DynamoDbBooks:
    return DynamoDbBooks(aws.dynamodb, TABLE)


@pytest.fixture
def breaks(aws: MockedAws) -> DynamoDbBreaks:
    return DynamoDbBreaks(aws.dynamodb, TABLE)


def test_an_accounts_postings_of_a_day_are_all_of_them_and_no_others(aws: MockedAws, books: DynamoDbBooks) -> None:
    ledger, ids = aws.ledger(), [new_id() for _ in range(40)]
    for payment_id in ids:
        new_payment = payment(payment_id, updated_at="2001-02-03T23:59:59.999Z")
        paid, entries = new_payment.post(capture_entry("sparkle", 1999, "USD"))
        ledger.record(paid, entries)
        next_day = paid.next_version("2001-02-04T00:00:00.000Z")
        ledger.record(*next_day.post(refund_entry("sparkle", 500, "USD", "op-1")))
    captured, refunded = (list(books.postings("liability:merchant", f"2001-02-0{day}")) for day in (3, 4))
    assert {posted.payment_id for posted in captured} == {posted.payment_id for posted in refunded} == set(ids)
    assert len(captured) == len(refunded) == len(ids)
    assert replace(refunded[0], payment_id="") == AccountPosting(
        "",
        2,
        "refund",
        "op-1",
        "2001-02-04T00:00:00.000Z",
        Posting("liability:merchant", "debit", 500, "USD"),
    )
    assert list(books.postings("asset:bank", "2001-02-03")) == []


def test_an_accounts_day_can_be_read_shard_by_shard(aws: MockedAws, books: DynamoDbBooks) -> None:
    ledger = aws.ledger()
    for _ in range(20):
        new_payment = payment(new_id(), updated_at="2002-02-03T10:00:00.000Z")
        ledger.record(*new_payment.post(capture_entry("sparkle", 1, "USD")))
    parts = [list(books.postings("liability:merchant", "2002-02-03", [shard])) for shard in range(ACCOUNT_SHARDS)]
    assert sum(map(len, parts)) == 20
    assert sum(map(bool, parts)) > 5
    assert books.shards == ACCOUNT_SHARDS


def test_an_accounts_postings_come_in_the_order_of_time_payment_and_number(
    aws: MockedAws, books: DynamoDbBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "_PAGE_SIZE", 2)
    ledger, capture = aws.ledger(), capture_entry("sparkle", 1, "USD")
    for n in range(12):
        new_payment = payment(new_id(), updated_at=f"2002-03-04T10:00:{n * 7 % 4:02}.000Z")
        ledger.record(*new_payment.post(*[capture] * (n % 3 + 1)))
    positions = [
        (posted.posted_at, posted.payment_id, posted.number)
        for posted in books.postings("liability:merchant", "2002-03-04")
    ]
    assert positions == sorted(positions)
    assert len(positions) == 24


def test_a_closed_day_is_kept_over_the_turn_of_the_year(books: DynamoDbBooks) -> None:
    totals = {"asset:bank": {"USD": (1, 2)}}
    for day in ("2003-12-30", "2003-12-31", "2004-01-01"):
        books.close(day, totals, "2004-01-02T02:00:00.000Z")
    assert books.closed_days("2003-12-31", "2004-12-31") == {"2003-12-31": totals, "2004-01-01": totals}


def test_a_day_that_is_closed_again_is_as_it_was_closed_last(books: DynamoDbBooks) -> None:
    for amount in (1, 2):
        books.close("2005-01-01", {"asset:bank": {"USD": (amount, 0)}}, "2005-01-02T02:00:00.000Z")
    assert books.closed_days("2005-01-01", "2005-01-01") == {"2005-01-01": {"asset:bank": {"USD": (2, 0)}}}


def test_a_break_is_open_until_a_run_does_not_find_it_any_more(aws: MockedAws, breaks: DynamoDbBreaks) -> None:
    other = replace(BREAK, item="ch_2")
    breaks.record(BREAK, "run-1", "2026-11-24T02:00:00.000Z")
    breaks.record(other, "run-1", "2026-11-24T02:00:00.000Z")
    assert breaks.found_in_run(BREAK.day, "run-1") == [BREAK, other]
    breaks.record(BREAK, "run-2", "2026-11-24T09:00:00.000Z")
    breaks.resolve_not_found(BREAK.day, "run-2", "2026-11-24T09:00:01.000Z")
    assert breaks.found_in_run(BREAK.day, "run-2") == [BREAK]
    key = {"pk": {"S": "BREAK#2026-11-23"}, "sk": {"S": "amount_differs#pay-1#ch_2"}}
    resolved = aws.dynamodb.get_item(TableName=TABLE, Key=key)["Item"]
    assert (resolved["resolved_at"]["S"], resolved["seen_at"]["S"]) == (
        "2026-11-24T09:00:01.000Z",
        "2026-11-24T02:00:00.000Z",
    )
    assert breaks.open(BREAK.day) == {BREAK: "2026-11-24T02:00:00.000Z"}


def test_a_break_that_is_back_is_open_again(aws: MockedAws, breaks: DynamoDbBreaks) -> None:
    again = replace(BREAK, day="2026-11-22")
    breaks.record(again, "run-1", "t1")
    breaks.resolve_not_found(again.day, "run-2", "t2")
    breaks.record(again, "run-3", "t3")
    key = {"pk": {"S": "BREAK#2026-11-22"}, "sk": {"S": "amount_differs#pay-1#ch_1"}}
    assert "resolved_at" not in aws.dynamodb.get_item(TableName=TABLE, Key=key)["Item"]
    assert breaks.open(again.day) == {again: "t3"}


def test_whatever_dynamodb_refuses_is_tried_again(aws: MockedAws, books: DynamoDbBooks, breaks: DynamoDbBreaks) -> None:
    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "arn:aws"}}, "Query")

    aws.dynamodb.meta.events.register_first("before-call.dynamodb", refuse)
    try:
        for call in (
            lambda: list(books.postings("asset:bank", "2001-02-03")),
            lambda: books.close("2001-02-03", {}, "t"),
            lambda: books.closed_days("2001-02-03", "2001-02-03"),
            lambda: breaks.record(BREAK, "run-1", "t"),
            lambda: breaks.found_in_run(BREAK.day, "run-1"),
            lambda: breaks.open(BREAK.day),
            lambda: breaks.resolve_not_found(BREAK.day, "run-1", "t"),
        ):
            with pytest.raises(LedgerUnavailable, match=r"^DynamoDB: ThrottlingException$"):
                call()
    finally:
        aws.dynamodb.meta.events.unregister("before-call.dynamodb", refuse)
