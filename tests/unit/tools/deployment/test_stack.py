"""During a roll-out, an invocation by hand runs the code that is in service, and a function's error is raised."""

import io
import json
from typing import Any

import pytest

from tools.deployment.stack import Stack, StackError

MACHINES = "arn:aws:states:us-east-1:123456789012:stateMachine:payments-test-"
FUNCTIONS = "arn:aws:lambda:us-east-1:123456789012:function:payments-test-"
STACK = Stack("http://api", "us-east-1", f"{MACHINES}payment", "ledger", "/aws/lambda/payments-test-")
FAILED = {"errorType": "LedgerUnavailable", "errorMessage": "No answer."}


class Account:
    """Lambda and Step Functions. Version 3 of `resolve` and of its state machine is new, and gets a tenth of the
    executions. Only `publish` has an alias."""

    exceptions = type("Exceptions", (), {"ResourceNotFoundException": KeyError})

    def __init__(self) -> None:
        self.ran, self.answer = list[str](), dict[str, Any]()
        self.configs: dict[str, Any] = {}

    def invoke(self, *, FunctionName: str, Qualifier: str = "$LATEST", Payload: bytes) -> dict[str, Any]:  # noqa: N803
        if (Qualifier == "live") != (FunctionName == "payments-test-publish"):
            raise KeyError
        self.ran.append(f"{FunctionName}:{Qualifier}")
        return {"Payload": io.BytesIO(json.dumps(self.answer or json.loads(Payload)).encode())}

    def describe_state_machine_alias(self, *, stateMachineAliasArn: str) -> dict[str, Any]:  # noqa: N803
        arn = stateMachineAliasArn.removesuffix(":live")
        versions = [("3", 10), ("2", 90)]
        return {
            "routingConfiguration": [
                {"stateMachineVersionArn": f"{arn}:{number}", "weight": weight} for number, weight in versions
            ]
        }

    def describe_state_machine(self, *, stateMachineArn: str) -> dict[str, Any]:  # noqa: N803
        machine, version = stateMachineArn.removeprefix(MACHINES).split(":")
        # One function's name begins with another's.
        steps = {"Look": f"{FUNCTIONS}{machine}_more:9", "Resolve": f"{FUNCTIONS}{machine}:{version}"}
        return {"definition": json.dumps({name: {"Resource": arn} for name, arn in steps.items()})}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    account = Account()

    def client(stack: Stack, service: str, config: Any = None) -> Account:
        account.configs[service] = config
        return account

    monkeypatch.setattr(Stack, "client", client)
    return account


def test_a_function_with_an_alias_is_invoked_by_it(account: Account) -> None:
    assert STACK.invoke("publish", {"Records": []}) == {"Records": []}
    assert account.ran == ["payments-test-publish:live"]


def test_of_a_step_the_version_runs_that_most_executions_run(account: Account) -> None:
    assert STACK.invoke("resolve", {"payment_id": "pay-1"}) == {"payment_id": "pay-1"}
    assert account.ran == ["payments-test-resolve:2"]


def test_a_function_that_is_neither_is_not_there(account: Account) -> None:
    with pytest.raises(StackError, match=r"^This stack has no function payments-test-unknown\.$"):
        STACK.invoke("unknown", {})
    assert account.ran == []


def test_an_error_of_the_function_is_raised_or_returned_to_whoever_attempts_it(account: Account) -> None:
    account.answer = FAILED
    with pytest.raises(StackError, match=r"^LedgerUnavailable: No answer\.$"):
        STACK.invoke("resolve", {})
    assert STACK.attempt("resolve", {}) == FAILED


def test_no_invocation_is_given_up_and_made_again_while_the_function_runs(account: Account) -> None:
    lambda_limit_seconds = 900
    STACK.invoke("publish", {})
    assert account.configs["lambda"].read_timeout > lambda_limit_seconds
