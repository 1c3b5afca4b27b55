"""Stopping what is under way, before a deployment is destroyed.

Step Functions deletes a state machine only once none of its executions runs, and an execution that waits runs for up to
a day. Terraform gives up after five minutes (tests/aws_facts/state_machine_deletion.yaml).
"""

from typing import Any

from tools.deployment.polling import wait_for
from tools.deployment.terraform import Terraform

STILL_WITHIN_SECONDS = 60.0
"""A rule may start executions for some moments after it was disabled (DisableRule, EventBridge API reference)."""


def running_executions(terraform: Terraform) -> list[str]:
    """The ARNs of the executions that are under way. Those of express machines end soon, and can't be stopped."""
    return [
        execution["executionArn"]
        for machine in terraform.deployed("aws_sfn_state_machine").values()
        if machine["type"] == "STANDARD"
        for page in _client(terraform, "stepfunctions", machine["arn"])
        .get_paginator("list_executions")
        .paginate(stateMachineArn=machine["arn"], statusFilter="RUNNING")
        for execution in page["executions"]
    ]


def stop_executions(terraform: Terraform) -> int:
    """Disable the rules that start executions, and stop those that are under way. Returns how many were stopped.

    The next deployment enables the rules again.
    """
    for rule in terraform.deployed("aws_cloudwatch_event_rule").values():
        if rule["event_bus_name"] == "default":  # webhooks' rules start nothing
            _client(terraform, "events", rule["arn"]).disable_rule(Name=rule["name"])
    stopped: set[str] = set()

    def stop_all() -> list[str]:
        running = running_executions(terraform)
        for arn in {*running} - stopped:
            _client(terraform, "stepfunctions", arn).stop_execution(executionArn=arn)
            stopped.add(arn)
        return running

    wait_for(stop_all, STILL_WITHIN_SECONDS, pause_seconds=5, until=lambda running: not running)
    return len(stopped)


def _client(terraform: Terraform, service: str, arn: str) -> Any:
    return terraform.client(service, arn.split(":")[3])
