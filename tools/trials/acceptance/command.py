"""The command behind `make acceptance`."""

import os
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from rich.console import Console

from tools.deployment.paths import BUILD
from tools.deployment.stack import Stack, StackError
from tools.deployment.terraform import Terraform
from tools.trials.acceptance.deployment import chosen_gateway, guarded_deployment, variables_of
from tools.trials.acceptance.recorder import Recorder
from tools.trials.acceptance.run import Run
from tools.trials.acceptance.runner import (
    GROUPS,
    MANDATORY_GROUPS,
    STEPS,
    Outcome,
    run_steps,
    show,
    write_json,
    write_junit,
)


def acceptance(
    environment: str,
    *,
    only: Collection[str],
    keep: bool,
    yes: str | None,
    stack_file: Path,
    prepare: Callable[[str], Terraform],
    console: Console,
) -> bool:
    """Run the steps, show the results and write them to files. Return whether no step failed.

    `only` names groups of steps; if it is empty, all steps run. Raises StackError, before anything is created, if no
    environment may be created.
    """
    if unknown := set(only) - set(GROUPS):
        raise StackError(f"{', '.join(sorted(unknown))} is not one of {', '.join(GROUPS)}.")
    recorder = Recorder(BUILD / "acceptance" / f"{environment}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    if environment == "local":
        stack = Stack.load(stack_file)
        session = boto3.Session(stack.access_key_id, stack.secret_access_key, region_name=stack.region)
        for sandbox in stack.sandboxes.values():
            recorder.hide(sandbox.api_key, "<gateway key>")
        run = Run(environment, recorder, session, stack=stack)
    else:
        variables, gateway_key = variables_of(environment, console), os.environ.get("GATEWAY_API_KEY")
        gateway = chosen_gateway(variables, os.environ.get("GATEWAY"))
        # The variable that Terraform reads; boto3 by default reads another one.
        session = boto3.Session(region_name=variables["region"] or os.environ.get("AWS_REGION"))
        hide_identity(recorder, session)

        def client(service: str) -> Any:
            return session.client(service)  # type: ignore[call-overload]

        deployment = guarded_deployment(
            environment,
            variables,
            client,
            yes=yes,
            gateway=gateway,
            gateway_key=gateway_key,
            prepare=prepare,
            console=console,
        )
        recorder.hide(gateway_key, "<gateway key>")
        run = Run(environment, recorder, session, deployment=deployment, keeps_deployment=keep)
    frozen = run.credentials.get_frozen_credentials()
    for secret in (frozen.secret_key, frozen.token):
        recorder.hide(secret, "<secret>")
    try:
        groups = {*only, *MANDATORY_GROUPS} if only else GROUPS
        results = run_steps(run, [step for step in STEPS if step.group in groups], console)
    finally:
        run.close()
    show(results, run.notes, console)
    write_json(run, results, recorder.folder / "summary.json")
    write_junit(results, recorder.folder / "summary.xml")
    console.print(f"The raw answers, and a summary: {recorder.folder}", highlight=False, soft_wrap=True)
    return all(result.outcome is not Outcome.FAILED for result in results)


def hide_identity(recorder: Recorder, session: boto3.Session) -> None:
    """Make the recorder replace the account and the caller by AWS's example values."""
    identity = session.client("sts").get_caller_identity()
    recorder.hide(identity["Account"], "111122223333")
    recorder.hide(identity["Arn"], "arn:aws:iam::111122223333:user/somebody")
    recorder.hide(identity["UserId"], "AIDACKCEVSQ6C2EXAMPLE")
