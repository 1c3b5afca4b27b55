"""The double of Stripe on its socket, with one localstripe for all tests; each test uses payments of its own."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import uuid4

import pytest
import requests

from tests.sandbox import running_stripe

API_KEY = "sk_test_double"  # pragma: allowlist secret
APPROVED = "4242424242424242"


@dataclass
class Stripe:
    """A client of the double."""

    url: str
    session: requests.Session = field(default_factory=requests.Session)
    _keys: Iterator[int] = field(default_factory=count)

    def post(self, path: str, key: str | None = None, **body: Any) -> requests.Response:
        """Send a form; names like `metadata[payment_id]` come as `metadata__payment_id`."""
        headers = self.headers | ({"Idempotency-Key": key} if key else {})
        form = {_bracketed(name): value for name, value in body.items()}
        return self.session.post(f"{self.url}/v1/{path}", data=form, headers=headers, timeout=20)

    def get(self, path: str, **query: Any) -> requests.Response:
        params = {_bracketed(name): value for name, value in query.items()}
        return self.session.get(f"{self.url}/v1/{path}", params=params, headers=self.headers, timeout=20)

    def sandbox(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.session.request(method, f"{self.url}/sandbox/{path}", json=body, headers=self.headers, timeout=20)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {API_KEY}"}

    def create(self, payment_id: str, **more: Any) -> dict[str, Any]:
        body = {"amount": 1999, "currency": "usd", "metadata__payment_id": payment_id} | more
        answer: dict[str, Any] = self.post("payment_intents", f"{payment_id}-intent", **body).json()
        return answer

    def confirm(self, intent: str, number: str = APPROVED, key: str | None = None, **more: Any) -> requests.Response:
        return self.post(f"payment_intents/{intent}/confirm", key, **card(number), **more)

    def charge(self, payment_id: str, number: str = APPROVED, **more: Any) -> Any:
        return self.confirm(self.create(payment_id)["id"], number, f"{payment_id}-charge", **more).json()

    def summary(self, payment_id: str) -> Any:
        matching = [each for each in self.sandbox("GET", "charges")["charges"] if each["reference"] == payment_id]
        return matching[0] if matching else None


def card(number: str, **more: str) -> dict[str, str]:
    fields = {"number": number, "exp_month": "12", "exp_year": "2030", "cvc": "123"} | more
    named = {f"payment_method_data__card__{name}": value for name, value in fields.items()}
    return {"payment_method_data__type": "card"} | named


def _bracketed(name: str) -> str:
    first, *rest = name.split("__")
    return first + "".join(f"[{each}]" for each in rest)


@pytest.fixture(scope="session")
def stripe_url() -> Iterator[str]:
    with running_stripe(API_KEY) as url:
        yield url


@pytest.fixture
def stripe(stripe_url: str) -> Iterator[Stripe]:
    client = Stripe(stripe_url)
    yield client
    client.sandbox("DELETE", "faults")
    client.sandbox("DELETE", "clock")


@pytest.fixture
def payment() -> str:
    return f"pay-{uuid4().hex[:8]}"
