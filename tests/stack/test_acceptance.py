"""`make acceptance ENV=local` on the tests' stack: what it requests, what it records, and that it detects wrong
answers."""

import http.client
import json
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from tests.stack.driver import Driver, payments
from tools.deployment.stack import Stack, StackError
from tools.local.machine import Machine
from tools.output import ExitCode
from tools.trials.acceptance.deployment import READ_BUDGETS, find_budget
from tools.trials.acceptance.steps.payments import PAYMENT_KINDS, PROTOCOLS

# Other tests run the examples and the bad input, with the same steps.
GROUPS = ("payments", "permissions", "failure", "signals")


@dataclass(frozen=True)
class Accepted:
    process: subprocess.CompletedProcess[str]

    @property
    def folder(self) -> Path:
        match = re.search(r"The raw answers, and a summary: (\S+)", self.process.stdout)
        assert match, self.process.stdout + self.process.stderr
        return Path(match[1])

    @property
    def summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return summary

    def steps(self, outcome: str) -> list[Mapping[str, Any]]:
        return [step for step in self.summary["steps"] if step["outcome"] == outcome]

    def files(self, group: str) -> list[str]:
        """The recorded answers of a group, as text."""
        return [file.read_text() for folder in self.folder.glob(f"{group}-*") for file in folder.iterdir()]


def accept(stack_file: Path, *groups: str) -> Accepted:
    return Accepted(payments(stack_file, "accept", "local", *(f"--only={group}" for group in groups)))


@pytest.fixture(scope="module")
def accepted(stack: Stack, machine: Machine, sandbox_events: None) -> Accepted:
    return accept(machine.stack_file, *GROUPS)


def test_nothing_fails_and_only_steps_beyond_the_emulator_are_skipped(accepted: Accepted) -> None:
    assert accepted.steps("failed") == []
    assert accepted.process.returncode == 0
    passed = [step["group"] for step in accepted.steps("passed")]
    assert {group: passed.count(group) for group in GROUPS} == {
        "payments": len(PROTOCOLS) * len(PAYMENT_KINDS) + 1,
        "permissions": 5,
        "failure": 1,
        "signals": 2,
    }


def test_skipped_steps_are_listed_with_the_reason(accepted: Accepted) -> None:
    assert {step["why"] for step in accepted.steps("skipped")} == {
        "The emulator counts nothing.",
        "The emulator draws no graphs.",
        "The emulator has no X-Ray.",
        "The emulator's API Gateway writes no access log.",
        "The emulator's EventBridge keeps no dead letters, and evaluates no alarm on several metrics.",
        "The emulator's Step Functions write no logs.",
        "The local stack is shared, so it is not changed for this test.",
    }
    assert "skipped signals, 9: The emulator counts nothing." in accepted.process.stdout


def test_the_raw_answers_are_recorded_unchanged(accepted: Accepted) -> None:
    exchanges = [json.loads(text) for text in accepted.files("payments")]
    over_http2 = [each for each in exchanges if each["request"]["protocol"] == "HTTP/2"]
    started = [
        each for each in over_http2 if each["request"]["method"] == "POST" and each["request"]["path"] != "/cards"
    ]
    assert started
    assert {each["response"]["status"] for each in started} == {202}
    assert all("idempotency-key" in each["request"]["headers"] for each in started)
    assert all(json.loads(each["response"]["body"])["status"] == "processing" for each in started)
    denied = [
        each for each in map(json.loads, accepted.files("permissions")) if each["request"].get("operation") == "Decrypt"
    ]
    assert [json.loads(each["response"]["body"])["__type"].rpartition("#")[2] for each in denied] == [
        "AccessDeniedException"
    ]


def test_no_secret_and_no_signature_is_recorded(stack: Stack, accepted: Accepted) -> None:
    files = [file for file in accepted.folder.rglob("*") if file.is_file()]
    text = "".join(file.read_text() for file in files)
    assert "AssumeRole" in text
    for secret in (
        stack.secret_access_key,
        stack.access_key_id,
        *(sandbox.api_key for sandbox in stack.sandboxes.values()),
    ):
        assert secret
        assert secret not in text
    assert re.findall(r"(?i)authorization\"|Signature=|<SecretAccessKey>(?!<secret>)[^<]+", text) == []


class Breaking(BaseHTTPRequestHandler):
    """Forwards requests to the API, but changes captured payments in its answers to lost."""

    api: str

    def answer(self) -> None:
        connection = http.client.HTTPConnection(urlsplit(self.api).netloc, timeout=30)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        # with the Host that was signed
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read().replace(b'"status": "captured"', b'"status": "lost"')
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@contextmanager
def broken(stack: Stack, file: Path) -> Iterator[Path]:
    """Write a stack file whose API is the stack's, with a mistake."""
    handler = type("Here", (Breaking,), {"api": stack.api_url})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    replace(stack, api_url=f"http://127.0.0.1:{server.server_port}{urlsplit(stack.api_url).path}").save(file)
    try:
        yield file
    finally:
        server.shutdown()
        server.server_close()


def test_a_wrong_answer_is_a_failure_and_the_other_steps_still_run(
    stack: Stack, sandbox_events: None, tmp_path: Path
) -> None:
    with broken(stack, tmp_path / "stack.json") as file:
        accepted = accept(file, "payments")
    assert accepted.process.returncode == 1
    failed = {step["name"]: step["why"] for step in accepted.steps("failed")}
    assert failed["a test card in the clear, over HTTP/1.1"] == "Unexpected: the status is 'lost', not 'captured'"
    assert {step["name"] for step in accepted.steps("passed")} >= {
        "an authorization, over HTTP/1.1",
        "an authorization that is voided, over HTTP/1.1",
    }
    assert "a test card in the clear, over HTTP/1.1" in accepted.process.stdout


def test_an_unknown_group_is_named(machine: Machine, stack: Stack) -> None:
    process = payments(machine.stack_file, "accept", "local", "--only=everything")
    assert process.returncode == ExitCode.FAILED
    assert "everything is not one of deployment, payments," in process.stderr


# --- The budget guard, on the emulator's AWS Budgets

NOTIFICATION = {"NotificationType": "ACTUAL", "ComparisonOperator": "GREATER_THAN", "Threshold": 80.0}
SOMEBODY = [{"SubscriptionType": "EMAIL", "Address": "somebody@example.com"}]


@pytest.fixture
def account(driver: Driver) -> Iterator[str]:
    account = driver.stack.state_machine_arn.split(":")[4]
    yield account
    budgets = driver.stack.client("budgets")
    for budget in budgets.describe_budgets(AccountId=account).get("Budgets", ()):
        budgets.delete_budget(AccountId=account, BudgetName=budget["BudgetName"])


def test_only_a_budget_with_a_subscriber_is_accepted(driver: Driver, account: str) -> None:
    budgets = driver.stack.client("budgets")
    with pytest.raises(StackError, match=f"No budget guards the account {account}"):
        find_budget(budgets, account, 1.0)
    budget = {
        "BudgetName": "everything",
        "BudgetType": "COST",
        "TimeUnit": "MONTHLY",
        "BudgetLimit": {"Amount": "50", "Unit": "USD"},
    }
    budgets.create_budget(AccountId=account, Budget=budget)
    with pytest.raises(StackError, match="everything: nobody is told"):
        find_budget(budgets, account, 1.0)
    budgets.create_notification(
        AccountId=account, BudgetName="everything", Notification=NOTIFICATION, Subscribers=SOMEBODY
    )
    assert find_budget(budgets, account, 1.0) == (
        "The monthly budget everything has a limit of 50 USD, of which 0 are spent."
    )
    with pytest.raises(StackError, match=r"everything: it has less left than \$60.00"):
        find_budget(budgets, account, 60.0)


def test_without_permission_to_see_budgets_the_error_names_it() -> None:
    class Denied:
        def get_paginator(self, operation: str) -> Any:
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, operation)

    with pytest.raises(StackError, match=f"Grant yourself {READ_BUDGETS}"):
        find_budget(Denied(), "111122223333", 1.0)
