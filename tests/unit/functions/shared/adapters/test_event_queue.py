"""The queue of the gateways' events, in moto's SQS."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import boto3
import pytest
from moto import mock_aws

from functions.shared.adapters.event_queue import SqsEventQueue
from functions.shared.domain.errors import QueueUnavailable
from functions.shared.domain.gateway_event import FRESH, GatewayEvent
from tests.repository.test_limits import QUEUE, extract

EVENT = GatewayEvent("ev_1", "charge.captured", "ch_1", "2026-11-23T09:00:05.000Z", "payment-of-ours-1", "captured")


@pytest.fixture
def sqs() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("sqs", region_name="us-east-1")


@pytest.fixture
def url(sqs: Any) -> str:
    delay_seconds = extract(r"delay_seconds = (\d+)", QUEUE)
    return str(sqs.create_queue(QueueName="events", Attributes={"DelaySeconds": delay_seconds})["QueueUrl"])


def received(sqs: Any, url: str) -> list[Any]:
    return [json.loads(each["Body"]) for each in sqs.receive_message(QueueUrl=url).get("Messages", [])]


@pytest.mark.parametrize(
    ("charged_at", "is_there_at_once"),
    [
        (None, False),
        ("2026-11-23T09:00:05.000Z", False),
        ("2026-11-23T09:00:00.000Z", False),
        ("2026-11-23T08:59:59.999Z", True),
    ],
)
def test_an_event_is_delayed_unless_its_charge_is_old(
    sqs: Any, url: str, charged_at: str | None, is_there_at_once: bool
) -> None:
    event = GatewayEvent(**asdict(EVENT) | {"charged_at": charged_at})
    SqsEventQueue(sqs, url).send("sparkle", event)
    sent = [{"gateway": "sparkle", "event": asdict(event)}]
    assert received(sqs, url) == (sent if is_there_at_once else [])


def test_the_queue_delays_as_long_as_a_charge_is_fresh() -> None:
    assert extract(r"delay_seconds = (\d+)", QUEUE) == str(FRESH.seconds)


def test_a_queue_that_is_not_there_is_unavailable(sqs: Any, url: str) -> None:
    with pytest.raises(QueueUnavailable, match="SQS: "):
        SqsEventQueue(sqs, url + "-elsewhere").send("sparkle", EVENT)
