"""Simulates the way of the events out: the table's stream, the bus, an endpoint's queue, and the endpoint.

Its luck is its own, so that what happens to a seed's payments does not depend on who is told of them.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random
from types import SimpleNamespace
from typing import Any

import requests
from boto3.dynamodb.types import TypeDeserializer
from botocore.exceptions import ClientError, ReadTimeoutError
from standardwebhooks import Webhook as Signature

from functions.shared.adapters.event_bus import EventBridgeBus
from functions.shared.adapters.table.events import DynamoDbDeliveries, DynamoDbEvents, to_event
from functions.shared.adapters.webhooks import SqsDeliveryQueue, StandardWebhook, WebhookEndpoint
from functions.shared.domain.event import EVENT_TYPES, Event
from tests.aws_facts import facts
from tests.samples import OLD_WEBHOOK_SECRET, WEBHOOK_SECRET
from tests.simulation.clock import Clock
from tests.simulation.lambdas import Functions, Reply
from tests.simulation.network import FATES, Lost, Network, Outage, Refused, Weather
from tests.simulation.table import Item, Key, Table, TableClient

QUEUE_ARN = "arn:aws:sqs:eu-west-1:123456789012:payments-test-webhook-shop"
DEAD_LETTERS = "dead-letters"
SECRETS = [WEBHOOK_SECRET, OLD_WEBHOOK_SECRET]
# terraform/sqs.tf
VISIBILITY_SECONDS, TRIALS, DELIVER_SECONDS = 180, 12, 30
PUBLISH_SECONDS, BATCH = 30, 5
STREAM_RETRY_SECONDS, LONGEST_STREAM_RETRY_SECONDS = 1, 300
DAY, TOLERANCE_SECONDS = 86_400, 300
VISIBILITY = facts("visibility_timeout")

_deserialize = TypeDeserializer().deserialize


@dataclass
class Message:
    """A message in the queue, which shows it whenever it is visible, until it is deleted."""

    body: str
    attempts: int = 0
    received_at: float = 0
    visible_at: float = 0
    deleted: bool = False


class Telling:
    """Whoever has to be told, and the way there. `adapters` are those that the functions use."""

    def __init__(
        self,
        seed: int,
        clock: Clock,
        table: Table,
        weather: Weather,
        tell: Callable[[str], None],
        failed_unexpectedly: Callable[[str], None],
    ) -> None:
        self.accepted: list[Event] = []
        """What the endpoint has accepted, in this order."""
        self._random = random = Random(f"events of {seed}")  # noqa: S311
        self._clock = clock
        self._table = table
        self._tell = tell
        self._stream: list[Key] = []
        self._is_reading = False
        self._messages: dict[str, Message] = {}
        # In some worlds it answers with errors, of which this is the probability, until the weather is calm.
        self._refuses = random.choice((0, 0, 0.2, 0.9))
        self._network = Network(clock, random, replace(weather, outages=[*weather.outages, *self._outages()]), tell)
        self._failed_unexpectedly = failed_unexpectedly
        self._functions = Functions(clock, self._network, random, tell, failed_unexpectedly)
        client: Any = TableClient(table, self._network)
        webhook = StandardWebhook("https://shop.test/webhooks", lambda: SECRETS)
        webhook._session = SimpleNamespace(post=self._post)
        sqs = SimpleNamespace(change_message_visibility=self._change_visibility, send_message=self._send_message)
        queue = SqsDeliveryQueue(sqs, "queue", DEAD_LETTERS)
        self.adapters = {
            "events": DynamoDbEvents(client, "ledger"),
            "deliveries": DynamoDbDeliveries(client, "counters"),
            "event_bus": EventBridgeBus(SimpleNamespace(put_events=self._put_events), "bus"),
            "webhook_endpoints": {QUEUE_ARN: WebhookEndpoint("shop", frozenset(EVENT_TYPES), webhook, queue)},
        }

    def _outages(self) -> list[Outage]:
        random, start = self._random, self._clock.seconds
        services = (("events", None), ("sqs", None), ("webhook", None), ("lambda", "publish"), ("lambda", "deliver"))
        outages = []
        for _ in range(random.choice((0, 1, 2))):
            service, operation = random.choice(services)
            begin, seconds = start + random.uniform(0, 150), 10 ** random.uniform(0, 5.5)
            outages.append(Outage(service, operation, random.choice(FATES), begin, begin + seconds))
        return outages

    def recorded(self, key: Key) -> None:
        """An event was written to the table. The stream has it once it is seen there."""
        self._clock.after(0.1, lambda: self.recorded(key) if self._table.hides(key) else self._stream_has(key))

    def _stream_has(self, key: Key) -> None:
        self._stream.append(key)
        if not self._is_reading:
            self._is_reading = True
            self._clock.after(self._random.uniform(0, 1), self._publish)

    # -- The stream, which calls publish with one batch at a time, until that succeeds

    def _publish(self, retry_after: float = STREAM_RETRY_SECONDS) -> None:
        self._clock.subject = "publish"
        batch = self._stream[: self._random.randint(1, BATCH)]
        keys = [{"pk": {"S": pk}, "sk": {"S": sk}} for pk, sk in batch]
        payload = json.dumps({"Records": [{"dynamodb": {"Keys": each}} for each in keys]})
        ended = False

        def answered(reply: Reply) -> None:
            nonlocal ended
            if ended:  # of an invocation that ran twice
                return
            ended = True
            if not reply.error and self._random.random() >= 0.05:  # else the batch is repeated
                del self._stream[: len(batch)]
            retry = min(2 * retry_after, LONGEST_STREAM_RETRY_SECONDS) if reply.error else STREAM_RETRY_SECONDS
            self._is_reading = bool(self._stream)
            if self._is_reading:
                self._clock.after(retry, lambda: self._publish(retry))

        self._functions.invoke("publish", payload, PUBLISH_SECONDS, answered)

    def _put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        def take() -> list[dict[str, str]]:
            return [self._take(entry) for entry in Entries]

        return {"Entries": self._ask("events", "PutEvents", take, 3)}

    def _take(self, entry: Mapping[str, Any]) -> dict[str, str]:
        if self._clock.seconds < self._network.weather.calm_at and self._random.random() < 0.05:
            return {"ErrorCode": "InternalFailure"}
        self._send(entry["Detail"], self._random.uniform(0, 5))  # the rule's target, in any order
        return {"EventId": "1"}

    # -- The queue, which calls deliver with one message at a time

    def _send(self, body: str, delay: float) -> None:
        message = self._messages[f"message-{len(self._messages)}"] = Message(body)
        self._clock.after(delay, lambda: self._show(message))

    def _show(self, message: Message) -> None:
        if message.deleted or self._clock.seconds < message.visible_at:
            return
        message.attempts += 1
        if message.attempts > TRIALS:
            message.deleted = True
            self._redeliver(message.body)
            return
        message.received_at = self._clock.seconds
        self._hide(message, VISIBILITY_SECONDS)
        self._clock.subject = "deliver"
        [name] = [name for name, each in self._messages.items() if each is message]
        record = {
            "messageId": name,
            "receiptHandle": name,
            "body": message.body,
            "eventSourceARN": QUEUE_ARN,
            "attributes": {"ApproximateReceiveCount": str(message.attempts)},
        }

        def answered(reply: Reply) -> None:
            if not reply.error and not reply.answer["batchItemFailures"]:
                message.deleted = True

        self._functions.invoke("deliver", json.dumps({"Records": [record]}), DELIVER_SECONDS, answered)

    def _hide(self, message: Message, seconds: float) -> None:
        message.visible_at = self._clock.seconds + seconds
        self._clock.after(seconds, lambda: self._show(message))

    def _redeliver(self, body: str) -> None:
        """Somebody sends a dead letter again."""
        self._send(body, DAY)

    def _change_visibility(self, *, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int) -> None:  # noqa: N803
        message = self._messages[ReceiptHandle]

        def hide() -> bool:
            until = self._clock.seconds + VisibilityTimeout
            if until > message.received_at + VISIBILITY["at_most_seconds_since_receive"]:
                return False
            self._hide(message, VisibilityTimeout)
            return True

        if not self._ask("sqs", "ChangeMessageVisibility", hide, 3):
            if self._clock.seconds < message.received_at + VISIBILITY_SECONDS:  # else Lambda was late
                self._failed_unexpectedly(f"SQS refuses to hide a message for {VisibilityTimeout} seconds")
            raise ClientError({"Error": {"Code": VISIBILITY["code"]}}, "ChangeMessageVisibility")

    def _send_message(self, *, QueueUrl: str, MessageBody: str) -> None:  # noqa: N803
        assert QueueUrl == DEAD_LETTERS
        self._ask("sqs", "SendMessage", lambda: self._redeliver(MessageBody), 3)

    # -- The endpoint

    @contextmanager
    def _post(self, url: str, *, data: bytes, headers: Mapping[str, str], stream: bool) -> Iterator[Any]:
        def answer() -> int:
            if self._clock.seconds < self._network.weather.calm_at and self._random.random() < self._refuses:
                return self._random.choice((500, 503, 404, 302, 429, 410))
            return self._random.choice((200, 201, 202, 204)) if self._accepts(data.decode(), headers) else 400

        try:
            yield SimpleNamespace(status_code=self._network.ask("webhook", "POST", answer, 10))
        except Lost:
            raise requests.ReadTimeout from None
        except Refused:
            raise requests.ConnectionError from None

    def _accepts(self, body: str, headers: Mapping[str, str]) -> bool:
        """As Standard Webhooks wants it, whatever is signed wrongly, or more than five minutes old, is refused."""
        event, signed_at = Event.from_cloud_event(json.loads(body)), int(headers["webhook-timestamp"])
        moment, signatures = datetime.fromtimestamp(signed_at, UTC), headers["webhook-signature"].split(" ")
        assert signatures == [Signature(each).sign(event.event_id, moment, body) for each in SECRETS]
        assert headers["webhook-id"] == event.event_id
        if self._clock.seconds > signed_at + TOLERANCE_SECONDS:
            return False
        self._tell(f"webhook: {event.type} {event.subject} {event.sequence}")
        self.accepted.append(event)
        return True

    def _ask(self, service: str, operation: str, deed: Callable[[], Any], timeout_seconds: float) -> Any:
        try:
            return self._network.ask(service, operation, deed, timeout_seconds)
        except Lost:
            raise ReadTimeoutError(endpoint_url=service) from None
        except Refused:
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, operation) from None

    # -- What must hold in the end

    def broken_of_payment(self, payment_id: str, table: Table) -> Iterator[str]:
        """Yield what the endpoint was not told of the payment, or wrongly, once nothing remains to be done."""
        items = [_plain(item) for item in table.of(f"PAYMENT#{payment_id}")]
        recorded = [to_event(item) for item in items if item["sk"].startswith("EVENT#")]
        record = next((item for item in items if item["sk"] == "PAYMENT"), None)
        versions = [event.data["version"] for event in recorded]
        if versions != list(range(1, (record["version"] if record else 0) + 1)):
            yield f"I14: version {record and record['version']} is recorded, and these have events: {versions}"
        accepted = [event for event in self.accepted if event.subject == payment_id]
        first_arrivals = list({event.sequence: event for event in reversed(accepted)}.values())
        first_arrivals = sorted(first_arrivals, key=accepted.index)
        if [event.sequence for event in first_arrivals] != [event.sequence for event in recorded]:
            sequences = [event.sequence for event in first_arrivals]
            yield f"I14: {len(recorded)} events are recorded, and the endpoint knows {sequences}"
        if any(event.to_cloud_event() != recorded[int(event.sequence) - 1].to_cloud_event() for event in accepted):
            yield "I14: the endpoint was told something else than what is recorded"
        if record and recorded:
            last = recorded[-1].data["payment"]
            fields = ("status", "captured_minor", "refunded_minor", "charge_id", "decline_code", "gateway")
            if any(last.get(name) != record.get(name) for name in fields):
                yield f"I14: the last event is {recorded[-1].type}, and the record is {record['status']}"
        before: Event | None = None
        for event in recorded:
            if (contradiction := _wrong_type(event, before)) is not None:
                yield f"I14: version {event.data['version']} is told as {event.type}, and {contradiction}"
            before = event

    def broken_of_erased(self, token: str) -> Iterator[str]:
        if not any((event.type, event.subject) == ("card.erased", token) for event in self.accepted):
            yield "I14: a card was erased, and the endpoint does not know"


def _wrong_type(event: Event, before: Event | None) -> str | None:
    """What contradicts the event's type, by what it and the one before show."""
    now, then = event.data["payment"], before.data["payment"] if before else {}
    moved = any(now[name] != then.get(name) for name in ("status", "refunded_minor"))
    failed = [
        sum(operation["error"] == "refund_failed" for operation in payment.get("operations", ()))
        for payment in (now, then)
    ]
    disputed = [{each["dispute_id"]: each["status"] for each in payment.get("disputes", ())} for payment in (now, then)]
    status = f"payment.{now['status']}"
    match event.type:
        case "payment.refund_failed":
            return None if failed[0] > failed[1] else "no refund has failed"
        case "payment.dispute_opened" | "payment.dispute_won" | "payment.dispute_lost":
            step = event.type.rpartition("_")[2].replace("opened", "open")
            is_new = step in disputed[0].values() and disputed[0] != disputed[1]
            return None if is_new else f"no dispute is {step} now"
        case "payment.updated" | "payment.settled":
            return f"it is {now['status']} now" if moved or disputed[0] != disputed[1] else None
        case _:
            return None if event.type == status and moved else f"it is {now['status']} as before"


def _plain(item: Item) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(
        json.dumps({name: _deserialize(value) for name, value in item.items() if "B" not in value}, default=int)
    )
    return plain
