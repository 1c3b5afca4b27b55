"""Errors say what to do."""

import pytest
import typer
from typer.testing import CliRunner

from functions.shared.domain.errors import LedgerUnavailable
from tools.cli.__main__ import app
from tools.cli.frame import clear_errors
from tools.deployment.stack import Gateway, Stack, StackError
from tools.output import ExitCode

NOBODY = "http://127.0.0.1:1"
STACK = Stack(
    NOBODY,
    "us-east-1",
    "arn:aws:states:us-east-1:000000000000:stateMachine:payments-local-payment",
    "ledger",
    "/aws/lambda/payments-local-",
    aws_endpoint_url=NOBODY,
    access_key_id="key",
    secret_access_key="secret",  # pragma: allowlist secret
    gateways={"sparkle": Gateway(NOBODY, "key", sandbox=True)},
)
PAYMENT_ID = "payment-of-order-1001"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One try for each call."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("client.transport.time.sleep", lambda seconds: None)


@pytest.mark.parametrize(
    "arguments",
    [
        ["get", PAYMENT_ID],
        ["replay"],
        ["list"],
        ["inspect", PAYMENT_ID],
        ["adopt", PAYMENT_ID],
        ["reconcile"],
        ["audit", PAYMENT_ID],
        ["ledger", "payment", PAYMENT_ID],
        ["ledger", "anchor"],
        ["ledger", "trial-balance"],
    ],
)
def test_a_stack_that_is_not_running_is_told_with_the_command_that_starts_it(
    arguments: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("stack") / "stack.json"
    STACK.save(file)
    done = CliRunner().invoke(app, [*arguments, "--stack", str(file)])
    assert (done.exit_code, done.stdout) == (ExitCode.FAILED, ""), done.output
    assert "start it: make up (or payments up)." in done.stderr


def test_a_sandbox_that_does_not_answer_is_told_likewise() -> None:
    with pytest.raises(StackError, match=r"does not answer: ConnectionError\. .* make up"):
        STACK.only_sandbox.call("GET", "/sandbox/charges")


def test_any_other_error_of_aws_is_told_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, clear_errors():
        raise LedgerUnavailable("DynamoDB: ThrottlingException")
    assert ended.value.exit_code == ExitCode.FAILED
    assert capsys.readouterr().err == "AWS: DynamoDB: ThrottlingException\n"
