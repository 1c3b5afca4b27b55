"""What the running stack exposes on its machine to other users, and to web pages in its user's browser."""

import stat
import subprocess

import pytest
import requests

from tools.deployment.stack import Stack, api_curlrc, sandbox_curlrc
from tools.local.machine import Machine


def secrets_of(stack: Stack) -> list[str]:
    secrets = [stack.secret_access_key, *(sandbox.api_key for sandbox in stack.sandboxes.values())]
    assert all(secrets)
    return [secret for secret in secrets if secret]


def test_no_other_user_may_read_files_with_secrets(machine: Machine, stack: Stack) -> None:
    curlrc = [api_curlrc(machine.stack_file), sandbox_curlrc(machine.stack_file)]
    files = [machine.stack_file, *curlrc, *(file for file in machine.home.iterdir() if file.is_file())]
    assert {"stack.json", "processes.json", "emulator.log"} <= {file.name for file in files}
    assert secrets_of(stack)[1] in (machine.home / "processes.json").read_text()
    assert [file for file in files if stat.S_IMODE(file.stat().st_mode) != 0o600] == []
    assert stat.S_IMODE(machine.home.stat().st_mode) == 0o700


def test_no_process_was_started_with_a_secret_in_its_arguments(stack: Stack) -> None:
    arguments = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout  # noqa: S607
    assert all(f"tools.local.{name}" in arguments for name in stack.sandboxes)
    assert "tools.local.emulator" in arguments
    assert [secret for secret in secrets_of(stack) if secret in arguments] == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/anybucket"),
        ("POST", "/_ministack/reset"),
        ("POST", "/2015-03-31/functions"),
        ("GET", "/?Action=ListUsers&X-Amz-Credential=test/20261128/us-east-1/iam/aws4_request"),
        ("GET", "/?Action=ListUsers&X-Amz-Credential=000000000000/20261128/us-east-1/iam/aws4_request"),
        ("GET", "/?Action=ListUsers&AWSAccessKeyId=test"),
    ],
)
def test_the_emulator_refuses_unsigned_requests(stack: Stack, method: str, path: str) -> None:
    answer = requests.request(method, f"{stack.aws_endpoint_url}{path}", timeout=10)
    assert answer.status_code in (400, 403)
    assert stack.client("sts").get_caller_identity()["Arn"].endswith(":user/operator")


@pytest.mark.parametrize(
    "page", [{"Origin": "https://shop.example"}, {"Host": "rebound.example"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_no_web_page_reaches_the_stack(stack: Stack, page: dict[str, str]) -> None:
    assert stack.call("GET", "/keys", headers=page).status_code == 403
    assert stack.sandbox("GET", "/sandbox/charges", headers=page).status_code == 403
    assert stack.call("GET", "/keys").status_code == 200
    assert stack.sandbox("GET", "/sandbox/charges").status_code == 200


def test_the_sandbox_refuses_requests_without_its_key(stack: Stack) -> None:
    for path in ("/sandbox/charges", "/sandbox/requests", "/v1/charges?reference=x"):
        assert requests.get(f"{stack.only_sandbox.url}{path}", timeout=10).status_code == 401
    assert requests.delete(f"{stack.only_sandbox.url}/sandbox/faults", timeout=10).status_code == 401
