import json
from base64 import b64encode
from typing import Any

import pytest

from functions.receive_event.handler import MAX_BODY_BYTES, handler
from functions.shared.domain.errors import QueueUnavailable, SecretUnavailable
from functions.shared.domain.gateway_event import GatewayEvent
from tests.samples import NOW
from tests.unit.functions.conftest import Output, World

READ = GatewayEvent("ev_1", "charge.captured", "ch_1", NOW, "payment-of-ours-1", "captured")


def call(body: str | None = "Signed.", gateway: str = "sparkle", **changes: Any) -> tuple[int, Any]:
    event = {"pathParameters": {"gateway": gateway}, "headers": {"X-Signature": "…"}, "body": body}
    answer = handler(event | {"isBase64Encoded": False} | changes, None)
    assert answer["headers"]["Cache-Control"] == "no-store"
    return answer["statusCode"], json.loads(answer["body"])


def test_a_signed_event_is_queued(world: World) -> None:
    world.event_reader.events[b"Signed."] = READ
    assert call() == (200, {})
    assert world.event_queue.sent == [("sparkle", READ)]
    assert world.event_reader.headers == {"x-signature": "…"}


def test_the_body_is_read_as_it_was_sent(world: World) -> None:
    world.event_reader.events["Größe".encode()] = READ
    assert call("Größe")[0] == 200
    assert call(b64encode("Größe".encode()).decode(), isBase64Encoded=True)[0] == 200
    assert len(world.event_queue.sent) == 2


def test_an_event_that_does_not_concern_us_is_ignored(world: World) -> None:
    world.event_reader.events[b"Signed."] = None
    assert call() == (200, {})
    assert world.event_queue.sent == []


@pytest.mark.parametrize("body", ["Forged.", "", None, "\ud800"])
def test_an_event_that_is_not_signed_is_refused_without_a_word_of_it(
    world: World, output: Output, body: str | None
) -> None:
    status, answer = call(body)
    assert (status, answer["error"]["code"]) == (400, "invalid_event")
    assert world.event_queue.sent == []
    assert output.metrics() == {"GatewayEvents": [1.0], "GatewayEventsRefused": [1.0]}
    assert "Forged" not in output.text


def test_a_gateway_that_sends_no_events_is_not_found(world: World) -> None:
    assert call(gateway="twinkle")[0] == 404


def test_a_body_that_is_too_large_is_not_read(world: World) -> None:
    world.event_reader.events[b"x" * MAX_BODY_BYTES] = None
    assert call("x" * MAX_BODY_BYTES)[0] == 200
    assert call("x" * (MAX_BODY_BYTES + 1))[0] == 413
    assert call("ä" * (MAX_BODY_BYTES // 2 + 1))[0] == 413


def test_an_event_that_cannot_be_queued_is_not_acknowledged(world: World) -> None:
    world.event_reader.events[b"Signed."] = READ
    world.event_queue.error = QueueUnavailable("SQS: ServiceUnavailable")
    assert call()[0] == 503
    world.event_reader.error = SecretUnavailable("Secrets Manager: ResourceNotFoundException")
    assert call()[0] == 503
