"""An API that answers as a test tells it to, and a clock that doesn't wait."""

import json
import threading
import time as real
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.credentials import Credentials

from client import PaymentsClient, client, transport

HANG_UP = None
SIGNATURES_LAST_SECONDS = 300
SKEWED = (403, {"error": {"code": "forbidden", "message": "The request is not signed."}})


@dataclass(frozen=True, slots=True)
class Call:
    """A request that the API received."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class ScriptedApi(ThreadingHTTPServer):
    """Gives these answers in order: a status with a body (bytes as they are, anything else as JSON), or HANG_UP.

    With a `clock` that differs from this machine's by that many seconds, it dates its answers accordingly, and refuses
    signatures with another time as AWS does. A `gate` holds all calls back until the number that it waits for has
    arrived.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: list[tuple[int, Any] | None] = []
        self.headers: dict[str, str] = {}
        self.clock = 0.0
        self.gate: threading.Barrier | None = None
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def script(self, *answers: tuple[int, Any] | None) -> None:
        self.answers = list(answers)

    @property
    def routes(self) -> list[tuple[str, str]]:
        return [(call.method, call.path.removeprefix("/v1")) for call in self.calls]


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedApi

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.calls.append(Call(self.command, self.path, dict(self.headers), body))
        if self.server.gate:
            self.server.gate.wait()
        answer = SKEWED if self._is_skewed() else self.server.answers.pop(0)
        if answer is HANG_UP:
            return
        status, content = answer
        self.send_response_only(status)
        for name, value in {"Date": formatdate(self._now, usegmt=True), **self.server.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content if isinstance(content, bytes) else json.dumps(content).encode())

    @property
    def _now(self) -> float:
        return real.time() + self.server.clock

    def _is_skewed(self) -> bool:
        signed_at = datetime.strptime(self.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        return abs(signed_at - self._now) > SIGNATURES_LAST_SECONDS

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815

    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing."""


@dataclass
class FakeTime:
    """Advances by the time that is slept."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return real.time()

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
