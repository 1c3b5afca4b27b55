"""Listening to a local stack's events, forwarding them, and the listener that receives them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
import requests
from flask import Flask, request
from standardwebhooks import Webhook
from typer.testing import CliRunner

from functions.shared.adapters.webhooks import StandardWebhook
from functions.shared.domain.event import EndpointGone, NotDelivered, payment_event
from functions.shared.domain.times import iso
from tests.samples import WEBHOOK_SECRET, payment
from tests.sandbox import serving
from tools.cli.__main__ import app
from tools.deployment.stack import Listener, Stack, StackError, new_payment_id
from tools.local.events import signing_secret
from tools.local.listener.app import create_app
from tools.trials.listening import ReceivedEvent, forward, listen

API_KEY = new_payment_id()
EVENTS = [payment_event(replace(payment("pay-1"), version=version), None) for version in (1, 2, 3)]


@pytest.fixture
def listener() -> Iterator[Listener]:
    with serving(create_app(API_KEY)) as url:
        yield Listener(url, API_KEY, signing_secret(API_KEY))


@pytest.fixture
def stack(listener: Listener) -> Stack:
    return Stack("http://api", "us-east-1", "arn", "ledger", "/aws/lambda/payments-local-", listener=listener)


def deliver(listener: Listener, *numbers: int, secret: str | None = None, at: datetime | None = None) -> None:
    webhook = StandardWebhook(f"{listener.url}/webhooks", lambda: [secret or listener.secret])
    for number in numbers:
        webhook.post(EVENTS[number], iso(at or datetime.now(UTC)))


class TestListener:
    def test_it_keeps_what_is_signed_as_it_arrived(self, listener: Listener) -> None:
        deliver(listener, 0, 1)
        page = listener.events(0)
        assert [event["body"] for event in page["events"]] == [event.to_cloud_event() for event in EVENTS[:2]]
        assert page["last"] == 2
        assert [event["number"] for event in listener.events(1)["events"]] == [2]

    def test_it_refuses_what_another_has_signed_or_what_is_old(self, listener: Listener) -> None:
        with pytest.raises(NotDelivered, match="400"):
            deliver(listener, 0, secret=WEBHOOK_SECRET)
        with pytest.raises(NotDelivered, match="400"):
            deliver(listener, 0, at=datetime.now(UTC) - timedelta(minutes=6))
        assert listener.events() == {"events": [], "last": 0}

    def test_it_waits_for_the_next_event(self, listener: Listener) -> None:
        Timer(0.2, deliver, [listener, 2]).start()
        [event] = listener.events(0, 10)["events"]
        assert event["body"] == EVENTS[2].to_cloud_event()

    def test_it_answers_as_it_was_told_and_then_as_usual(self, listener: Listener) -> None:
        listener.refuse(500, 410)
        with pytest.raises(NotDelivered, match="500"):
            deliver(listener, 0)
        with pytest.raises(EndpointGone):
            deliver(listener, 0)
        deliver(listener, 0)
        assert listener.events()["last"] == 1

    @pytest.mark.parametrize(("method", "path"), [("GET", "/events"), ("POST", "/refusals")])
    def test_who_does_not_know_its_key_learns_nothing(self, listener: Listener, method: str, path: str) -> None:
        answer = requests.request(method, listener.url + path, json={"statuses": [500]}, timeout=10)
        assert (answer.status_code, answer.json()) == (401, {"error": {"code": "unauthorized"}})
        with pytest.raises(StackError, match="answers 401"):
            replace(listener, api_key=WEBHOOK_SECRET).events()

    def test_a_listener_that_is_gone_is_said_to_be(self, listener: Listener) -> None:
        with pytest.raises(StackError, match="make up"):
            replace(listener, url="http://127.0.0.1:1").events()


class TestListen:
    def test_events_from_now_on_are_shown_and_verified(self, stack: Stack, listener: Listener) -> None:
        deliver(listener, 0)
        received = listen(stack)
        Timer(0.3, deliver, [listener, 1, 2]).start()
        events = list(islice(received, 2))
        assert [event.cloud_event["sequence"] for event in events] == ["000002", "000003"]
        assert events[0].cloud_event == json.loads(EVENTS[1].to_cloud_event())

    def test_a_stack_without_a_listener_says_what_to_do(self, stack: Stack) -> None:
        with pytest.raises(StackError, match=r"Only a local stack has a listener.*docs/webhooks\.md"):
            next(listen(replace(stack, listener=None)))

    @pytest.mark.parametrize(("option", "time"), [((), "2026-11-23 09:00:00.000 "), (("--json",), '"2026-11-23T09:00')])
    def test_a_time_is_written_for_people_and_in_json_for_programs(
        self, stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: tuple[str, ...], time: str
    ) -> None:
        stack.save(tmp_path / "stack.json")
        body = payment_event(payment("pay-1", updated_at="2026-11-23T09:00:00.000Z"), None).to_cloud_event()
        monkeypatch.setattr("tools.cli.webhooks.listen", lambda stack: [ReceivedEvent({}, body)])
        done = CliRunner().invoke(app, ["listen", *option, "--stack", str(tmp_path / "stack.json")])
        assert done.exit_code == 0
        assert time in done.stdout


class TestForward:
    def test_what_is_forwarded_can_be_verified_again(self, listener: Listener) -> None:
        deliver(listener, 0)
        [event] = listener.events(0)["events"]
        received: list[Any] = []
        shop = Flask("shop")

        @shop.post("/webhooks")
        def be_told() -> tuple[str, int]:
            received.append(Webhook(listener.secret).verify(request.get_data(), dict(request.headers)))
            return "", 202

        with serving(shop) as url:
            assert forward(ReceivedEvent(event["headers"], event["body"]), f"{url}/webhooks") == 202
        assert received == [json.loads(EVENTS[0].to_cloud_event())]

    def test_nobody_there_is_no_status(self) -> None:
        assert forward(ReceivedEvent({}, "{}"), "http://127.0.0.1:1/webhooks") is None


def test_a_stack_file_keeps_its_listener(stack: Stack, tmp_path: Any) -> None:
    stack.save(tmp_path / "stack.json")
    assert Stack.load(tmp_path / "stack.json").listener == stack.listener
