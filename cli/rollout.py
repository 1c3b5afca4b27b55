"""A deployment in steps: a share of what is started runs the new versions, and if an alarm rings, they are taken back.

Terraform's variable `rollout` does it, so that the state always says what is in service. docs/deploying.md tells more.
"""

import json
import time
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from cli.stack import StackError
from cli.terraform import Terraform

LOOK_AGAIN_SECONDS = 5.0


def roll_out(
    terraform: Terraform,
    cloudwatch: Any,
    *,
    percent: int,
    seconds: float,
    console: Console,
    approve: bool = True,
) -> bool:
    """Let the newest versions have `percent` of what is started for `seconds`, then all, or none if an alarm rings.

    `approve` asks before the first change. Whatever else ends the wait, Ctrl-C too, takes the new versions back.
    Returns whether they are in service. Raises StackError when there is nothing to keep, or an alarm rings already.
    """
    before = terraform.outputs()
    if "stable_versions" not in before:
        raise StackError("Nothing is in service yet that could be kept: deploy without PERCENT.")
    _refuse_while_ringing(cloudwatch, before["alarm_names"])
    kept = before["stable_versions"]
    _shift(terraform, {"percent": percent, "from": kept}, ask=approve)
    after = terraform.outputs()
    changed = sorted(name for name, shares in after["live_versions"].items() if len(shares) > 1)
    if changed:
        console.print(f"{percent} % of what is started runs the new {', '.join(changed)}.", highlight=False)
        ringing = ["an interruption"]
        try:
            ringing = _watch(cloudwatch, after["alarm_names"], seconds, console)
        finally:
            if ringing:
                console.print(f"[red]Taking the new versions back[/red], because of {escape(', '.join(ringing))}.")
                _shift(terraform, {"percent": 0, "from": kept})
        if ringing:
            return False
    _shift(terraform, None)
    return True


def _shift(terraform: Terraform, rollout: dict[str, Any] | None, *, ask: bool = False) -> None:
    terraform.apply(f"-var=rollout={json.dumps(rollout)}", show=ask)


def _ringing(cloudwatch: Any, names: list[str]) -> list[str]:
    pages = cloudwatch.get_paginator("describe_alarms").paginate(AlarmNames=names, StateValue="ALARM")
    return sorted(alarm["AlarmName"] for page in pages for alarm in page["MetricAlarms"])


def _refuse_while_ringing(cloudwatch: Any, names: list[str]) -> None:
    if ringing := _ringing(cloudwatch, names):
        raise StackError(
            f"{', '.join(ringing)}: what rings already can't tell whether the new versions are good. "
            "Wait until it is over, or deploy all at once, without PERCENT."
        )


def _watch(cloudwatch: Any, names: list[str], seconds: float, console: Console) -> list[str]:
    """The alarms that ring, as soon as one does; none when the time is over."""
    columns = (TextColumn("Watching {task.fields[alarms]} alarms"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=seconds, alarms=len(names))
        start = time.monotonic()
        while True:
            if ringing := _ringing(cloudwatch, names):
                return ringing
            passed = time.monotonic() - start
            if passed >= seconds:
                return []
            progress.update(task, completed=passed)
            time.sleep(min(LOOK_AGAIN_SECONDS, seconds - passed))
