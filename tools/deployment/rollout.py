"""Deploy completely, or gradually: a share of new work runs the new versions, and an alarm takes them back.

A gradual deployment sets Terraform's variable `rollout`, so that the state always says which versions are in service.
docs/upgrading.md has the details.
"""

import json
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TimeRemainingColumn

from tools.deployment.polling import wait_for
from tools.deployment.stack import StackError
from tools.deployment.terraform import Terraform
from tools.output import counted, progress

POLL_SECONDS = 5.0
MAX_APPLIES = 3
MAX_NAMES = 100  # of DescribeAlarms (CloudWatch API reference)


def apply_until_live(
    terraform: Terraform, say: Callable[[str], object], *arguments: str, confirm: bool = False
) -> dict[str, Any]:
    """Apply, and apply again while AWS has a newer version than Terraform saw, or an alias shares otherwise.

    An update publishes versions, but a read right after it may return the versions before. Then an alias, or the
    definition that names a function's version, lags behind until the next apply. `confirm` asks before the first
    change. Returns the outputs. Raises StackError if something still lags after `MAX_APPLIES`.
    """
    for attempt in range(1, MAX_APPLIES + 1):
        terraform.apply(*arguments, show=confirm and attempt == 1)
        outputs = terraform.outputs()
        lagging = _lagging(terraform, outputs)
        if not lagging:
            return outputs
        if attempt < MAX_APPLIES:
            say(f"Applying again, as {', '.join(lagging)} lagged behind the newest version.")
    raise StackError(f"{', '.join(lagging)} still lags behind the newest version after {MAX_APPLIES} applies.")


def _lagging(terraform: Terraform, outputs: dict[str, Any]) -> list[str]:
    """The functions and state machines, with their aliases, that differ from the outputs."""
    functions, states = (terraform.client(service, outputs["region"]) for service in ("lambda", "stepfunctions"))

    def newest(arn: str) -> int:
        if ":stateMachine:" in arn:  # Step Functions lists the newest first
            version = states.list_state_machine_versions(stateMachineArn=arn, maxResults=1)["stateMachineVersions"][0]
            return int(version["stateMachineVersionArn"].rpartition(":")[2])
        pages = functions.get_paginator("list_versions_by_function").paginate(FunctionName=arn)
        versions = [version["Version"] for page in pages for version in page["Versions"]]
        return max(int(version) for version in versions if version != "$LATEST")

    def shares(arn: str) -> dict[str, int]:
        """The percentage of each version."""
        if ":stateMachine:" in arn:
            routes = states.describe_state_machine_alias(stateMachineAliasArn=arn)["routingConfiguration"]
            return {route["stateMachineVersionArn"].rpartition(":")[2]: route["weight"] for route in routes}
        function, _, name = arn.rpartition(":")
        alias = functions.get_alias(FunctionName=function, Name=name)
        weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        others = {version: round(100 * weight) for version, weight in weights.items()}
        return {alias["FunctionVersion"]: 100 - sum(others.values()), **others}

    lagging = set()
    for version_arn in outputs["newest_version_arns"]:
        arn, _, version = version_arn.rpartition(":")
        if newest(arn) != int(version):
            lagging.add(arn.rpartition(":")[2])
    for name, arn in outputs["live_alias_arns"].items():
        if shares(arn) != {share["version"]: share["percent"] for share in outputs["live_versions"][name]}:
            lagging.add(arn.split(":")[6])
    return sorted(lagging)


def roll_out(
    terraform: Terraform,
    cloudwatch: Any,
    *,
    percent: int,
    seconds: float,
    console: Console,
    confirm: bool = True,
) -> bool:
    """Send `percent` of new work to the newest versions for `seconds`, then all of it, or none if an alarm fires.

    `confirm` asks before the first change. If the wait is interrupted, by Ctrl-C for instance, the new versions are
    taken back. Returns whether they are in service. Raises StackError if there is no version to go back to, or an alarm
    fires already.
    """
    before = terraform.outputs()
    if "stable_versions" not in before:
        raise StackError("Nothing is in service yet: deploy without PERCENT first.")
    _require_no_firing_alarms(cloudwatch, before["alarm_names"])
    stable_versions = before["stable_versions"]

    def apply_rollout(rollout: dict[str, Any] | None, *, confirm: bool = False) -> dict[str, Any]:
        return apply_until_live(terraform, console.print, f"-var=rollout={json.dumps(rollout)}", confirm=confirm)

    after = apply_rollout({"percent": percent, "from": stable_versions}, confirm=confirm)
    changed = sorted(name for name, shares in after["live_versions"].items() if len(shares) > 1)
    if changed:
        console.print(f"{percent} % of executions use the new {', '.join(changed)}.", highlight=False)
        firing = ["an interruption"]
        try:
            firing = _watch_alarms(cloudwatch, after["alarm_names"], seconds, console)
        finally:
            if firing:
                console.print(f"[red]Taking the new versions back[/red]: {escape(', '.join(firing))}.")
                apply_rollout({"percent": 0, "from": stable_versions})
        if firing:
            return False
    apply_rollout(None)
    return True


def firing_alarms(cloudwatch: Any, names: list[str]) -> list[str]:
    """Which of these alarms are firing."""
    paginator = cloudwatch.get_paginator("describe_alarms")
    return sorted(
        alarm["AlarmName"]
        for first in range(0, len(names), MAX_NAMES)
        for page in paginator.paginate(AlarmNames=names[first : first + MAX_NAMES], StateValue="ALARM")
        for alarm in page["MetricAlarms"]
    )


def _require_no_firing_alarms(cloudwatch: Any, names: list[str]) -> None:
    if firing := firing_alarms(cloudwatch, names):
        raise StackError(
            f"{', '.join(firing)}: an alarm that is already firing can't judge the new versions. "
            "Wait until it is over, or deploy all at once, without PERCENT."
        )


def _watch_alarms(cloudwatch: Any, names: list[str], seconds: float, console: Console) -> list[str]:
    """Wait, and return the firing alarms as soon as one fires; an empty list when the time is over."""
    with progress(console, BarColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task(f"Watching {counted(len(names), 'alarm')}", total=seconds)
        start = time.monotonic()

        def firing() -> list[str]:
            bar.update(task, completed=time.monotonic() - start)
            return firing_alarms(cloudwatch, names)

        return wait_for(firing, seconds, POLL_SECONDS)
