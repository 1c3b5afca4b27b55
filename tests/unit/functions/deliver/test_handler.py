"""Deliveries to a webhook endpoint, whose queue calls the function with one event at a time."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from functions.deliver.deliver_event import LOOKS_BACK, PAUSES_SECONDS, UNSEEN_FOR, pause_seconds
from functions.deliver.handler import handler
from functions.shared import runtime
from functions.shared.domain.errors import QueueUnavailable
from functions.shared.domain.event import EndpointGone, Event, NotDelivered, break_found, card_erased
from functions.shared.domain.payment import Payment
from functions.shared.domain.settlement import Break
from functions.shared.domain.times import iso
from tests.fakes import LEDGER_DOWN, FakeWebhookEndpoint
from tests.samples import LATER, NOW, operation_request, payment
from tests.unit.functions.conftest import WEBHOOK_QUEUE_ARN, Output, World

REFUSED = NotDelivered("The endpoint answered 500.")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "now", lambda: LATER)


@pytest.fixture
def endpoint(world: World) -> FakeWebhookEndpoint:
    return world.webhook_endpoint


def message(event: Event, attempt: int = 1) -> dict[str, Any]:
    return {
        "Records": [
            {
                "messageId": "message-1",
                "receiptHandle": "receipt-1",
                "body": event.to_cloud_event(),
                "eventSourceARN": WEBHOOK_QUEUE_ARN,
                "attributes": {"ApproximateReceiveCount": str(attempt)},
            }
        ]
    }


def delivered(event: Event, attempt: int = 1) -> bool:
    """Deliver the event. Returns whether it needs no more attention."""
    failures = handler(message(event, attempt), None)["batchItemFailures"]
    assert failures in ([], [{"itemIdentifier": "message-1"}])
    return not failures


@pytest.fixture
def events(world: World) -> list[Event]:
    """The events of a payment that was captured, and twice refunded in part."""
    versions: list[Payment] = [payment("payment-of-ours-1")]
    world.ledger.record(versions[0])
    for n in range(2):
        reserved = versions[-1].reserve(operation_request(versions[-1], "refund", 100, f"refund-{n}"), LATER)
        refunded = reserved.settle(reserved.operations[-1], LATER)
        world.ledger.record(reserved, previous=versions[-1])
        world.ledger.record(refunded, previous=reserved)
        versions += [reserved, refunded]
    return world.ledger.events


def test_an_event_is_delivered_once(
    world: World, output: Output, endpoint: FakeWebhookEndpoint, events: list[Event]
) -> None:
    assert delivered(events[0])
    assert delivered(events[0])
    assert endpoint.webhook.accepted == events[:1]
    assert output.metrics()["WebhooksDelivered"] == [0]  # the second time


def test_what_the_queue_shows_out_of_order_arrives_in_order(
    world: World, output: Output, endpoint: FakeWebhookEndpoint, events: list[Event]
) -> None:
    for n in (2, 0, 4, 3, 1):
        assert delivered(events[n])
    assert endpoint.webhook.accepted == events


def test_after_one_that_was_not_accepted_no_later_one_is_sent(
    world: World, output: Output, endpoint: FakeWebhookEndpoint, events: list[Event]
) -> None:
    endpoint.webhook.answers = [REFUSED, None, REFUSED]
    assert not delivered(events[0])
    assert not delivered(events[1])
    assert endpoint.webhook.accepted == events[:1]
    assert delivered(events[2])
    assert endpoint.webhook.accepted == events[:3]


def test_earlier_events_of_types_that_it_does_not_want_are_left_out(
    world: World, output: Output, endpoint: FakeWebhookEndpoint, events: list[Event]
) -> None:
    endpoint.types = {"payment.partially_refunded"}
    assert delivered(events[4])
    assert endpoint.webhook.accepted == [events[2], events[4]]


def test_an_endpoint_gets_no_events_of_long_ago(
    world: World, output: Output, endpoint: FakeWebhookEndpoint, events: list[Event]
) -> None:
    before, within = (iso(datetime.fromisoformat(LATER) - LOOKS_BACK * part) for part in (1.01, 0.99))
    events[0], events[1] = replace(events[0], at=before), replace(events[1], at=within)
    assert delivered(events[2])
    assert endpoint.webhook.accepted == events[1:3]


def test_an_earlier_event_that_can_not_be_seen_yet_is_waited_for(
    world: World, output: Output, endpoint: FakeWebhookEndpoint, events: list[Event]
) -> None:
    """The items of a transaction become visible one after another, and the next transaction may overtake one."""
    recorded, unseen = list(events), events.pop(0)
    assert not delivered(recorded[2])
    assert endpoint.webhook.accepted == []
    events.insert(0, unseen)
    assert delivered(recorded[2])
    assert delivered(recorded[0])
    assert endpoint.webhook.accepted == recorded[:3]


def test_versions_that_are_older_than_the_events_are_not_waited_for_long(
    world: World, output: Output, endpoint: FakeWebhookEndpoint, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    first_event = events[2]
    del events[:2]
    assert not delivered(first_event)
    monkeypatch.setattr(runtime, "now", lambda: iso(datetime.fromisoformat(LATER) + UNSEEN_FOR))
    assert delivered(first_event)
    assert delivered(events[1])
    assert endpoint.webhook.accepted == events[:2]


def test_an_event_that_has_no_payment_is_delivered_too(
    world: World, output: Output, endpoint: FakeWebhookEndpoint
) -> None:
    event = card_erased("tok_1", NOW)
    assert delivered(event)
    assert endpoint.webhook.accepted == [event]


def test_breaks_of_one_moment_are_all_delivered_in_any_order(
    world: World, output: Output, endpoint: FakeWebhookEndpoint
) -> None:
    breaks = [Break("2026-11-23", "duplicate", f"pay-{n}", f"charge:ch_{n}", "one line", "two") for n in (2, 1, 3)]
    events = [break_found(each, NOW) for each in breaks]
    world.events.events += events
    assert [delivered(event) for event in events] == [True, True, True]
    assert endpoint.webhook.accepted == events


def test_endpoints_get_events_independently(world: World, output: Output, events: list[Event]) -> None:
    other = world.webhook_endpoints["arn:aws:sqs:eu-west-1:123456789012:other"] = FakeWebhookEndpoint("other")
    assert delivered(events[0])
    sent = message(events[0])
    sent["Records"][0]["eventSourceARN"] = "arn:aws:sqs:eu-west-1:123456789012:other"
    handler(sent, None)
    assert other.webhook.accepted == world.webhook_endpoint.webhook.accepted == events[:1]


class TestFailures:
    def test_the_next_attempt_is_set_before_this_one(
        self, world: World, output: Output, endpoint: FakeWebhookEndpoint, events: list[Event]
    ) -> None:
        endpoint.webhook.answers = [REFUSED] * 20
        for attempt in range(1, 13):
            assert not delivered(events[0], attempt)
        pauses = [*PAUSES_SECONDS, PAUSES_SECONDS[-1]]
        assert endpoint.queue.postponed == [("receipt-1", seconds) for seconds in pauses]
        assert output.metrics()["WebhooksFailed"] == [1]

    def test_attempts_go_on_for_three_days_in_ever_longer_pauses(self) -> None:
        assert sum(PAUSES_SECONDS) >= 3 * 24 * 3600
        assert list(PAUSES_SECONDS) == sorted(PAUSES_SECONDS)
        assert pause_seconds(1_000) == PAUSES_SECONDS[-1]

    def test_an_endpoint_that_is_gone_is_not_asked_again(
        self, world: World, output: Output, endpoint: FakeWebhookEndpoint, events: list[Event]
    ) -> None:
        endpoint.webhook.answers = [EndpointGone("The endpoint answered 410.")]
        assert delivered(events[0])
        assert endpoint.queue.dead_letters == [events[0].to_cloud_event()]
        assert output.metrics()["WebhooksFailed"] == [1]

    @pytest.mark.parametrize("operation", ["last", "delivered"])
    def test_what_was_accepted_and_not_noted_comes_again(
        self, world: World, output: Output, endpoint: FakeWebhookEndpoint, events: list[Event], operation: str
    ) -> None:
        world.deliveries.faults.arm(operation, LEDGER_DOWN)
        assert not delivered(events[0])
        assert delivered(events[0])
        assert {event.event_id for event in endpoint.webhook.accepted} == {events[0].event_id}

    @pytest.mark.parametrize("answer", [None, REFUSED], ids=["accepted", "refused"])
    def test_an_event_whose_pause_can_not_be_set_is_sent(
        self,
        world: World,
        output: Output,
        endpoint: FakeWebhookEndpoint,
        events: list[Event],
        answer: Exception | None,
    ) -> None:
        endpoint.queue.faults.arm("postpone", QueueUnavailable("SQS: ServiceUnavailable"))
        endpoint.webhook.answers = [answer]
        assert delivered(events[0]) is (answer is None)
        assert endpoint.webhook.accepted == ([] if answer else events[:1])
        [line] = [line for line in output.logs() if line["message"] == "the pause was not set"]
        assert (line["event_id"], line["reason"]) == (events[0].event_id, "SQS: ServiceUnavailable")

    def test_the_log_says_which_event_and_why(
        self, world: World, output: Output, endpoint: FakeWebhookEndpoint, events: list[Event]
    ) -> None:
        endpoint.webhook.answers = [REFUSED]
        delivered(events[0], 3)
        [line] = [line for line in output.logs() if line["message"] == "event not delivered"]
        expected = {"endpoint": "shop", "event_id": events[0].event_id, "subject": "payment-of-ours-1", "attempt": 3}
        assert expected.items() <= line.items()
        assert line["reason"] == "The endpoint answered 500."
