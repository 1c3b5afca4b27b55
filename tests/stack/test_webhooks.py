"""What a deployment tells: every change arrives at the webhook, signed and in order, whatever it answered before."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import standardwebhooks
import svix

from functions.shared.adapters.table.events import to_event
from functions.shared.adapters.table.items import unmarshal
from tests.stack.conftest import deliver_events
from tests.stack.driver import Driver, payments
from tools.deployment.polling import wait_for
from tools.deployment.stack import Listener, Stack, new_payment_id
from tools.local.machine import Machine

SECONDS = 60


class ReceivedEvents:
    """The events that arrive at the stack's listener from now on."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._since = listener.events()["last"]

    def raw(self) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = self._listener.events(self._since)["events"]
        return events

    def of(self, subject: str) -> list[dict[str, Any]]:
        """The subject's events, each for the first time."""
        events = [json.loads(event["body"]) for event in self.raw()]
        return list({event["id"]: event for event in events if event["subject"] == subject}.values())

    def until(self, subject: str, type: str) -> list[dict[str, Any]]:
        events = wait_for(
            lambda: self.of(subject), SECONDS, until=lambda events: type in [event["type"] for event in events]
        )
        assert events[-1]["type"] == type, [event["type"] for event in events]
        return events


@pytest.fixture(scope="module")
def listener(stack: Stack) -> Iterator[Listener]:
    assert stack.listener
    deliver_events(stack, enabled=True)
    yield stack.listener
    deliver_events(stack, enabled=False)


@pytest.fixture
def received(listener: Listener) -> ReceivedEvents:
    return ReceivedEvents(listener)


def ask(driver: Driver, payment: dict[str, Any], operation: str, body: dict[str, Any]) -> None:
    """Ask for an operation, and wait until it has succeeded."""
    operation_id, _ = driver.post(f"/payments/{payment['payment_id']}/{operation}", body)
    assert driver.operation(payment["payment_id"], operation_id)["status"] == "succeeded"


def test_every_version_arrives_in_order_and_the_last_says_what_the_api_says(
    driver: Driver, received: ReceivedEvents
) -> None:
    payment = driver.paid(metadata={"shop": "7"})
    ask(driver, payment, "refunds", {"amount_minor": 500})
    events = received.until(payment["payment_id"], "payment.partially_refunded")
    assert [event["type"] for event in events] == [
        "payment.captured", "payment.updated", "payment.partially_refunded",
    ]  # fmt: skip
    assert [event["data"]["version"] for event in events] == [1, 2, 3]
    assert events[-1]["data"]["payment"] == driver.stack.payment(payment["payment_id"])
    assert {event["source"] for event in events} == {"payments"}


def test_what_arrives_is_verified_by_others(driver: Driver, received: ReceivedEvents, listener: Listener) -> None:
    payment = driver.paid()
    received.until(payment["payment_id"], "payment.captured")
    for event in received.raw():
        for verifier in (standardwebhooks.Webhook, svix.Webhook):
            verifier(listener.secret).verify(event["body"], event["headers"])


def test_declines_authorizations_and_voids_have_events(driver: Driver, received: ReceivedEvents) -> None:
    declined, _ = driver.pay(
        card_data={"card_number": "4000000000000002", "expiry_date": "12/30", "card_holder": "A B"}
    )
    authorized = driver.paid(capture=False)
    ask(driver, authorized, "voids", {})
    received.until(declined, "payment.declined")
    received.until(authorized["payment_id"], "payment.voided")


def test_after_a_refusal_the_next_event_brings_it_along(
    driver: Driver, received: ReceivedEvents, listener: Listener
) -> None:
    payment_id = new_payment_id()
    listener.refuse(500, subject=payment_id)
    payment = driver.paid(payment_id=payment_id)
    assert received.of(payment["payment_id"]) == []
    ask(driver, payment, "refunds", {"amount_minor": 500})
    events = received.until(payment["payment_id"], "payment.partially_refunded")
    assert [event["sequence"] for event in events] == ["000001", "000002", "000003"]


def test_events_that_an_endpoint_refused_for_good_can_be_sent_again(
    driver: Driver, received: ReceivedEvents, listener: Listener, machine: Machine
) -> None:
    payment_id = new_payment_id()
    listener.refuse(410, subject=payment_id)
    payment = driver.paid(payment_id=payment_id)
    queue = driver.stack.client("sqs")
    dead_letters = driver.stack.webhook_queue_urls["listener"]["dead_letters"]

    def waiting() -> int:
        answer = queue.get_queue_attributes(QueueUrl=dead_letters, AttributeNames=["ApproximateNumberOfMessages"])
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])

    assert wait_for(waiting, SECONDS) == 1
    assert received.of(payment["payment_id"]) == []
    sent = payments(machine.stack_file, "redeliver", "listener")
    assert (sent.returncode, sent.stdout.splitlines()[-1]) == (0, "Sent 1 event to listener again.")
    received.until(payment["payment_id"], "payment.captured")
    assert waiting() == 0


def test_all_events_of_a_payment_can_be_published_again(
    driver: Driver, received: ReceivedEvents, machine: Machine
) -> None:
    payment = driver.paid()
    received.until(payment["payment_id"], "payment.captured")
    published = payments(machine.stack_file, "redeliver", "--payment", payment["payment_id"])
    assert published.stdout.splitlines()[-1] == f"Published 1 event of {payment['payment_id']} again."

    def arrivals() -> list[str]:
        bodies = [event["body"] for event in received.raw()]
        return [body for body in bodies if json.loads(body)["subject"] == payment["payment_id"]]

    twice = wait_for(arrivals, SECONDS, until=lambda bodies: len(bodies) == 2)
    assert len(twice) == 2
    assert twice[0] == twice[1]


def test_an_erased_card_has_an_event(driver: Driver, received: ReceivedEvents) -> None:
    token = driver.paid(save_card=True)["card"]["token"]
    assert driver.stack.call("DELETE", f"/cards/{token}").status_code == 204
    [event] = received.until(token, "card.erased")
    assert event["data"] == {"token": token}


def test_a_webhook_that_does_not_exist_is_named_with_those_that_do(machine: Machine, stack: Stack) -> None:
    answer = payments(machine.stack_file, "redeliver", "nobody")
    assert answer.returncode == 3
    assert "This stack has no webhook nobody. It has: listener." in answer.stderr


def test_recorded_events_are_what_the_records_say(driver: Driver) -> None:
    payment_id = driver.paid()["payment_id"]
    items = driver.payment_items(payment_id)
    assert [sk for sk in items if sk.startswith("EVENT#")] == ["EVENT#000001"]
    recorded = to_event(unmarshal(items["EVENT#000001"]))
    assert recorded.data["payment"] == driver.stack.payment(payment_id)
