"""One emulator for all tests here, and helpers to deploy to it."""

import contextlib
import io
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.credentials import Credentials

from tools.deployment.build import runtime_client
from tools.deployment.paths import ROOT
from tools.deployment.polling import has_ended, wait_for

ACCOUNT = "000000000000"
REGION = "us-east-1"
OPERATOR = Credentials("AKIA" + secrets.token_hex(8).upper(), secrets.token_hex(20))
OPERATOR_KEYS: dict[str, Any] = {"aws_access_key_id": OPERATOR.access_key, "aws_secret_access_key": OPERATOR.secret_key}

# To make a client takes longer than most calls.
_client: Any = cache(boto3.client)


@dataclass(frozen=True)
class Emulator:
    """A running emulator; `client` gives boto3 clients of the account's operator, or of the given credentials."""

    url: str
    process: subprocess.Popen[bytes]

    def client(self, service: Any, credentials: dict[str, Any] | None = None, url: str | None = None) -> Any:
        return _client(service, endpoint_url=url or self.url, region_name=REGION, **(credentials or OPERATOR_KEYS))

    def role(self, service: str, *statements: dict[str, Any]) -> str:
        """A new role that the service may assume; its ARN."""
        iam, name = self.client("iam"), f"role-{uuid.uuid4().hex[:12]}"
        principal = {"Service": service} if service.endswith(".com") else {"AWS": service}
        arn: str = iam.create_role(
            RoleName=name, AssumeRolePolicyDocument=policy({"Action": "sts:AssumeRole", "Principal": principal})
        )["Role"]["Arn"]
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="inline", PolicyDocument=policy(*statements))
        return arn

    def session(self, *statements: dict[str, Any], name: str = "test") -> dict[str, str]:
        """Credentials of a new role with these permissions, for a session of this name."""
        return self.session_of(self.role(f"arn:aws:iam::{ACCOUNT}:root", *statements), name)

    def session_of(self, arn: str, name: str = "test") -> dict[str, str]:
        """Credentials of the role, for a session of this name."""
        keys = self.client("sts").assume_role(RoleArn=arn, RoleSessionName=name)["Credentials"]
        return {
            "aws_access_key_id": keys["AccessKeyId"],
            "aws_secret_access_key": keys["SecretAccessKey"],
            "aws_session_token": keys["SessionToken"],
        }

    def function(self, source: str, layers: tuple[str, ...] = (), **settings: Any) -> str:
        """A new Python function from the source of its module; its ARN."""
        arn: str = self.client("lambda").create_function(
            FunctionName=f"function-{uuid.uuid4().hex[:12]}",
            Runtime="python3.13",
            Handler="functions.module.handler",
            Role=self.role("lambda.amazonaws.com"),
            Code={"ZipFile": zipped({"functions/module.py": source})},
            Layers=list(layers),
            **settings,
        )["FunctionArn"]
        return arn

    def state_machine(self, states: dict[str, Any], *statements: dict[str, Any]) -> str:
        """A new state machine that starts at the first state, and its role's permissions; its ARN."""
        arn: str = self.client("stepfunctions").create_state_machine(
            name=f"machine-{uuid.uuid4().hex[:12]}",
            roleArn=self.role("states.amazonaws.com", *statements),
            definition=json.dumps({"StartAt": next(iter(states)), "States": states}),
        )["stateMachineArn"]
        return arn

    def run(self, state_machine_arn: str, **arguments: Any) -> dict[str, Any]:
        """Start an execution, and return its description after it has ended."""
        execution = self.client("stepfunctions").start_execution(stateMachineArn=state_machine_arn, **arguments)
        return self.finished(execution["executionArn"])

    def finished(self, execution_arn: str) -> dict[str, Any]:
        client = self.client("stepfunctions")
        description: dict[str, Any] = wait_for(
            lambda: client.describe_execution(executionArn=execution_arn), 10, 0.02, until=has_ended
        )
        assert has_ended(description), f"{execution_arn} still runs"
        return description


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", **({} if "Principal" in each else {"Resource": "*"}), **each} for each in statements
            ],
        }
    )


def zipped(files: dict[str, str]) -> bytes:
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return package.getvalue()


def start_emulator(runtime_client_dir: str, data_dir: Path, **settings: str) -> Emulator:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "RUNTIME_CLIENT_DIR": runtime_client_dir,
        "LOG_LEVEL": "WARNING",
        "OPERATOR_ACCESS_KEY_ID": OPERATOR.access_key,
        "OPERATOR_SECRET_ACCESS_KEY": OPERATOR.secret_key,
        "EMULATOR_SECRET": "not for functions",  # pragma: allowlist secret
        **settings,
    }
    environment.pop("AWS_ENDPOINT_URL", None)
    with (data_dir / "emulator.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "tools.local.emulator", "--port", str(port), "--data-dir", str(data_dir)],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 20
    while True:
        try:
            urllib.request.urlopen(f"{url}/_ministack/health", timeout=1).close()  # noqa: S310
            return Emulator(url, process)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                pytest.fail((data_dir / "emulator.log").read_text())
            time.sleep(0.1)


@pytest.fixture(scope="session")
def runtime_client_dir() -> str:
    """The folder with awslambdaric, installed once below build/."""
    return str(runtime_client())


@contextlib.contextmanager
def running_emulator(runtime_client_dir: str, data_dir: Path, **settings: str) -> Iterator[Emulator]:
    """A separate emulator with these environment variables. It is stopped afterwards in any case."""
    running = start_emulator(runtime_client_dir, data_dir, **settings)
    try:
        yield running
    finally:
        running.process.terminate()
        try:
            running.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            running.process.kill()


@pytest.fixture(scope="session")
def emulator(runtime_client_dir: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with running_emulator(runtime_client_dir, tmp_path_factory.mktemp("emulator")) as running:
        yield running
