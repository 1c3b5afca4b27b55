"""A single function is invoked together with the functions that complete its work."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from tools.deployment.stack import Stack
from tools.trials.events import FUNCTION_EVENTS
from tools.trials.invoke import Invocations, function_names

STACK = Stack("http://127.0.0.1:1", "us-east-1", "arn", "ledger", "/aws/lambda/payments-test-", None, "key", "secret")


class FakeLambda:
    """Records its calls, and answers with the event under the function's name, or with an error."""

    exceptions = type("Exceptions", (), {"ResourceNotFoundException": KeyError})

    def __init__(self, failing: str | None = None) -> None:
        self.failing, self.calls = failing, list[tuple[str, Any]]()

    def invoke(self, FunctionName: str, Qualifier: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        name, event = FunctionName.removeprefix("payments-test-"), json.loads(Payload)
        self.calls.append((name, event))
        fields = ("payment", "card", "ciphertext", "flags", "test_card", "gateway", "three_d_secure")
        whatever = {name: f"{name}.{name}" for name in fields}
        ids = ("payment_id", "operation_id", "type", "amount_minor", "currency", "charge_id", "transaction_id")
        answer = whatever | {each: event.get(each, f"{name}.{each}") for each in ids}
        if name == self.failing:
            answer = {"errorType": "GatewayOutcomeUnknown", "errorMessage": "No answer."}
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> FakeLambda:
    fake = FakeLambda()
    monkeypatch.setattr(Stack, "client", lambda stack, service, config: fake)
    return fake


@pytest.mark.parametrize(
    ("function", "following"),
    [
        ("tokenize", []),
        ("charge", ["persist"]),
        ("await_customer", ["confirm", "persist"]),
        ("confirm", ["persist"]),
        ("persist", []),
        ("reserve", ["perform", "settle"]),
        ("perform", ["settle"]),
        ("settle", []),
    ],
)
def test_what_a_function_has_begun_is_ended_by_those_that_come_next(
    aws: FakeLambda, function: str, following: list[str]
) -> None:
    answers = Invocations(STACK).invoke_with_next(function, FUNCTION_EVENTS / f"{function}.json")
    assert list(answers) == [function, *following]
    assert [name for name in aws.names if name in answers] == [function, *following]
    assert all(aws.names.count(name) == 1 for name in answers)


def test_a_charge_whose_outcome_is_unknown_is_undone(aws: FakeLambda) -> None:
    aws.failing = "charge"
    answers = Invocations(STACK).invoke_with_next("charge", FUNCTION_EVENTS / "charge.json")
    assert list(answers) == ["charge", "compensate"]


def test_what_follows_is_about_the_payment_that_was_asked_for(aws: FakeLambda, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(
        json.dumps({"payment_id": "by-hand", "payment": {"amount_minor": 5}, "card": {}, "transaction_id": "0"})
    )
    Invocations(STACK).invoke_with_next("charge", event)
    (persisted,) = (event for name, event in aws.calls if name == "persist")
    assert (persisted["payment_id"], persisted["payment"]) == ("by-hand", {"amount_minor": 5})


def test_every_function_has_an_event() -> None:
    assert function_names() == sorted(file.stem for file in FUNCTION_EVENTS.glob("*.json"))
