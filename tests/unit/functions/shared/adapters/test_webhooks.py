"""What an endpoint gets, and what becomes of its answers."""

import base64
import json
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import standardwebhooks
import svix
from botocore.exceptions import EndpointConnectionError
from flask import Flask, Response, request

from functions.shared.adapters import webhooks
from functions.shared.adapters.webhooks import SqsDeliveryQueue, StandardWebhook
from functions.shared.domain.errors import QueueUnavailable, SecretUnavailable
from functions.shared.domain.event import EndpointGone, Event, NotDelivered, card_erased, payment_event
from functions.shared.domain.times import iso, now
from tests.documents import document
from tests.npm import by_npm
from tests.samples import NOW, payment
from tests.samples import OLD_WEBHOOK_SECRET as OLD_SECRET
from tests.samples import WEBHOOK_SECRET as SECRET
from tests.sandbox import serving

EVENT = payment_event(payment("pay-1"), None)


class Endpoint:
    """A merchant's endpoint. `answer` is what it answers, `received` what it was sent: headers and bodies."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], str]] = []
        self.answer: Any = Response("thanks")
        self.app = Flask("endpoint")
        self.app.add_url_rule("/<path:path>", view_func=self._receive, methods=["GET", "POST"])
        self.url = ""

    def _receive(self, path: str) -> Any:
        self.received.append((dict(request.headers), request.get_data(as_text=True)))
        return self.answer

    def post(self, event: Event = EVENT, *, secrets: tuple[str, ...] = (SECRET,), at: datetime | None = None) -> None:
        webhook = StandardWebhook(f"{self.url}/webhooks", lambda: list(secrets))
        webhook.post(event, iso(at or datetime.now(UTC)))


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    shop = Endpoint()
    with serving(shop.app) as url:
        shop.url = url
        yield shop


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server's URL that answers its first request with these bytes."""

    def serve() -> None:
        with suppress(OSError):
            connection, _ = server.accept()
            connection.recv(65536)
            connection.sendall(answer)
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


class NpmRefusal(Exception):
    """npm's standardwebhooks has not verified an event."""


class NpmWebhook:
    """npm's standardwebhooks."""

    _VERIFY = """
    import { Webhook, WebhookVerificationError } from "standardwebhooks";

    const [secret, body, headers] = JSON.parse(process.argv[1]);
    try {
      console.log(JSON.stringify(new Webhook(secret).verify(body, headers)));
    } catch (error) {
      if (!(error instanceof WebhookVerificationError)) throw error;
      console.log("null");
    }
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def verify(self, body: str, headers: dict[str, str]) -> None:
        verified = by_npm("standardwebhooks", self._VERIFY, [self._secret, body, headers])
        if verified is None:
            raise NpmRefusal
        assert verified == json.loads(body)


VERIFIERS: dict[str, tuple[Any, type[Exception]]] = {
    "standardwebhooks": (standardwebhooks.Webhook, standardwebhooks.WebhookVerificationError),
    "svix": (svix.Webhook, svix.WebhookVerificationError),
    "npm's standardwebhooks": (NpmWebhook, NpmRefusal),
}
every_verifier = pytest.mark.parametrize(("verifier", "refusal"), VERIFIERS.values(), ids=VERIFIERS)


def test_the_endpoint_gets_the_cloud_event(endpoint: Endpoint) -> None:
    endpoint.post()
    [(headers, body)] = endpoint.received
    assert json.loads(body) == json.loads(EVENT.to_cloud_event())
    assert headers["Content-Type"] == "application/cloudevents+json"
    assert headers["Webhook-Id"] == EVENT.event_id


@every_verifier
class TestSignature:
    def test_others_verify_it(self, endpoint: Endpoint, verifier: Any, refusal: type[Exception]) -> None:
        endpoint.post()
        [(headers, body)] = endpoint.received
        verifier(SECRET).verify(body, headers)

    def test_during_a_rotation_either_secret_verifies(
        self, endpoint: Endpoint, verifier: Any, refusal: type[Exception]
    ) -> None:
        endpoint.post(secrets=(SECRET, OLD_SECRET))
        [(headers, body)] = endpoint.received
        for secret in (SECRET, OLD_SECRET):
            verifier(secret).verify(body, headers)

    def test_they_refuse_what_was_changed_or_is_old(
        self, endpoint: Endpoint, verifier: Any, refusal: type[Exception]
    ) -> None:
        endpoint.post()
        endpoint.post(at=datetime.now(UTC) - timedelta(minutes=6))
        [(headers, body), (old_headers, old_body)] = endpoint.received
        changed = [
            (old_headers, old_body),
            (headers, body.replace("1999", "1998")),
            (headers | {"Webhook-Id": "evt_other"}, body),
            (headers | {"Webhook-Timestamp": str(int(headers["Webhook-Timestamp"]) + 1)}, body),
        ]
        for other_headers, other_body in changed:
            with pytest.raises(refusal):
                verifier(SECRET).verify(other_body, other_headers)
        with pytest.raises(refusal):
            verifier(OLD_SECRET).verify(body, headers)


def test_the_receiver_of_the_page_keeps_the_latest(endpoint: Endpoint) -> None:
    receiver, new_secret = (block.text for block in document("webhooks").blocks if block.language == "python")
    secret = eval(new_secret, {"base64": base64, "secrets": secrets})  # noqa: S307
    authorized = payment("pay-1", "authorized")
    second_event = payment_event(replace(payment("pay-1"), version=2), authorized)
    shop: dict[str, Any] = {"SECRET": secret}
    exec(receiver, shop)  # noqa: S102
    for event in (
        payment_event(authorized, None),
        second_event,
        payment_event(authorized, None),
        card_erased("tok_1", NOW),
    ):
        endpoint.post(event, secrets=(secret,))
        headers, body = endpoint.received[-1]
        shop["receive"](body, headers)
    assert shop["orders"] == {"pay-1": ("000002", json.loads(second_event.to_cloud_event())["data"]["payment"])}
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        shop["receive"](body.replace("tok_1", "tok_2"), headers)


class TestAnswers:
    @pytest.mark.parametrize("status", [200, 201, 202, 204])
    def test_a_success_is_one_whatever_the_body(self, endpoint: Endpoint, status: int) -> None:
        endpoint.answer = Response(b"\xff\x00garbage" * 1000, status=status, content_type="application/json")
        endpoint.post()

    @pytest.mark.parametrize("status", [400, 401, 404, 409, 429, 500, 503])
    def test_any_other_answer_is_none(self, endpoint: Endpoint, status: int) -> None:
        endpoint.answer = Response("4000056655665556", status=status)
        with pytest.raises(NotDelivered, match=f"^The endpoint answered {status}\\.$"):
            endpoint.post()

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_is_not_followed(self, endpoint: Endpoint, status: int) -> None:
        endpoint.answer = Response(status=status, headers={"Location": f"{endpoint.url}/elsewhere"})
        with pytest.raises(NotDelivered, match=str(status)):
            endpoint.post()
        assert len(endpoint.received) == 1

    def test_410_means_that_no_more_is_wanted(self, endpoint: Endpoint) -> None:
        endpoint.answer = Response(status=410)
        with pytest.raises(EndpointGone):
            endpoint.post()

    def test_a_body_without_end_is_not_waited_for(self, endpoint: Endpoint) -> None:
        with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nand so on") as endpoint.url:
            endpoint.post()

    def test_an_answer_that_does_not_come_is_given_up(
        self, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhooks, "TIMEOUTS_SECONDS", (0.2, 0.2))
        with socket.create_server(("127.0.0.1", 0)) as silent:
            endpoint.url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            with pytest.raises(NotDelivered, match=r"^The endpoint did not answer: ReadTimeout\.$"):
                endpoint.post()

    @pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 ", b"\x15\x03\x01", b""])
    def test_nor_is_what_is_no_http(self, endpoint: Endpoint, answer: bytes) -> None:
        with answering(answer) as endpoint.url, pytest.raises(NotDelivered, match=r"did not answer"):
            endpoint.post()

    def test_nobody_who_listens_is_no_success(self, endpoint: Endpoint) -> None:
        endpoint.url = "http://127.0.0.1:1"
        with pytest.raises(NotDelivered, match="ConnectionError"):
            endpoint.post()


class TestAddresses:
    @pytest.mark.parametrize(
        "host",
        [
            "127.0.0.1",
            "localhost",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",  # noqa: S104
            "[::1]",
            "[fd00:ec2::254]",
            "[::ffff:169.254.169.254]",
            "2130706433",
        ],
    )
    def test_a_private_address_is_not_called(self, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
        monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("connected"))
        with pytest.raises(NotDelivered, match="did not answer: InvalidIPAddress"):
            StandardWebhook(f"https://{host}/webhooks", lambda: [SECRET]).post(EVENT, now())

    def test_nor_is_a_name_that_leads_to_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        address = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 443))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: address)
        with pytest.raises(NotDelivered, match="InvalidIPAddress"):
            StandardWebhook("https://shop.example/webhooks", lambda: [SECRET]).post(EVENT, now())

    def test_the_address_that_was_checked_is_the_one_that_is_called(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hosts: list[str] = []
        called: list[Any] = []

        def resolve(host: str, *_: Any, **__: Any) -> list[Any]:
            hosts.append(host)
            ip = "203.0.114.7" if len(hosts) == 1 else "169.254.169.254"
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host if host[0].isdigit() else ip, 443))]

        def connect(connection: Any, address: Any) -> None:
            called.append(address)
            raise OSError

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        monkeypatch.setattr(socket.socket, "connect", connect)
        with pytest.raises(NotDelivered):
            StandardWebhook("https://shop.example/webhooks", lambda: [SECRET]).post(EVENT, now())
        assert {address[0] for address in called} == {"203.0.114.7"}

    def test_no_proxy_is_used(self, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.delenv("NO_PROXY", raising=False)
        endpoint.post()


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_not base64!", "whsec_ä"])
def test_an_invalid_secret_is_unavailable_and_not_shown(endpoint: Endpoint, secret: str) -> None:
    with pytest.raises(SecretUnavailable) as raised:
        endpoint.post(secrets=(secret,))
    assert not secret or secret not in str(raised.value)
    assert endpoint.received == []


class TestQueue:
    class Sqs:
        """SQS's client, with a list of its calls."""

        def __init__(self, error: Exception | None = None) -> None:
            self.calls: list[tuple[str, dict[str, Any]]] = []
            self.error = error

        def __getattr__(self, operation: str) -> Any:
            def call(**request: Any) -> None:
                if self.error:
                    raise self.error
                self.calls.append((operation, request))

            return call

    def test_a_message_is_postponed_or_set_aside(self) -> None:
        sqs = self.Sqs()
        queue = SqsDeliveryQueue(sqs, "queue", "dead-letters")
        queue.postpone("receipt-1", 60)
        queue.set_aside("{}")
        assert sqs.calls == [
            (
                "change_message_visibility",
                {"QueueUrl": "queue", "ReceiptHandle": "receipt-1", "VisibilityTimeout": 60},
            ),
            ("send_message", {"QueueUrl": "dead-letters", "MessageBody": "{}"}),
        ]

    def test_a_queue_that_is_down_is_ours_to_say(self) -> None:
        queue = SqsDeliveryQueue(self.Sqs(EndpointConnectionError(endpoint_url="sqs")), "queue", "dead-letters")
        calls: list[Callable[[], None]] = [lambda: queue.postpone("receipt-1", 60), lambda: queue.set_aside("{}")]
        for call in calls:
            with pytest.raises(QueueUnavailable, match=r"^SQS: EndpointConnectionError$"):
                call()
