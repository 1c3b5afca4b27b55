"""Deploying again, rebuilding, and destroying, on a separate stack."""

import io
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from client import seal
from functions.shared.domain.payment import PaymentRequest
from functions.shared.domain.times import now
from tests.mocked_terraform import provider_running
from tests.stack.driver import CARD_DATA, Driver
from tools.deployment.build import Target
from tools.deployment.paths import BUILD
from tools.deployment.rollout import apply_until_live, roll_out
from tools.deployment.rotate import Key, rotate
from tools.deployment.stack import Stack, StackError, new_payment_id
from tools.deployment.terraform import Terraform
from tools.local.machine import DEFAULT_GATEWAY, STATE_BUCKET, Machine
from tools.trials.acceptance.steps.deployment import RESOURCE_LISTS, FiringCloudWatch, find_leftovers, pending_keys

HOME = BUILD / "deployment-test-stack"


@pytest.fixture
def machine() -> Iterator[Machine]:
    machine = Machine(home=HOME, stack_file=HOME / "stack.json", usual_ports=False)
    machine.down()
    yield machine
    machine.down()


@pytest.fixture
def stack(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """The stack, deployed. From then on, all commands of Terraform share one process of the provider."""
    stack = machine.up(print)
    with provider_running(tmp_path, **(machine.terraform().environment or {})) as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield stack


def test_a_stack_is_deployed_once_rotates_its_keys_and_is_destroyed_without_a_trace(
    machine: Machine, stack: Stack
) -> None:
    layer = Target.host().folder / "layer.sha256"
    layer.unlink()  # so that the layer is built again
    changes: list[str] = []
    assert machine.up(print, changes.append) == stack
    assert not [change for change in changes if change.startswith("Deploying")]
    assert role_that_writes_logs(stack) == "payments-local-api-logs"

    a_roll_out_is_taken_back_when_an_alarm_rings(stack, machine)
    rotated_keys_open_what_came_before(stack, machine)

    tags = {"Project": "payments", "Environment": "local"}
    services = {each.partition(" ")[0] for each in find_leftovers(stack.client, "payments-local", tags)}
    assert services >= {service for service, *_ in RESOURCE_LISTS}
    machine.terraform().destroy("-refresh=false")
    assert find_leftovers(stack.client, "payments-local", tags) == []
    assert len(pending_keys(stack.client, tags)) >= 4
    assert [bucket["Name"] for bucket in stack.client("s3").list_buckets()["Buckets"]] == [STATE_BUCKET]
    assert role_that_writes_logs(stack) is None


def nothing_would_change(terraform: Terraform) -> None:
    """Raises TerraformError, after printing the plan, if an apply would change something."""
    terraform.plan("-detailed-exitcode")


def role_that_writes_logs(stack: Stack) -> str | None:
    """Return the role in API Gateway's account settings."""
    arn: str | None = stack.client("apigateway").get_account().get("cloudwatchRoleArn")
    return arn.rpartition("/")[2] if arn else None


def versions_of_payments(stack: Stack, count: int) -> Counter[str]:
    """Make this many payments and count how many ran on each version of the state machine. All must be captured."""
    driver = Driver(stack)
    payments = [driver.paid() for _ in range(count)]
    assert {payment["status"] for payment in payments} == {"captured"}
    arns = [stack.execution_arn(payment["payment_id"]) for payment in payments]
    executions = map(stack.describe_execution, arns)
    return Counter(execution["stateMachineVersionArn"].rpartition(":")[2] for execution in executions)


def a_roll_out_is_taken_back_when_an_alarm_rings(stack: Stack, machine: Machine) -> None:
    # Nothing has changed since the stack was deployed, so there is nothing to refresh.
    changes = {"TF_VAR_log_level": "WARNING", "TF_CLI_ARGS_apply": "-refresh=false"}
    terraform, cloudwatch = machine.terraform(), stack.client("cloudwatch")
    terraform = replace(terraform, environment={**(terraform.environment or {}), **changes})
    outputs, versions = terraform.outputs(), Counter[str]()
    before, alarm = outputs["live_versions"], outputs["alarm_names"][0]

    def two_are_in_service() -> bool:
        if versions or terraform.outputs()["live_versions"] == before:
            return False
        versions.update(versions_of_payments(stack, 16))
        return True

    firing = FiringCloudWatch(cloudwatch, alarm, two_are_in_service)
    console = Console(file=io.StringIO())
    assert not roll_out(terraform, firing, percent=50, seconds=600, console=console, confirm=False)
    assert set(versions) == {"1", "2"}
    assert terraform.outputs()["live_versions"] == before
    assert set(versions_of_payments(stack, 4)) == {"1"}

    with pytest.raises(StackError, match="an alarm that is already firing"):
        roll_out(terraform, cloudwatch, percent=50, seconds=0, console=console, confirm=False)
    cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="OK", StateReason="Set by a test")


def a_roll_out_that_stays_silent_puts_the_new_versions_in_service(stack: Stack, machine: Machine) -> None:
    terraform, console = machine.terraform(), Console(file=io.StringIO())
    assert roll_out(terraform, stack.client("cloudwatch"), percent=10, seconds=0, console=console, confirm=False)
    assert terraform.outputs()["stable_versions"]["payment"] == "3"
    assert set(versions_of_payments(stack, 4)) == {"3"}
    nothing_would_change(terraform)


def aliases_that_lag_behind_are_moved(stack: Stack, machine: Machine) -> None:
    """In two applies, which take a minute each. So the first also limits the API's callers, as the second does not."""
    terraform, states, messages = machine.terraform(), stack.client("stepfunctions"), list[str]()
    functions, status = stack.client("lambda"), stack.function_name("status")
    deployments = [deployment_of_the_api(stack)]

    class Lagging:
        """Terraform whose first apply limits the API's callers, and leaves two aliases at the previous versions."""

        outputs, client = terraform.outputs, terraform.client

        def apply(self, *arguments: str, show: bool = False) -> None:
            limit = () if messages else ("-var", 'api_callers={ip_ranges=["203.0.113.0/24"]}')
            terraform.apply(*arguments, *limit, show=show)
            assert stack.call("GET", "/keys").status_code == (403 if limit else 200)
            deployments.append(deployment_of_the_api(stack))
            if not messages:
                before = {"stateMachineVersionArn": f"{stack.machine_arn('payment')}:1", "weight": 100}
                alias = stack.live_arn("payment")
                states.update_state_machine_alias(stateMachineAliasArn=alias, routingConfiguration=[before])
                functions.update_alias(FunctionName=status, Name="live", FunctionVersion="1")

    outputs = apply_until_live(Lagging(), messages.append)  # type: ignore[arg-type]
    assert messages == [
        "Applying again, as payments-local-payment, payments-local-status lagged behind the newest version."
    ]
    (newest,) = outputs["live_versions"]["payment"]
    assert set(versions_of_payments(stack, 4)) == {newest["version"]} != {"1"}
    (newest,) = outputs["live_versions"]["status"]
    assert functions.get_alias(FunctionName=status, Name="live")["FunctionVersion"] == newest["version"] != "1"
    assert len(set(deployments)) == 3  # On AWS, a policy takes effect only with a deployment.


def deployment_of_the_api(stack: Stack) -> str:
    """The id of the API's deployment that its stage serves."""
    api_id, stage_name = stack.api_url.split("/")[-2:]
    stage = stack.client("apigateway").get_stage(restApiId=api_id, stageName=stage_name)
    return str(stage["deploymentId"])


def rotated_keys_open_what_came_before(stack: Stack, machine: Machine) -> None:
    driver, terraform = Driver(stack), machine.terraform()
    before, [old_key] = driver.paid(save_card=True), stack.call("GET", "/keys").json()["keys"]
    delayed = new_payment_id()
    sealed_before = seal(CARD_DATA, delayed, old_key)

    assert [rotate(terraform, key) for key in Key] == [["1", "2"], ["1", "2"]]
    a_roll_out_that_stays_silent_puts_the_new_versions_in_service(stack, machine)  # and the new keys
    driver.pay(delayed, card_data=sealed_before, save_card=True)
    after, [new_key] = driver.ended(delayed), stack.call("GET", "/keys").json()["keys"]
    assert after["status"] == "captured"
    assert old_key["kid"] != new_key["kid"]

    # The same card is stored under two fingerprints.
    tokens = [payment["card"]["token"] for payment in (before, after)]
    assert before["card"]["fingerprint"] != after["card"]["fingerprint"]
    assert [stack.call("GET", f"/cards/{token}").json()["last4"] for token in tokens] == ["4242", "4242"]

    assert [rotate(terraform, key, retire=True) for key in Key] == [["2"], ["2"]]
    aliases_that_lag_behind_are_moved(stack, machine)  # which also takes the old keys out of service
    assert charge_stored_card(driver, before["card"])["outcome"] == "captured"
    late, in_time = new_payment_id(), new_payment_id()
    driver.pay(late, card_data=seal(CARD_DATA, late, old_key))
    driver.pay(in_time, card_data=seal(CARD_DATA, in_time, new_key))
    assert driver.ended(late)["error"] == "unknown_sealing_key"
    assert driver.ended(in_time)["card"]["fingerprint"] == after["card"]["fingerprint"]


def charge_stored_card(driver: Driver, card: dict[str, Any]) -> dict[str, Any]:
    """Run the functions Encrypt and Charge for a card that is stored under a token."""
    payment = {"payment_id": new_payment_id(), "card": card}
    request = {"amount_minor": 1999, "currency": "USD", "token": card["token"]}
    encrypted = driver.stack.invoke("encrypt", payment | {"request": request})
    charge_input = {
        "payment": PaymentRequest(1999, "USD").to_dict(),
        "started_at": now(),
        "gateway": "sparkle",
        "three_d_secure": "automatic",
    }
    event = payment | encrypted | charge_input
    charged: dict[str, Any] = driver.stack.invoke("charge", event)
    return charged


def test_a_requested_port_that_is_taken_gets_a_clear_message(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        wanting = replace(machine, ports={DEFAULT_GATEWAY: port})
        with pytest.raises(StackError, match=f"Port {port} is taken"):
            wanting.up(print)


def test_stopping_a_stack_that_is_not_running_is_no_error(machine: Machine) -> None:
    assert machine.down() == []
