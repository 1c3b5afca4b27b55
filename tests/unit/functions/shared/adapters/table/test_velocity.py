"""The velocity counter's items in DynamoDB. test_ports.py tests its behaviour."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from functions.shared.adapters.table.velocity import MAX_ELEMENTS, MAX_REMEMBERED_PAYMENTS, DynamoDbVelocityCounter
from functions.shared.domain.card import CardSummary
from functions.shared.domain.errors import LedgerUnavailable
from functions.shared.domain.payment import PaymentRequest
from functions.shared.ports import Velocity
from tests.aws_facts import facts
from tests.mocked_aws import COUNTERS_TABLE, MockedAws, new_id
from tests.samples import NOW, REQUEST, SUMMARY, payment
from tools.estimates.footprint import item_bytes

DAY_SECONDS = 24 * 60 * 60


@pytest.fixture
def card() -> CardSummary:
    """A card of a bank that no other test uses."""
    return replace(SUMMARY, fingerprint=f"fp_{new_id()}", bin=new_id())


def pay(
    counter: DynamoDbVelocityCounter,
    card: CardSummary,
    amount_minor: int = 1999,
    currency: str = "USD",
    at: str = NOW,
    payment_id: str | None = None,
    **fields: str | None,
) -> Velocity:
    """Count a payment, by default without a reference or a caller."""
    request = PaymentRequest(amount_minor, currency, **fields)  # type: ignore[arg-type]
    return counter.count(payment_id or new_id(), request, card, at, lambda lookalike_cards: True)


def of_card(velocity: Velocity) -> tuple[int, int, int, int]:
    return velocity.payments_1h, velocity.payments_24h, velocity.amount_minor_1h, velocity.amount_minor_24h


@pytest.fixture
def counter(aws: MockedAws) -> DynamoDbVelocityCounter:
    return DynamoDbVelocityCounter(aws.dynamodb, COUNTERS_TABLE)


def items(aws: MockedAws, key: str) -> list[dict[str, Any]]:
    answer = aws.dynamodb.query(
        TableName=COUNTERS_TABLE,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": f"VELOCITY#{key}"}},
    )
    return answer["Items"]


def test_a_card_has_an_item_for_each_five_minutes_in_which_it_paid(
    aws: MockedAws, counter: DynamoDbVelocityCounter, card: CardSummary
) -> None:
    pay(counter, card, 1999, "USD", at="2026-11-23T09:00:00.000Z")
    pay(counter, card, 1, "USD", at="2026-11-23T09:04:59.999Z")
    pay(counter, card, 500, "JPY", at="2026-11-23T09:04:59.999Z")
    pay(counter, card, 7, "USD", at="2026-11-23T09:05:00.000Z")
    first, second = items(aws, card.fingerprint)
    assert (first["sk"], second["sk"]) == ({"S": "2026-11-23T09:00:00Z"}, {"S": "2026-11-23T09:05:00Z"})
    assert (first["payments"], first["USD"], first["JPY"]) == ({"N": "3"}, {"N": "2000"}, {"N": "500"})
    assert (second["payments"], second["USD"]) == ({"N": "1"}, {"N": "7"})
    assert [len(each) for each in first["counted"]["BS"]] == [8, 8, 8]


def test_the_clock_is_utc_wherever_the_time_was_told(
    aws: MockedAws, counter: DynamoDbVelocityCounter, card: CardSummary
) -> None:
    pay(counter, card, 1999, "USD", at="2026-11-23T10:02:00+01:00")
    assert [item["sk"]["S"] for item in items(aws, card.fingerprint)] == ["2026-11-23T09:00:00Z"]


def test_nothing_says_which_payments_were_counted(
    aws: MockedAws, counter: DynamoDbVelocityCounter, card: CardSummary
) -> None:
    payment_id = new_id()
    pay(counter, card, 1999, "USD", payment_id=payment_id)
    assert payment_id not in repr(items(aws, card.fingerprint))


def test_an_item_is_there_for_as_long_as_a_payment_may_ask_for_it_and_not_for_much_longer(
    aws: MockedAws, counter: DynamoDbVelocityCounter, card: CardSummary
) -> None:
    pay(counter, card, 1999, "USD", at="1970-01-02T00:00:00.000Z")
    [item] = items(aws, card.fingerprint)
    # The latest reader may have started up to five minutes before the end of the next day.
    assert 2 * DAY_SECONDS + 5 * 60 < int(item["expires_at"]["N"]) < 2 * DAY_SECONDS + 2 * 60 * 60


def test_a_card_that_pays_without_end_is_counted_to_the_last_payment_in_an_item_that_stays_small(
    aws: MockedAws, counter: DynamoDbVelocityCounter, card: CardSummary
) -> None:
    paid = [new_id() for _ in range(MAX_REMEMBERED_PAYMENTS + 20)]
    for number, payment_id in enumerate(paid, start=1):
        assert of_card(pay(counter, card, 100, "USD", payment_id=payment_id)) == (
            number,
            number,
            100 * number,
            100 * number,
        )
    [item] = items(aws, card.fingerprint)
    assert len(item["counted"]["BS"]) == MAX_REMEMBERED_PAYMENTS


def test_of_a_card_that_pays_without_end_a_repeated_payment_is_never_lost(
    counter: DynamoDbVelocityCounter, card: CardSummary
) -> None:
    """The first payments are recognized when repeated. A later one may be counted twice, but never not at all."""
    first, last = new_id(), new_id()
    for payment_id in (first, *(new_id() for _ in range(MAX_REMEMBERED_PAYMENTS - 1)), last):
        pay(counter, card, 100, "USD", payment_id=payment_id)
    assert pay(counter, card, 100, "USD", payment_id=first).payments_1h == MAX_REMEMBERED_PAYMENTS + 1
    assert pay(counter, card, 100, "USD", payment_id=last).payments_1h == MAX_REMEMBERED_PAYMENTS + 2


@pytest.mark.parametrize("moment", ["before-call", "after-call"])
def test_of_two_payments_at_once_the_last_to_be_counted_sees_both(
    aws: MockedAws, counter: DynamoDbVelocityCounter, card: CardSummary, moment: str
) -> None:
    """The second payment is counted just before the first is counted for the card, or before the first reads."""
    event, velocities, updates = f"{moment}.dynamodb.UpdateItem", [], itertools.count(1)

    def pay_another(**_: object) -> None:
        if next(updates) == 2:  # the first update counts the lookalikes
            velocities.append(pay(counter, card, 1000, "USD", at="2026-11-23T09:05:00.000Z"))

    aws.dynamodb.meta.events.register(event, pay_another)
    try:
        velocities.append(pay(counter, card, 1, "USD", at="2026-11-23T09:04:59.999Z"))
    finally:
        aws.dynamodb.meta.events.unregister(event, pay_another)
    of_both = (2, 2, 1001, 1001)
    assert list(map(of_card, velocities)) == [(1, 1, 1000, 1000) if moment == "before-call" else of_both, of_both]


def test_a_count_whose_answer_was_lost_is_repeated_and_counts_once(
    aws: MockedAws, counter: DynamoDbVelocityCounter, card: CardSummary
) -> None:
    payment_id, event = new_id(), "after-call.dynamodb.UpdateItem"

    def lose(**_: object) -> None:
        aws.dynamodb.meta.events.unregister(event, lose)
        raise EndpointConnectionError(endpoint_url="https://dynamodb")

    aws.dynamodb.meta.events.register(event, lose)
    with pytest.raises(LedgerUnavailable):
        pay(counter, card, 1999, "USD", payment_id=payment_id)
    assert of_card(pay(counter, card, 1999, "USD", payment_id=payment_id)) == (1, 1, 1999, 1999)


def test_a_busy_day_is_read_to_its_last_page(
    aws: MockedAws, counter: DynamoDbVelocityCounter, card: CardSummary
) -> None:
    for hour in range(10):
        pay(counter, card, 100, "USD", at=f"2026-11-23T{hour:02}:00:00.000Z")
    event = "before-parameter-build.dynamodb.Query"

    def by_threes(params: dict[str, Any], **_: object) -> None:
        params["Limit"] = 3

    aws.dynamodb.meta.events.register(event, by_threes)
    try:
        velocity = pay(counter, card, 100, "USD", at="2026-11-23T09:30:00.000Z")
    finally:
        aws.dynamodb.meta.events.unregister(event, by_threes)
    assert of_card(velocity) == (2, 11, 200, 1100)


class Process:
    """A function's process, and its requests to the table."""

    def __init__(self, aws: MockedAws, card: CardSummary) -> None:
        self.counter = DynamoDbVelocityCounter(aws.dynamodb, COUNTERS_TABLE)
        self.card = card
        self.requests: list[str] = []

    def remember(self, model: Any, params: dict[str, Any], **_: object) -> None:
        if "VELOCITY#bin#" in repr(params):
            self.requests.append(model.name)

    def sees(self, n: int, at: str = NOW) -> Velocity:
        self.requests.clear()
        return pay(self.counter, replace(self.card, fingerprint=f"fp_{n}", last4=f"{n:04}"), at=at)


@pytest.fixture
def process(aws: MockedAws, card: CardSummary) -> Iterator[Process]:
    """A process that screens many cards of one bank."""
    process = Process(aws, card)
    aws.dynamodb.meta.events.register("provide-client-params.*.*", process.remember)
    yield process
    aws.dynamodb.meta.events.unregister("provide-client-params.*.*", process.remember)


class TestCardsOfOneKey:
    def test_an_item_holds_hashes_and_neither_a_reference_nor_a_caller_nor_a_payment(
        self, aws: MockedAws, counter: DynamoDbVelocityCounter, card: CardSummary
    ) -> None:
        reference, caller, payment_id = new_id(), f"arn:{new_id()}", new_id()
        pay(counter, card, merchant_reference=reference, caller=caller)
        request = replace(REQUEST, merchant_reference=reference, caller=caller)
        counter.count_decline(replace(payment(payment_id, "declined", request), card=card))
        pages = aws.dynamodb.get_paginator("scan").paginate(TableName=COUNTERS_TABLE)
        table = repr([page["Items"] for page in pages])
        assert not any(text in table for text in (reference, caller, payment_id))
        [item] = items(aws, f"bin#{card.bin}")
        assert item.keys() == {"pk", "sk", "cards", "declines", "expires_at"}
        assert item["sk"] == {"S": "2026-11-23T09:00:00Z"}
        assert [[len(each) for each in item[kind]["BS"]] for kind in ("cards", "declines")] == [[8], [8]]

    def test_an_item_stays_small_however_many_cards_come_and_says_that_there_are_many(
        self, aws: MockedAws, process: Process
    ) -> None:
        counts = [process.sees(n).bin_cards_1h for n in range(MAX_ELEMENTS + 10)]
        assert counts == [*range(1, MAX_ELEMENTS + 1), *[MAX_ELEMENTS] * 10]
        for n in range(MAX_ELEMENTS + 10):
            process.counter.count_decline(replace(payment(f"pay-{n}", "declined"), card=process.card))
        [item] = items(aws, f"bin#{process.card.bin}")
        assert [len(item[kind]["BS"]) for kind in ("cards", "declines")] == [MAX_ELEMENTS, MAX_ELEMENTS]
        assert item_bytes(item) < 1024
        assert process.sees(0, at="2026-11-23T09:00:11.000Z").bin_declines_1h == MAX_ELEMENTS

    def test_of_what_is_full_a_process_asks_no_more_than_every_few_seconds(self, process: Process) -> None:
        for n in range(MAX_ELEMENTS):
            process.sees(n)
            assert process.requests == ["BatchGetItem", "UpdateItem"]
        process.sees(MAX_ELEMENTS)
        assert process.requests == ["BatchGetItem", "UpdateItem"]
        soon, later = "2026-11-23T09:00:05.000Z", "2026-11-23T09:00:06.001Z"
        for n in range(MAX_ELEMENTS, 2 * MAX_ELEMENTS):
            assert process.sees(n, at=soon).bin_cards_1h == MAX_ELEMENTS
            assert process.requests == []
        assert process.sees(MAX_ELEMENTS, at=later).bin_cards_1h == MAX_ELEMENTS
        assert process.requests == ["UpdateItem"]  # earlier buckets remain unchanged

    def test_a_new_bucket_is_asked_for_at_once_and_the_full_one_still_counts(self, process: Process) -> None:
        for n in range(MAX_ELEMENTS + 1):
            process.sees(n, at="2026-11-23T09:19:59.999Z")
        assert process.sees(MAX_ELEMENTS + 1, at="2026-11-23T09:20:00.000Z").bin_cards_1h == MAX_ELEMENTS + 1
        assert process.requests == ["BatchGetItem", "UpdateItem"]

    def test_of_cards_that_come_at_once_the_last_to_be_counted_sees_all(
        self, aws: MockedAws, process: Process, counter: DynamoDbVelocityCounter
    ) -> None:
        velocities = []

        def pay_another(**_: object) -> None:
            aws.dynamodb.meta.events.unregister("before-call.dynamodb.UpdateItem", pay_another)
            velocities.append(
                pay(counter, replace(process.card, fingerprint="fp_other"), merchant_reference=process.card.bin)
            )

        aws.dynamodb.meta.events.register("before-call.dynamodb.UpdateItem", pay_another)
        velocities.append(pay(process.counter, process.card, merchant_reference=process.card.bin))
        assert [velocity.reference_cards_1h for velocity in velocities] == [1, 2]

    def test_a_count_that_breaks_off_anywhere_is_repeated_and_counts_once(
        self, aws: MockedAws, counter: DynamoDbVelocityCounter, card: CardSummary
    ) -> None:
        payment_id, reference, caller = new_id(), new_id(), new_id()
        for calls_left in range(7):
            calls = iter(range(calls_left))

            def break_off(calls: Iterator[int] = calls, **_: object) -> None:
                if next(calls, None) is None:
                    raise EndpointConnectionError(endpoint_url="https://dynamodb")

            aws.dynamodb.meta.events.register("after-call.dynamodb.*", break_off)
            try:
                with pytest.raises(LedgerUnavailable):
                    pay(counter, card, payment_id=payment_id, merchant_reference=reference, caller=caller)
            finally:
                aws.dynamodb.meta.events.unregister("after-call.dynamodb.*", break_off)
        velocity = pay(counter, card, payment_id=payment_id, merchant_reference=reference, caller=caller)
        assert velocity == Velocity(1, 1, 1999, 1999, 1, 1, 1, 0, 1, 0, 1, 0)


def test_a_failed_condition_returns_the_item_as_aws_documents(aws: MockedAws) -> None:
    documented = facts("dynamodb_failed_condition")
    key = {"pk": {"S": f"VELOCITY#{new_id()}"}, "sk": {"S": NOW}}
    aws.dynamodb.put_item(TableName=COUNTERS_TABLE, Item=key | {"cards": {"BS": [b"1"]}})
    with pytest.raises(ClientError) as refused:
        aws.dynamodb.update_item(
            TableName=COUNTERS_TABLE,
            Key=key,
            UpdateExpression="SET expires_at = :at",
            ConditionExpression="size(cards) < :one",
            ExpressionAttributeValues={":at": {"N": "1"}, ":one": {"N": "1"}},
            ReturnValuesOnConditionCheckFailure=documented["asked"],
        )
    answer: dict[str, Any] = dict(refused.value.response)
    assert answer["Error"]["Code"] == documented["error"]
    assert answer[documented["told_in"]] == key | {"cards": {"BS": [b"1"]}}


@pytest.mark.parametrize("operation", ["UpdateItem", "Query", "BatchGetItem"])
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ClientError({"Error": {"Code": "ThrottlingException"}}, "UpdateItem"), "DynamoDB: ThrottlingException"),
        (ClientError({"Error": {"Code": "AccessDeniedException"}}, "UpdateItem"), "DynamoDB: AccessDeniedException"),
        (EndpointConnectionError(endpoint_url="https://dynamodb"), "DynamoDB: EndpointConnectionError"),
    ],
    ids=["throttled", "not permitted", "no connection"],
)
def test_whatever_dynamodb_refuses_is_tried_again(
    aws: MockedAws, counter: DynamoDbVelocityCounter, card: CardSummary, operation: str, error: Exception, message: str
) -> None:
    event = f"before-call.dynamodb.{operation}"

    def fail(**_: object) -> None:
        raise error

    aws.dynamodb.meta.events.register(event, fail)
    try:
        with pytest.raises(LedgerUnavailable) as unavailable:
            pay(counter, card, 1999, "USD")
    finally:
        aws.dynamodb.meta.events.unregister(event, fail)
    assert str(unavailable.value) == message
    assert unavailable.value.__cause__ is None


def test_the_answer_has_nothing_but_what_is_summed(
    aws: MockedAws, counter: DynamoDbVelocityCounter, card: CardSummary
) -> None:
    """So the function's policy allows no more, and the hashes are not transferred each time."""
    answers: list[dict[str, Any]] = []

    def remember(parsed: dict[str, Any], **_: object) -> None:
        answers.append(parsed)

    aws.dynamodb.meta.events.register("after-call.dynamodb.Query", remember)
    try:
        pay(counter, card, 1999, "USD")
    finally:
        aws.dynamodb.meta.events.unregister("after-call.dynamodb.Query", remember)
    [[item]] = [answer["Items"] for answer in answers]
    assert set(item) == {"sk", "payments", "USD", "expiry_dates"}
