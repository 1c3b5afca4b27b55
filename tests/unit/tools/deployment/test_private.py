"""Keys are in no file that other users can read, and in no output."""

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from tools.cli.machine import _print_next_steps
from tools.deployment.private import open_private, private_folder, write_private
from tools.deployment.stack import Gateway, Stack, StackError, api_curlrc, sandbox_curlrc

STACK = Stack(
    api_url="http://127.0.0.1:4566/api",
    region="us-east-1",
    state_machine_arn="arn:payment",
    ledger_table="ledger",
    log_group_prefix="/aws/lambda/payments-",
    access_key_id="AKIAKEY",
    secret_access_key="the-secret",  # pragma: allowlist secret
    gateways={"sparkle": Gateway("http://127.0.0.1:4567", "sk_test_key", sandbox=True)},
)


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


@pytest.fixture(autouse=True)
def generous_umask() -> object:
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_stack_file_and_what_curl_reads_are_private(tmp_path: Path) -> None:
    file = tmp_path / "stack.json"
    file.write_text("{}")  # as an earlier version may have left it, readable by everybody
    STACK.save(file)
    assert Stack.load(file) == STACK
    written = json.loads(file.read_text())
    assert (written["sparkle_url"], written["sparkle_api_key"]) == ("http://127.0.0.1:4567", "sk_test_key")
    assert {path.name: mode(path) for path in tmp_path.iterdir()} == {
        "stack.json": 0o600,
        "stack.api.curlrc": 0o600,
        "stack.sandbox.curlrc": 0o600,
    }
    assert 'user = "AKIAKEY:the-secret"' in api_curlrc(file).read_text()
    assert 'header = "Authorization: Bearer sk_test_key"' in sandbox_curlrc(file).read_text()


def test_where_there_is_no_key_curl_gets_none(tmp_path: Path) -> None:
    on_aws = replace(
        STACK, access_key_id=None, secret_access_key=None, gateways={"sparkle": Gateway("https://api.sparkle.example")}
    )
    on_aws.save(tmp_path / "stack-dev.json")
    assert [path.name for path in tmp_path.iterdir()] == ["stack-dev.json"]


def test_a_private_file_and_folder_become_private_if_they_were_not(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    private_folder(folder)
    assert mode(folder) == 0o700
    file = folder / "log"
    file.write_text("before")
    with open_private(file) as opened:
        assert mode(file) == 0o600
        opened.write("after")
    assert file.read_text() == "after"
    write_private(file, "at last")
    assert (mode(file), file.read_text()) == (0o600, "at last")


def test_what_to_try_next_has_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    _print_next_steps(STACK)
    printed = capsys.readouterr().out
    assert "curl --config build/stack.api.curlrc" in printed
    assert "curl --config build/stack.sandbox.curlrc http://127.0.0.1:4567/sandbox/charges" in printed
    for secret in ("AKIAKEY", "the-secret", "sk_test_key"):
        assert secret not in printed


def test_a_stack_on_aws_has_the_gateways_of_the_outputs() -> None:
    names = ("api_url", "region", "state_machine_arn", "ledger_table", "log_group_prefix")
    gateways = {"second": {"url": "https://second.example"}, "first": {"url": "https://first.example"}}
    stack = Stack.from_outputs(dict.fromkeys(names, "…") | {"gateways": gateways, "alarm_names": []})
    assert stack.gateway_names == ("first", "second")
    assert (stack.gateways["second"], stack.has_only_sandboxes) == (Gateway("https://second.example"), False)
    with pytest.raises(StackError, match="The stack file has no gateways"):
        assert replace(stack, gateways={}).gateway_names
