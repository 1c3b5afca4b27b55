"""The stack on one machine."""

from pathlib import Path

import pytest

import tools.local.machine
from tools.deployment.stack import Stack
from tools.deployment.terraform import TerraformError
from tools.local.machine import Machine, Service


@pytest.fixture
def nothing_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools.local.machine, "build", lambda target, say: None)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(home=tmp_path, stack_file=tmp_path / "stack.json", emulator_port=0, sparkle_port=0)


def test_a_first_deployment_that_fails_is_repeated_on_a_new_emulator_and_its_log_is_kept(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, nothing_is_built: None
) -> None:
    deployed_to: list[str] = []

    def deploy(
        machine: Machine, services: dict[str, tools.local.machine.Service], *say: tools.local.machine.Say
    ) -> Stack:
        deployed_to.append(services["emulator"].url)
        if len(deployed_to) == 1:
            raise TerraformError("terraform apply failed:\nError: creating IAM Role: EntityAlreadyExists")
        return Stack("http://api", "us-east-1", "arn", "ledger", "/aws/lambda/payments-local-")

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


@pytest.mark.parametrize("service", ["sparkle", "emulator"])
def test_what_was_started_when_somebody_gave_up_waiting_is_known_and_can_be_stopped(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, nothing_is_built: None, service: str
) -> None:
    healthy = Service.healthy

    def impatient(waited_for: Service) -> bool:
        if waited_for.module.endswith(service):
            raise KeyboardInterrupt
        return healthy(waited_for)

    monkeypatch.setattr(Service, "healthy", impatient)
    with pytest.raises(KeyboardInterrupt):
        machine.up(lambda step: None)
    assert service in machine.down()
    assert machine.down() == []


def test_without_terraform_nothing_is_started(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    said: list[str] = []
    with pytest.raises(TerraformError, match="Install Terraform"):
        machine.up(said.append)
    assert said == []
