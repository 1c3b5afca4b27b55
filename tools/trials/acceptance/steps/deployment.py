"""The deployment itself: it is created, rolls back a bad release, and leaves nothing behind when destroyed."""

import io
import re
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import requests
from rich.console import Console

from tools.deployment import polling
from tools.deployment.rollout import firing_alarms, roll_out
from tools.deployment.stack import HTTP_TIMEOUT_SECONDS, Stack
from tools.deployment.stopping import stop_executions
from tools.trials.acceptance.run import Run, Skipped, Step, Unexpected, expect_equal, wait_for

ANSWERS_WITHIN_SECONDS = 120.0
SILENT_WITHIN_SECONDS = 1500.0
"""One alarm fires until the doubts are first counted, and it evaluates ten minutes."""
GONE_WITHIN_SECONDS = 900.0
"""The tagging API lists resources for some time after their deletion."""

RESOURCE_LISTS = (
    ("apigateway", "get_rest_apis", "items", "name"),
    ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    ("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
    ("dynamodb", "list_tables", "TableNames", None),
    ("events", "list_rules", "Rules", "Name"),
    ("iam", "list_roles", "Roles", "RoleName"),
    ("kms", "list_aliases", "Aliases", "AliasName"),
    ("lambda", "list_functions", "Functions", "FunctionName"),
    ("lambda", "list_layers", "Layers", "LayerName"),
    ("logs", "describe_log_groups", "logGroups", "logGroupName"),
    ("secretsmanager", "list_secrets", "SecretList", "Name"),
    ("sns", "list_topics", "Topics", "TopicArn"),
    ("sqs", "list_queues", "QueueUrls", None),
    ("stepfunctions", "list_state_machines", "stateMachines", "name"),
)
"""Where to look for resources with the deployment's name: service, operation, list in the answer, name field."""


def deploy(run: Run) -> None:
    deployment = run.deployment
    deployment.write()
    terraform = deployment.prepare(deployment.name)
    terraform.apply()
    outputs = terraform.outputs()
    if deployment.gateway_key:
        run.recorder.hide(deployment.gateway_key, "<gateway key>")
        secret_arn = outputs["gateway_secret_arns"][deployment.gateway]
        secret = {"SecretId": secret_arn, "SecretString": deployment.gateway_key}
        run.client("secretsmanager", region=outputs["region"]).put_secret_value(**secret)
    gateway = outputs["gateways"][deployment.gateway]
    if is_sandbox(gateway["url"]):
        gateway |= {"api_key": deployment.gateway_key, "sandbox": True}
    # All payments go to this one.
    run.stack = Stack.from_outputs(outputs, gateways={deployment.gateway: gateway})


def is_sandbox(gateway_url: str) -> bool:
    try:
        return requests.get(f"{gateway_url}/sandbox/health", timeout=HTTP_TIMEOUT_SECONDS).ok
    except requests.RequestException:
        return False


def answers(run: Run) -> None:
    def answered() -> bool:
        try:
            return run.call("GET", "/keys").status == 200
        except httpx.TransportError:  # a new host name takes time to propagate
            return False

    wait_for("an answer of GET /keys", answered, timeout_seconds=ANSWERS_WITHIN_SECONDS)


class FiringCloudWatch:
    """A CloudWatch client that sets an alarm off as soon as two versions are in service."""

    def __init__(self, cloudwatch: Any, alarm: str, two_are_in_service: Callable[[], bool]) -> None:
        self._cloudwatch = cloudwatch
        self._alarm = alarm
        self._two_are_in_service = two_are_in_service

    def get_paginator(self, operation: str) -> Any:
        if self._two_are_in_service():
            self._cloudwatch.set_alarm_state(
                AlarmName=self._alarm, StateValue="ALARM", StateReason="An acceptance takes a roll-out back"
            )
        return self._cloudwatch.get_paginator(operation)


def roll_out_taken_back(run: Run) -> None:
    deployment, cloudwatch = run.deployment, run.client("cloudwatch")
    terraform = deployment.terraform
    before = terraform.outputs()
    alarms = before["alarm_names"]

    def silent() -> bool:
        return not firing_alarms(cloudwatch, alarms)

    wait_for("silence of the alarms", silent, timeout_seconds=SILENT_WITHIN_SECONDS)
    deployment.write(log_level="WARNING")  # publishes new versions
    firing = FiringCloudWatch(
        cloudwatch, alarms[0], lambda: terraform.outputs()["live_versions"] != before["live_versions"]
    )
    quiet = Console(file=io.StringIO())
    in_service = roll_out(terraform, firing, percent=50, seconds=600, console=quiet, confirm=False)
    expect_equal("whether the new versions stayed", in_service, False)
    expect_equal("the versions in service", terraform.outputs()["live_versions"], before["live_versions"])


def destroy(run: Run) -> None:
    deployment = run.deployment
    if run.keeps_deployment:
        raise Skipped(f"KEEP=1. It costs until it is destroyed: make destroy ENV={deployment.name}")
    if not deployment.is_written:
        raise Skipped("Nothing is deployed.")
    stop_executions(deployment.terraform)
    deployment.terraform.destroy()
    leftovers = polling.wait_for(
        lambda: find_leftovers(run.client, deployment.prefix, deployment.tags),
        GONE_WITHIN_SECONDS,
        pause_seconds=30,
        until=lambda leftovers: not leftovers,
    )
    if leftovers:
        raise Unexpected(f"this is left: {', '.join(leftovers)}")
    days, keys = deployment.variables["kms_deletion_window_days"], pending_keys(run.client, deployment.tags)
    run.notes.append(f"Left, as planned: keys that KMS deletes in {days} days, free until then: {', '.join(keys)}")
    deployment.delete_workspace()


def find_leftovers(client: Callable[[str], Any], prefix: str, tags: Mapping[str, str]) -> list[str]:
    """List all resources with the deployment's name or tags, except KMS keys pending deletion."""
    found = []
    for service, operation, list_name, name in RESOURCE_LISTS:
        for page in client(service).get_paginator(operation).paginate():
            names = (each[name] if name else each for each in page.get(list_name, ()))
            found += [f"{service} {each}" for each in names if re.search(rf"\b{prefix}(?![a-z0-9])", each)]
    pending = pending_keys(client, tags)
    return found + [arn for arn in tagged(client, tags) if arn not in pending]


def pending_keys(client: Callable[[str], Any], tags: Mapping[str, str]) -> list[str]:
    keys = [arn for arn in tagged(client, tags) if arn.split(":")[2] == "kms"]
    kms = client("kms")
    return [arn for arn in keys if kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] == "PendingDeletion"]


def tagged(client: Callable[[str], Any], tags: Mapping[str, str]) -> list[str]:
    filters = [{"Key": name, "Values": [value]} for name, value in tags.items()]
    pages = client("resourcegroupstaggingapi").get_paginator("get_resources").paginate(TagFilters=filters)
    return [resource["ResourceARN"] for page in pages for resource in page["ResourceTagMappingList"]]


BEFORE = [
    Step("deployment", "it is deployed", deploy),
    Step("deployment", "it answers", answers),
]
ROLL_OUT = [Step("roll-out", "a roll-out is taken back when an alarm rings", roll_out_taken_back)]
AFTER = [Step("destroy", "it is destroyed, and nothing is left", destroy, always=True)]
