"""The stack on one machine."""

from pathlib import Path

import pytest

import local.machine
from cli.stack import Stack
from cli.terraform import TerraformError
from local.machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(home=tmp_path, stack_file=tmp_path / "stack.json", emulator_port=0, sparkle_port=0)


def test_a_first_deployment_that_fails_is_repeated_on_a_new_emulator_and_its_log_is_kept(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed_to: list[str] = []

    def deploy(machine: Machine, services: dict[str, local.machine.Service], say: local.machine.Say) -> Stack:
        deployed_to.append(services["emulator"].url)
        if len(deployed_to) == 1:
            raise TerraformError("terraform apply failed:\nError: creating IAM Role: EntityAlreadyExists")
        return Stack("http://api", "us-east-1", "arn", "ledger", "/aws/lambda/payments-local-")

    monkeypatch.setattr(local.machine, "build", lambda target: None)
    monkeypatch.setattr(Machine, "_deploy", deploy)
    said: list[str] = []
    try:
        assert machine.up(said.append).api_url == "http://api"
    finally:
        machine.down()
    failed, final = machine.home / "emulator.failed.log", machine.home / "emulator.log"
    assert ["EntityAlreadyExists" in said[-3], str(failed) in said[-2]] == [True, True]
    assert [url in failed.read_text() for url in deployed_to] == [True, False]
    assert [url in final.read_text() for url in deployed_to] == [False, True]
