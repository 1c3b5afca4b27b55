"""What the velocity's items look like in DynamoDB. Its promises are asked of it in test_ports.py."""

from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from functions.shared.adapters.velocity import KNOWN, DynamoDbVelocityCounter
from functions.shared.domain.errors import LedgerUnavailable
from functions.shared.ports import Velocity
from tests.mocked_aws import COUNTERS_TABLE, MockedAws, new_id
from tests.samples import NOW

DAY_SECONDS = 24 * 60 * 60


@pytest.fixture
def token() -> str:
    return f"tok_{new_id()}"


@pytest.fixture
def counter(aws: MockedAws) -> DynamoDbVelocityCounter:
    return DynamoDbVelocityCounter(aws.dynamodb, COUNTERS_TABLE)


def items(aws: MockedAws, token: str) -> list[dict[str, Any]]:
    answer = aws.dynamodb.query(
        TableName=COUNTERS_TABLE,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": f"VELOCITY#{token}"}},
    )
    return answer["Items"]


def test_a_card_has_an_item_for_each_five_minutes_in_which_it_paid(
    aws: MockedAws, counter: DynamoDbVelocityCounter, token: str
) -> None:
    counter.count(token, new_id(), 1999, "USD", "2026-11-23T09:00:00.000Z")
    counter.count(token, new_id(), 1, "USD", "2026-11-23T09:04:59.999Z")
    counter.count(token, new_id(), 500, "JPY", "2026-11-23T09:04:59.999Z")
    counter.count(token, new_id(), 7, "USD", "2026-11-23T09:05:00.000Z")
    first, second = items(aws, token)
    assert (first["sk"], second["sk"]) == ({"S": "2026-11-23T09:00:00Z"}, {"S": "2026-11-23T09:05:00Z"})
    assert (first["payments"], first["USD"], first["JPY"]) == ({"N": "3"}, {"N": "2000"}, {"N": "500"})
    assert (second["payments"], second["USD"]) == ({"N": "1"}, {"N": "7"})
    assert [len(payment) for payment in first["counted"]["BS"]] == [8, 8, 8]


def test_the_clock_is_utc_wherever_the_time_was_told(
    aws: MockedAws, counter: DynamoDbVelocityCounter, token: str
) -> None:
    counter.count(token, new_id(), 1999, "USD", "2026-11-23T10:02:00+01:00")
    assert [item["sk"]["S"] for item in items(aws, token)] == ["2026-11-23T09:00:00Z"]


def test_nothing_says_which_payments_were_counted(aws: MockedAws, counter: DynamoDbVelocityCounter, token: str) -> None:
    payment_id = new_id()
    counter.count(token, payment_id, 1999, "USD", NOW)
    assert payment_id not in repr(items(aws, token))


def test_an_item_is_there_for_as_long_as_a_payment_may_ask_for_it_and_not_for_much_longer(
    aws: MockedAws, counter: DynamoDbVelocityCounter, token: str
) -> None:
    counter.count(token, new_id(), 1999, "USD", "1970-01-02T00:00:00.000Z")
    [item] = items(aws, token)
    # The last that may ask started up to five minutes before the day after is over.
    assert 2 * DAY_SECONDS + 5 * 60 < int(item["expires_at"]["N"]) < 2 * DAY_SECONDS + 2 * 60 * 60


def test_a_card_that_pays_without_end_is_counted_to_the_last_payment_in_an_item_that_stays_small(
    aws: MockedAws, counter: DynamoDbVelocityCounter, token: str
) -> None:
    paid = [new_id() for _ in range(KNOWN + 20)]
    for number, payment_id in enumerate(paid, start=1):
        assert counter.count(token, payment_id, 100, "USD", NOW) == Velocity(number, number, 100 * number, 100 * number)
    [item] = items(aws, token)
    assert len(item["counted"]["BS"]) == KNOWN


def test_of_a_card_that_pays_without_end_a_repeated_payment_is_never_lost(
    counter: DynamoDbVelocityCounter, token: str
) -> None:
    """The first ones are known again; a later one may count twice, but is counted."""
    first, last = new_id(), new_id()
    for payment_id in (first, *(new_id() for _ in range(KNOWN - 1)), last):
        counter.count(token, payment_id, 100, "USD", NOW)
    assert counter.count(token, first, 100, "USD", NOW).payments_1h == KNOWN + 1
    assert counter.count(token, last, 100, "USD", NOW).payments_1h == KNOWN + 2


@pytest.mark.parametrize("moment", ["before-call", "after-call"])
def test_of_two_payments_at_once_the_last_to_be_counted_sees_both(
    aws: MockedAws, counter: DynamoDbVelocityCounter, token: str, moment: str
) -> None:
    """The second one comes and goes while the first one is about to be counted, or before it looks."""
    event, seen = f"{moment}.dynamodb.UpdateItem", []

    def another(**_: object) -> None:
        aws.dynamodb.meta.events.unregister(event, another)
        seen.append(counter.count(token, new_id(), 1000, "USD", "2026-11-23T09:05:00.000Z"))

    aws.dynamodb.meta.events.register(event, another)
    seen.append(counter.count(token, new_id(), 1, "USD", "2026-11-23T09:04:59.999Z"))
    both = Velocity(2, 2, 1001, 1001)
    assert seen == [Velocity(1, 1, 1000, 1000) if moment == "before-call" else both, both]


def test_a_count_whose_answer_was_lost_is_repeated_and_counts_once(
    aws: MockedAws, counter: DynamoDbVelocityCounter, token: str
) -> None:
    payment_id, event = new_id(), "after-call.dynamodb.UpdateItem"

    def lose(**_: object) -> None:
        aws.dynamodb.meta.events.unregister(event, lose)
        raise EndpointConnectionError(endpoint_url="https://dynamodb")

    aws.dynamodb.meta.events.register(event, lose)
    with pytest.raises(LedgerUnavailable):
        counter.count(token, payment_id, 1999, "USD", NOW)
    assert counter.count(token, payment_id, 1999, "USD", NOW) == Velocity(1, 1, 1999, 1999)


def test_a_busy_day_is_read_to_its_last_page(aws: MockedAws, counter: DynamoDbVelocityCounter, token: str) -> None:
    for hour in range(10):
        counter.count(token, new_id(), 100, "USD", f"2026-11-23T{hour:02}:00:00.000Z")
    event = "before-parameter-build.dynamodb.Query"

    def by_threes(params: dict[str, Any], **_: object) -> None:
        params["Limit"] = 3

    aws.dynamodb.meta.events.register(event, by_threes)
    try:
        velocity = counter.count(token, new_id(), 100, "USD", "2026-11-23T09:30:00.000Z")
    finally:
        aws.dynamodb.meta.events.unregister(event, by_threes)
    assert velocity == Velocity(2, 11, 200, 1100)


@pytest.mark.parametrize("operation", ["UpdateItem", "Query"])
@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ClientError({"Error": {"Code": "ThrottlingException"}}, "UpdateItem"), "DynamoDB: ThrottlingException"),
        (ClientError({"Error": {"Code": "AccessDeniedException"}}, "UpdateItem"), "DynamoDB: AccessDeniedException"),
        (EndpointConnectionError(endpoint_url="https://dynamodb"), "DynamoDB: EndpointConnectionError"),
    ],
    ids=["throttled", "not permitted", "no connection"],
)
def test_whatever_dynamodb_refuses_is_tried_again(
    aws: MockedAws, counter: DynamoDbVelocityCounter, token: str, operation: str, error: Exception, told: str
) -> None:
    event = f"before-call.dynamodb.{operation}"

    def fail(**_: object) -> None:
        raise error

    aws.dynamodb.meta.events.register(event, fail)
    try:
        with pytest.raises(LedgerUnavailable) as unavailable:
            counter.count(token, new_id(), 1999, "USD", NOW)
    finally:
        aws.dynamodb.meta.events.unregister(event, fail)
    assert str(unavailable.value) == told
    assert unavailable.value.__cause__ is None


def test_the_answer_has_nothing_but_what_is_summed(
    aws: MockedAws, counter: DynamoDbVelocityCounter, token: str
) -> None:
    """So that the function needs no more than that in its policy, and the hashes are not sent each time."""
    answers: list[dict[str, Any]] = []

    def remember(parsed: dict[str, Any], **_: object) -> None:
        answers.append(parsed)

    aws.dynamodb.meta.events.register("after-call.dynamodb.Query", remember)
    try:
        counter.count(token, new_id(), 1999, "USD", NOW)
    finally:
        aws.dynamodb.meta.events.unregister("after-call.dynamodb.Query", remember)
    [[item]] = [answer["Items"] for answer in answers]
    assert set(item) == {"sk", "payments", "USD"}
