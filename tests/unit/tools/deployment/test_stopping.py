"""Before a deployment is destroyed, what is under way is stopped, and the user is told what that means."""

import json
from dataclasses import dataclass, field
from typing import Any

import boto3
import moto
import pytest
from typer.testing import CliRunner

from tests.aws_facts import facts
from tools.cli import deployment
from tools.cli.__main__ import app
from tools.deployment.stopping import running_executions, stop_executions
from tools.deployment.terraform import TerraformError

FACTS = facts("state_machine_deletion")
REGION = "eu-west-1"
DEFINITION = json.dumps({"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 86400, "End": True}}})
PATTERN = json.dumps({"source": ["payments"]})


@dataclass
class FakeTerraform:
    """Terraform in an account in this process (moto), with two machines, and rules on two buses.

    It fails to destroy them where Step Functions would wait, or a rule would still start executions.
    """

    resources: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        states, events = self.client("stepfunctions"), self.client("events")
        events.create_event_bus(Name="events")
        for bus in ("default", "events"):
            events.put_rule(Name=f"rule-on-{bus}", EventBusName=bus, EventPattern=PATTERN)
        self.resources["aws_cloudwatch_event_rule"] = [
            {"event_bus_name": bus, "name": f"rule-on-{bus}", "arn": f"arn:aws:events:{REGION}:123456789012:rule/x"}
            for bus in ("default", "events")
        ]
        self.resources["aws_sfn_state_machine"] = [
            {
                "arn": states.create_state_machine(
                    name=f"payments-test-{name}",
                    type=kind,
                    definition=DEFINITION,
                    roleArn="arn:aws:iam::123456789012:role/x",
                )["stateMachineArn"],
                "type": kind,
            }
            for name, kind in {"payment": "STANDARD", "store_card": FACTS["unless_the_machine_is"]}.items()
        ]

    def client(self, service: str, region: str = REGION) -> Any:
        return boto3.client(service, region_name=region)  # type: ignore[call-overload]

    def deployed(self, type: str) -> dict[str, dict[str, Any]]:
        return {f"{type}.{n}": values for n, values in enumerate(self.resources[type])}

    def start(self, name: str) -> str:
        machine = self.resources["aws_sfn_state_machine"][0]["arn"]
        arn: str = self.client("stepfunctions").start_execution(stateMachineArn=machine, name=name)["executionArn"]
        return arn

    def rule_states(self) -> list[str]:
        events = self.client("events")
        rules = self.resources["aws_cloudwatch_event_rule"]
        return [events.describe_rule(Name=r["name"], EventBusName=r["event_bus_name"])["State"] for r in rules]

    def plan(self, *arguments: str) -> None:
        self.done.append(f"plan {' '.join(arguments)}")

    def destroy(self) -> None:
        states, machine = self.client("stepfunctions"), self.resources["aws_sfn_state_machine"][0]["arn"]
        status = FACTS["waits_for_executions_that_are"]
        if states.list_executions(stateMachineArn=machine, statusFilter=status)["executions"]:
            raise TerraformError("timeout while waiting for resource to be gone")
        assert self.rule_states()[0] == "DISABLED"
        self.done.append("destroy")


@pytest.fixture
def terraform(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with moto.mock_aws():
        fake = FakeTerraform()
        monkeypatch.setattr(deployment, "_prepared", lambda environment: fake)
        monkeypatch.setattr(deployment, "keep_other_log_role", lambda *arguments, **options: None)
        yield fake


def test_everything_that_is_under_way_is_stopped_and_nothing_is_started_any_more(terraform: Any) -> None:
    arns = {terraform.start("one"), terraform.start("two")}
    assert {*running_executions(terraform)} == arns
    assert stop_executions(terraform) == 2
    assert running_executions(terraform) == []
    assert terraform.rule_states() == ["DISABLED", "ENABLED"]
    assert stop_executions(terraform) == 0


def test_what_a_rule_has_started_late_is_stopped_too(terraform: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    terraform.start("payment")
    late = iter(["resolve"])
    monkeypatch.setattr(
        "tools.deployment.polling.time.sleep",
        lambda seconds: terraform.start(name) if (name := next(late, "")) else None,
    )
    assert stop_executions(terraform) == 2
    assert running_executions(terraform) == []


def test_who_destroys_is_shown_what_is_under_way_before_it_is_stopped(terraform: Any) -> None:
    terraform.start("order-1001")
    refused = CliRunner().invoke(app, ["destroy", "dev"], input="n\n")
    assert refused.exit_code == 1
    assert "1 execution will be stopped. Each payment among them may have been charged" in refused.output
    assert "payments-test-payment order-1001" in refused.output
    assert terraform.done == ["plan -destroy"]
    assert len(running_executions(terraform)) == 1
    assert terraform.rule_states() == ["ENABLED", "ENABLED"]

    done = CliRunner().invoke(app, ["destroy", "dev"], input="y\n")
    assert (done.exit_code, terraform.done[1:]) == (0, ["plan -destroy", "destroy"])
    assert "1 execution stopped." in done.output


def test_where_nothing_is_under_way_nothing_is_said_of_payments(terraform: Any) -> None:
    done = CliRunner().invoke(app, ["destroy", "dev"], input="y\n")
    assert (done.exit_code, terraform.done) == (0, ["plan -destroy", "destroy"])
    assert "charged" not in done.output
