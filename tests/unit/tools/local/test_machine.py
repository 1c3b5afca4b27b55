"""The stack on one machine."""

from pathlib import Path

import pytest

import tools.local.machine
from tools.deployment.stack import Stack, StackError
from tools.deployment.terraform import TerraformError
from tools.local.machine import Machine, Service, equal_shares


@pytest.fixture
def nothing_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools.local.machine, "build", lambda target, say: None)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(home=tmp_path, stack_file=tmp_path / "stack.json", usual_ports=False)


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
    messages: list[str] = []
    try:
        assert machine.up(messages.append).api_url == "http://api"
    finally:
        machine.down()
    failed, final = machine.home / "emulator.failed.log", machine.home / "emulator.log"
    assert ["EntityAlreadyExists" in messages[-3], str(failed) in messages[-2]] == [True, True]
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


def test_a_command_that_starts_a_stack_is_alone_with_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, nothing_is_built: None
) -> None:
    """Another one would end the emulator that is being deployed to."""
    refusals: list[str] = []

    def meanwhile(*_: object) -> Stack:
        for command in (lambda: machine.up(lambda step: None), machine.down):
            with pytest.raises(StackError) as refusal:
                command()
            refusals.append(str(refusal.value))
        raise KeyboardInterrupt

    monkeypatch.setattr(Machine, "_start_and_deploy", meanwhile)
    with pytest.raises(KeyboardInterrupt):
        machine.up(lambda step: None)
    assert ["Another command is starting or stopping this stack" in each for each in refusals] == [True, True]
    assert machine.down() == []


def test_without_terraform_nothing_is_started(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    messages: list[str] = []
    with pytest.raises(TerraformError, match="Install Terraform"):
        machine.up(messages.append)
    assert messages == []


def test_the_gateways_and_the_ports_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"GATEWAY": " sparkle  sparkle", "SPARKLE_PORT": "4568", "EMULATOR_PORT": ""}.items():
        monkeypatch.setenv(name, value)
    machine = Machine.from_environment()
    assert (machine.gateways, machine.ports) == (("sparkle",), {"sparkle": 4568})


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("GATEWAY", "emulator", "emulator has no sandbox. These have one: "),
        ("SPARKLE_PORT", "0", "must be a port number"),
    ],
)
def test_what_is_no_sandbox_and_no_port_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(StackError, match=message):
        Machine.from_environment()


def test_each_of_several_gateways_takes_the_same_share() -> None:
    assert equal_shares(["a"]) == [{"gateway": "a", "percent": 100}]
    assert equal_shares(["a", "b", "c"]) == [
        {"gateway": "a", "percent": 33},
        {"gateway": "b", "percent": 50},
        {"gateway": "c", "percent": 100},
    ]
