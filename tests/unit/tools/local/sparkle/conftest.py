"""A sandbox without a socket. Every answer is checked against docs/sparkle.yaml."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.sandbox import running_sandbox
from tools.local.sparkle.app import create_app
from tools.local.sparkle.charges import ChargeBook
from tools.local.sparkle.contract import contract, validator

API_KEY = "sk_test_sparkle"  # pragma: allowlist secret
APPROVED = "4242424242424242"


@dataclass
class FakeClock:
    """A clock that stands still until a test advances it."""

    now: datetime = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: float) -> None:
        self.now += timedelta(**duration)


def charge_request(reference: str = "pay-1", number: str = APPROVED, **changes: Any) -> dict[str, Any]:
    """A charge of 19.99 USD."""
    card = {"number": number, "expiry_month": 12, "expiry_year": 2030, "holder": "Jane Doe"}
    return {"reference": reference, "amount_minor": 1999, "currency": "USD", "card": card} | changes


def headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {API_KEY}", "Idempotency-Key": key}


@dataclass
class Sparkle:
    """A client of the sandbox. Each request has a new Idempotency-Key unless one is given."""

    http: FlaskClient
    clock: FakeClock
    book: ChargeBook
    _keys: Iterator[int] = field(default_factory=count)

    def call(self, method: str, path: str, body: Any = None, key: str | None = None, **more: Any) -> Any:
        more.setdefault("headers", headers(key or f"key-{next(self._keys)}"))
        if body is not None:
            more["json"] = body
        answer = self.http.open(path, method=method, **more)
        assert_keeps_the_contract(method, path.partition("?")[0], answer)
        return answer

    def post(self, path: str, body: Any = None, key: str | None = None, **more: Any) -> Any:
        return self.call("POST", path, body, key, **more)

    def get(self, path: str, **more: Any) -> Any:
        return self.call("GET", path, **more)

    def charge(self, reference: str = "pay-1", **changes: Any) -> dict[str, Any]:
        """Make a charge, which must be approved."""
        answer = self.post("/v1/charges", charge_request(reference, **changes))
        assert answer.status_code == 201, answer.text
        return dict(answer.json)

    def reverse(self, reference: str = "pay-1") -> dict[str, Any]:
        answer = self.post("/v1/reversals", {"reference": reference})
        assert answer.status_code == 200, answer.text
        return dict(answer.json)

    def find(self, reference: str = "pay-1") -> list[dict[str, Any]]:
        return list(self.get(f"/v1/charges?reference={reference}").json["charges"])

    def refund(self, charge: dict[str, Any], **body: Any) -> dict[str, Any]:
        """Make a refund, which must be accepted."""
        answer = self.post(f"/v1/charges/{charge['id']}/refunds", body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json)

    def refunds(self, charge: dict[str, Any], **query: str) -> list[dict[str, Any]]:
        return list(self.get(f"/v1/charges/{charge['id']}/refunds", query_string=query).json["refunds"])

    def fail(self, refund: dict[str, Any]) -> dict[str, Any]:
        """Let the refund fail, and return it."""
        answer = self.post(f"/sandbox/refunds/{refund['id']}/fail")
        assert answer.status_code == 200, answer.text
        return dict(answer.json)

    def report(self, day: str = "2026-11-23", **page: Any) -> dict[str, Any]:
        answer = self.get("/v1/settlements", query_string={"date": day} | page)
        assert answer.status_code == 200, answer.text
        return dict(answer.json)

    def settlement(self, day: str = "2026-11-23") -> list[dict[str, Any]]:
        return list(self.report(day)["lines"])

    def break_next(self, operation: str, fault: str, **more: Any) -> None:
        answer = self.post("/sandbox/faults", {"operation": operation, "fault": fault} | more)
        assert answer.status_code == 201, answer.text

    def requests(self) -> list[dict[str, Any]]:
        return list(self.get("/sandbox/requests").json["requests"])


def assert_keeps_the_contract(method: str, path: str, answer: TestResponse) -> None:
    """Check that the contract lists this status for this call, and that the JSON fits its schema."""
    operation = _operation(method, path)
    if operation is None:
        validator("Error").validate(answer.json)
        return
    responses = operation["responses"]
    response = responses.get(str(answer.status_code)) or responses[f"{answer.status_code // 100}XX"]
    if "$ref" in response:
        response = contract()["components"]["responses"][response["$ref"].rpartition("/")[2]]
    if content := response.get("content"):
        schema = content[answer.mimetype]["schema"]
        if "$ref" in schema:
            validator(schema["$ref"].rpartition("/")[2]).validate(answer.json)
    else:
        assert answer.data == b""


def _operation(method: str, path: str) -> Mapping[str, Any] | None:
    """The contract's operation for a call, or None."""
    segments = path.split("/")
    # Literal paths come first, since `/v1/charges/{charge_id}` matches more than charges.
    for template, operations in contract()["paths"].items():
        parts = template.split("/")
        if len(parts) == len(segments) and all(p == a or p[:1] == "{" for p, a in zip(parts, segments, strict=True)):
            operation: Mapping[str, Any] | None = operations.get(method.lower())
            return operation
    return None


@pytest.fixture
def sparkle() -> Sparkle:
    book = ChargeBook(clock := FakeClock())
    return Sparkle(create_app(API_KEY, book).test_client(), clock, book)


@pytest.fixture
def url() -> Iterator[str]:
    """A sandbox behind a real socket."""
    with running_sandbox(API_KEY) as url:
        yield url
