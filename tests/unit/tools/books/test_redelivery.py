"""Dead letters that are sent again, and payments whose events are published again."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.mocked_aws import COUNTERS_TABLE, TABLE, MockedAws, mocked_aws, new_id
from tests.samples import LATER, payment
from tools.books.redelivery import publish_again, redeliver_dead_letters
from tools.deployment.stack import Stack, StackError


@pytest.fixture(scope="module")
def aws() -> Iterator[MockedAws]:
    with mocked_aws() as account:
        yield account


URLS = {"queue": "queue", "dead_letters": "dead-letters"}


class Sqs:
    """Two queues; `loses` makes the next deletion fail."""

    def __init__(self, *dead: str) -> None:
        self.queues: dict[str, list[str]] = {"queue": [], "dead-letters": list(dead)}
        self.hidden: list[str] = []
        self.loses = False

    def receive_message(self, *, QueueUrl: str, MaxNumberOfMessages: int, **_: Any) -> dict[str, Any]:  # noqa: N803
        visible = [body for body in self.queues[QueueUrl] if body not in self.hidden][:MaxNumberOfMessages]
        self.hidden += visible
        return {"Messages": [{"Body": body, "ReceiptHandle": body} for body in visible]} if visible else {}

    def send_message(self, *, QueueUrl: str, MessageBody: str) -> None:  # noqa: N803
        self.queues[QueueUrl].append(MessageBody)

    def delete_message(self, *, QueueUrl: str, ReceiptHandle: str) -> None:  # noqa: N803
        if self.loses:
            raise KeyboardInterrupt
        self.queues[QueueUrl].remove(ReceiptHandle)


def stack_with(monkeypatch: pytest.MonkeyPatch, clients: dict[str, Any]) -> Stack:
    stack = Stack(
        "http://api",
        "us-east-1",
        "arn:aws:states:us-east-1:123456789012:stateMachine:payments-test-payment",
        TABLE,
        "/aws/lambda/payments-test-",
        counters_table=COUNTERS_TABLE,
        webhook_queue_urls={"shop": URLS},
    )
    monkeypatch.setattr(Stack, "client", lambda self, service: clients[service])
    invoked: list[tuple[str, Any]] = clients.setdefault("invoked", [])

    monkeypatch.setattr(Stack, "invoke", lambda self, *invocation: invoked.append(invocation))
    return stack


class TestDeadLetters:
    def test_all_go_back_into_the_queue(self, monkeypatch: pytest.MonkeyPatch) -> None:
        letters, counts = [f"event-{n}" for n in range(23)], list[int]()
        sqs = Sqs(*letters)
        assert redeliver_dead_letters(stack_with(monkeypatch, {"sqs": sqs}), "shop", counts.append) == 23
        assert sqs.queues == {"queue": letters, "dead-letters": []}
        assert counts == [10, 20, 23]

    def test_one_that_was_not_deleted_is_sent_twice_and_never_lost(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sqs = Sqs("event-1")
        stack = stack_with(monkeypatch, {"sqs": sqs})
        sqs.loses = True
        with pytest.raises(KeyboardInterrupt):
            redeliver_dead_letters(stack, "shop", print)
        sqs.loses, sqs.hidden = False, []
        redeliver_dead_letters(stack, "shop", print)
        assert sqs.queues == {"queue": ["event-1", "event-1"], "dead-letters": []}

    def test_an_unknown_webhook_is_named_with_those_there_are(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(StackError, match=r"no webhook bank\. It has: shop"):
            redeliver_dead_letters(stack_with(monkeypatch, {}), "bank", print)


class TestPayments:
    def test_its_events_are_published_again_as_if_none_had_been_delivered(
        self, aws: MockedAws, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = payment(new_id())
        second = first.next_version(LATER)
        aws.ledger().record(first)
        aws.ledger().record(second, previous=first)
        pk = f"PAYMENT#{first.payment_id}"
        delivered = {"pk": {"S": f"DELIVERED#shop#{pk}"}, "sk": {"S": "DELIVERED"}}
        aws.dynamodb.put_item(TableName=COUNTERS_TABLE, Item=delivered | {"delivered": {"S": "000002"}})
        clients: dict[str, Any] = {"dynamodb": aws.dynamodb}
        assert publish_again(stack_with(monkeypatch, clients), first.payment_id) == 2
        [(function, event)] = clients["invoked"]
        keys = [record["dynamodb"]["Keys"] for record in event["Records"]]
        assert function == "publish"
        assert keys == [{"pk": {"S": pk}, "sk": {"S": f"EVENT#00000{n}"}} for n in (1, 2)]
        assert "Item" not in aws.dynamodb.get_item(TableName=COUNTERS_TABLE, Key=delivered)

    def test_a_payment_without_events_is_said_to_have_none(
        self, aws: MockedAws, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(StackError, match="no events of a payment pay-of-nobody"):
            publish_again(stack_with(monkeypatch, {"dynamodb": aws.dynamodb}), "pay-of-nobody")
