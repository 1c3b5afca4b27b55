"""Deploying again, rebuilding, and taking it all down, on a stack of its own."""

import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from cli.build import Target, build
from cli.paths import BUILD
from cli.stack import StackError
from local.machine import Machine

HOME = BUILD / "deployment-test-stack"


@pytest.fixture
def machine() -> Iterator[Machine]:
    machine = Machine(home=HOME, stack_file=HOME / "stack.json", emulator_port=0, sparkle_port=0)
    machine.down()
    yield machine
    machine.down()


def test_a_stack_is_deployed_once_deployed_again_without_a_change_and_destroyed_without_a_trace(
    machine: Machine,
) -> None:
    stack = machine.up(print)
    terraform = machine.terraform()
    assert terraform.pending_changes() == ""

    layer = Target.host().folder / "layer.sha256"
    layer.unlink()  # so that the layer is really built again
    build(Target.host())
    assert terraform.pending_changes() == ""

    assert machine.up(print) == stack

    terraform.destroy()
    prefix = "payments-local"
    assert not [key for key in stack.client("lambda").list_functions()["Functions"] if prefix in key["FunctionName"]]
    assert not [role for role in stack.client("iam").list_roles()["Roles"] if prefix in role["RoleName"]]
    assert stack.client("dynamodb").list_tables()["TableNames"] == []
    assert stack.client("apigateway").get_rest_apis()["items"] == []
    assert stack.client("stepfunctions").list_state_machines()["stateMachines"] == []


def test_a_port_that_somebody_asked_for_and_that_is_taken_gets_a_clear_message(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        wanting = replace(machine, sparkle_port=port, fixed_ports=frozenset({"sparkle_port"}))
        with pytest.raises(StackError, match=f"Port {port} is taken"):
            wanting.up(print)


def test_taking_down_what_is_not_up_is_no_error(machine: Machine) -> None:
    assert machine.down() == []
