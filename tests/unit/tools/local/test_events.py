"""The sandboxes' events."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from functions.shared.adapters.gateways.sparkle.events import read_event
from functions.shared.domain.gateway_event import GatewayEvent
from functions.shared.domain.times import iso
from tools.deployment.polling import wait_for
from tools.local import events
from tools.local.events import Endpoint, EventSender
from tools.local.sparkle.charges import Card, ChargeBook, utc_now
from tools.local.sparkle.contract import validator

SECRET = "a-secret-of-the-endpoint"  # pragma: allowlist secret


class Receiver(HTTPServer):
    """Accepts what Sparkle has signed, from the second attempt on."""

    def __init__(self) -> None:
        self.attempts: list[GatewayEvent | None] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.attempts.append(read_event(headers, body, [SECRET], iso(utc_now())))
        self.send_response(200 if len(self.server.attempts) > 1 else 503)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_an_event_is_sent_until_it_arrives(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PAUSES_SECONDS", (0.05,))
    sender, reported = EventSender("Sparkle-Signature"), dict[str, Any]()

    def report(event: Any) -> None:
        reported.update(event)
        sender.send(event)

    book = ChargeBook(report=report)
    book.charge("payment-of-ours-0", 1999, "USD", Card("visa", "4242", None))
    sender.send_to(Endpoint(f"http://127.0.0.1:{receiver.server_port}/", SECRET))
    charge = book.charge("payment-of-ours-1", 1999, "USD", Card("visa", "4242", None))
    assert wait_for(lambda: len(receiver.attempts) == 2, 10)
    assert receiver.attempts[0] == receiver.attempts[1]
    expected = GatewayEvent(
        reported["id"],
        "charge.captured",
        charge.id,
        reported["created_at"],
        "payment-of-ours-1",
        "captured",
        charge.created_at,
    )
    assert receiver.attempts[0] == expected
    sender.send_to(None)
    book.refund(charge.id)
    assert len(receiver.attempts) == 2


def test_each_movement_is_reported_once() -> None:
    reported: list[dict[str, Any]] = []
    book = ChargeBook(report=reported.append)
    good, bad = Card("visa", "4242", None), Card("visa", "9995", "insufficient_funds")
    book.charge("payment-of-ours-1", 1999, "USD", good)
    book.charge("payment-of-ours-2", 1999, "USD", bad)
    authorized = [book.charge(f"payment-of-ours-{n}", 1999, "USD", good, capture=False) for n in range(3, 6)]
    book.capture(authorized[0].id, 1000)
    book.void(authorized[1].id)
    book.expire(authorized[2].id)
    refund = book.refund(authorized[0].id, 400, status="pending")
    book.succeed_refund(refund.id)
    book.fail_refund(refund.id)
    book.reverse("payment-of-ours-1")
    book.reverse("payment-of-ours-1")
    assert [event["type"] for event in reported] == [
        "charge.captured",
        "charge.declined",
        *["charge.authorized"] * 3,
        "charge.captured",
        "charge.voided",
        "charge.expired",
        "refund.succeeded",
        "refund.failed",
        "charge.voided",
    ]
    assert [event["refund_id"] for event in reported if event["type"].startswith("refund.")] == [refund.id] * 2
    for event in reported:
        validator("Event").validate(json.loads(json.dumps(event)))
