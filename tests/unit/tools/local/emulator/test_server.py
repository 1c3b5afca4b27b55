"""The emulator's process."""

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import threading
import time
import urllib.parse
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from tests.unit.tools.local.emulator.conftest import OPERATOR, REGION, Emulator, running_emulator
from tools.deployment.polling import wait_for
from tools.local.emulator import server
from tools.local.emulator.http_server import http_server

FORM = "application/x-www-form-urlencoded"


def test_another_version_of_ministack_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(server, "MINISTACK_VERSION", "9.9.9")
    with pytest.raises(SystemExit, match=r"written for 9\.9\.9"):
        server.serve(1, tmp_path, ("id", "secret"))


def test_sigterm_ends_the_emulator_and_its_functions(runtime_client_dir: str, tmp_path: Path) -> None:
    with running_emulator(runtime_client_dir, tmp_path) as emulator:
        function = emulator.function("import os\ndef handler(event, context):\n    return os.getpid()")
        worker = json.loads(emulator.client("lambda").invoke(FunctionName=function)["Payload"].read())
        os.kill(worker, 0)
        emulator.process.send_signal(signal.SIGTERM)
        assert emulator.process.wait(timeout=10) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_a_connection_that_the_client_has_ended_is_ended_at_once(emulator: Emulator) -> None:
    with connected(emulator.url) as connection:
        connection.sendall(b"GET /_ministack/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(1) == b"H"
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass


def test_a_response_is_whole_when_its_head_arrives(emulator: Emulator) -> None:
    """Many small requests from clients that read once and disconnect."""
    bucket, queue = f"bucket-{uuid.uuid4().hex}", f"queue-{uuid.uuid4().hex}"
    emulator.client("s3").create_bucket(Bucket=bucket)
    send = {"QueueUrl": emulator.client("sqs").create_queue(QueueName=queue)["QueueUrl"], "MessageBody": "x" * 300}
    requests = [
        ("PUT", f"/{bucket}/key", "s3", {}, "x" * 300),
        ("POST", "/", "sqs", {"X-Amz-Target": "AmazonSQS.SendMessage"}, json.dumps(send)),
        (
            "POST",
            "/",
            "sts",
            {"Content-Type": "application/x-www-form-urlencoded"},
            "Action=GetCallerIdentity&Version=2011-06-15",
        ),
    ]
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda request: answer_in_one_read(emulator, *request), requests * 100))
    assert {head[:15] for head, _, _ in answers} == {b"HTTP/1.1 200 OK"}
    assert [head for head, promised, body in answers if len(body) < promised] == []


def answer_in_one_read(
    emulator: Emulator, method: str, path: str, service: str, headers: dict[str, str], body: str
) -> tuple[bytes, int, bytes]:
    """The response head, its Content-Length, and the body bytes that arrived with it."""
    request = AWSRequest(method, emulator.url + path, headers, body)
    SigV4Auth(OPERATOR, service, REGION).add_auth(request)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {urllib.parse.urlsplit(emulator.url).netloc}"]
    lines += [f"{name}: {value}" for name, value in {**request.headers, "Content-Length": len(body)}.items()]
    with connected(emulator.url) as connection:
        connection.sendall("\r\n".join([*lines, "", body]).encode())
        head, _, came = connection.recv(65536).partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    return head, int(length[1]) if length else 0, came


def connected(url: str) -> socket.socket:
    address = urllib.parse.urlsplit(url)
    return socket.create_connection((address.hostname, address.port), timeout=10)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """An application whose answer depends on the path."""
    if scope["type"] != "http":
        return
    how = scope["path"].strip("/")
    request = b""
    while (message := await receive()).get("more_body"):
        request += message["body"]
    request += message.get("body", b"")
    if how == "error":
        raise RuntimeError("before the head")
    status = {"no-content": 204, "not-modified": 304}.get(how, 200)
    bodies = {"large": b"x" * 3_000_000, "small": b"small", "head": b"small", "echo": request}
    body = repr(scope["headers"]).encode() if how == "headers" else bodies.get(how, b"")
    length = [] if how in ("streamed", "not-modified", "no-content") else [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": length})
    if how == "streamed":
        for part in (b"first", b"second"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.to_thread(READ.acquire)
    await send({"type": "http.response.body", "body": body})


READ = threading.Semaphore(0)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The application under the emulator's HTTP server, in this process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = http_server(application, port)
    thread = threading.Thread(target=running.run)
    thread.start()
    wait_for(lambda: running.started, 10, pause_seconds=0.05)
    yield f"http://127.0.0.1:{port}"
    running.should_exit = True
    thread.join()


def test_every_kind_of_response_arrives_on_one_connection(url: str) -> None:
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=10)
    for method, how, status, length in [
        ("GET", "small", 200, 5),
        ("GET", "no-content", 204, 0),
        ("HEAD", "head", 200, 0),
        ("GET", "not-modified", 304, 0),
        ("POST", "large", 200, 3_000_000),
        ("PUT", "empty", 200, 0),
        ("GET", "small", 200, 5),
    ]:
        connection.request(method, f"/{how}", body=b"x" if method in ("POST", "PUT") else None)
        response = connection.getresponse()
        assert (how, response.status, len(response.read())) == (how, status, length)
    connection.close()


def test_http_2_is_spoken_by_who_begins_with_it(url: str) -> None:
    with httpx.Client(http1=False, http2=True, base_url=url) as client:
        answers = [client.get("/small"), client.post("/large", content=b"x"), client.get("/no-content")]
    assert [(each.http_version, each.status_code, len(each.content)) for each in answers] == [
        ("HTTP/2", 200, 5),
        ("HTTP/2", 200, 3_000_000),
        ("HTTP/2", 204, 0),
    ]


@pytest.mark.parametrize("protocol", ["h2c", "tls/1.3"])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_client_that_could_speak_another_protocol_is_answered_all_the_same(
    url: str, protocol: str, at_once: bool
) -> None:
    """Java's client asks for HTTP/2 with its first request, whatever that is."""
    head = (
        f"POST /echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\n"
        "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nContent-Length: 5\r\n\r\n"
    )
    with connected(url) as connection:
        connection.sendall(head.encode() + b"hello" * at_once)
        if not at_once:
            time.sleep(0.1)
            connection.sendall(b"hello")
        answer = b""
        while not answer.endswith(b"hello"):
            answer += connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_header_is_spelled_as_it_came_and_ends_without_spaces(url: str) -> None:
    with connected(url) as connection:
        connection.sendall(b"GET /headers HTTP/1.1\r\nHost: localhost\r\nX-Two:  a\tb \t\r\nX-Fold: a\r\n b\r\n\r\n")
        answer = connection.recv(65536)
    assert answer.endswith(b"[(b'Host', b'localhost'), (b'X-Two', b'a\\tb'), (b'X-Fold', b'a b')]")


def test_what_is_streamed_does_not_wait_for_the_rest(url: str) -> None:
    with connected(url) as connection:
        connection.sendall(b"GET /streamed HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65536).endswith(b"\r\n\r\n5\r\nfirst\r\n")
        READ.release()
        assert connection.recv(65536) == b"6\r\nsecond\r\n"
        READ.release()
        assert connection.recv(65536) == b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [(b"GET /error HTTP/1.1\r\nHost: localhost\r\n\r\n", b"500"), (b"no HTTP at all\r\n\r\n", b"400")],
)
def test_an_error_of_the_server_s_own_is_reported(url: str, request_: bytes, status: bytes) -> None:
    with connected(url) as connection:
        connection.sendall(request_)
        assert connection.recv(65536).split()[1] == status
        assert connection.recv(65536) == b""


def test_who_asks_whether_to_send_the_body_is_told_before_the_answer(url: str) -> None:
    with connected(url) as connection:
        connection.sendall(
            b"PUT /small HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"x")
        assert connection.recv(65536).endswith(b"\r\n\r\nsmall")
