"""An API that answers what a test tells it to, and a clock that doesn't wait."""

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.credentials import Credentials

from examples.client import PaymentsClient, client, transport

HANG_UP = None


@dataclass(frozen=True, slots=True)
class Call:
    """What the API was asked."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class ScriptedApi(ThreadingHTTPServer):
    """Gives the answers in their order: a status with a body, bytes as they are and the rest as JSON, or HANG_UP."""

    daemon_threads = True

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: list[tuple[int, Any] | None] = []
        self.redirect_to: str | None = None
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def script(self, *answers: tuple[int, Any] | None) -> None:
        self.answers = list(answers)

    @property
    def asked(self) -> list[tuple[str, str]]:
        return [(call.method, call.path.removeprefix("/v1")) for call in self.calls]


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedApi

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.calls.append(Call(self.command, self.path, dict(self.headers), body))
        answer = self.server.answers.pop(0)
        if answer is HANG_UP:
            return
        status, content = answer
        self.send_response(status)
        if self.server.redirect_to:
            self.send_header("Location", self.server.redirect_to)
        self.end_headers()
        self.wfile.write(content if isinstance(content, bytes) else json.dumps(content).encode())

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815

    def log_message(self, format: str, *arguments: Any) -> None:
        """Quiet."""


@dataclass
class FakeTime:
    """Goes on by what is slept."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake = FakeTime()
    monkeypatch.setattr(client, "time", fake)
    monkeypatch.setattr(transport, "time", fake)
    return fake


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with ScriptedApi() as api:
        thread = threading.Thread(target=api.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield api
        api.shutdown()
        thread.join()


@pytest.fixture
def payments(api: ScriptedApi, time: FakeTime) -> PaymentsClient:
    return PaymentsClient(api.url, "us-east-1", Credentials("AKIDEXAMPLE", "secret"), timeout_seconds=0.2)
