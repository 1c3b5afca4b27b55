"""Deploying to AWS."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from tools.cli.frame import StackOption, clear_errors, console, steps
from tools.deployment.build import Architecture, Target, build
from tools.deployment.definitions import write_definitions
from tools.deployment.log_role import keep_other_log_role
from tools.deployment.paths import STACK_FILE
from tools.deployment.rollout import apply_until_live, roll_out
from tools.deployment.rotate import Key
from tools.deployment.rotate import rotate as rotate_key
from tools.deployment.stack import Stack
from tools.deployment.stopping import running_executions, stop_executions
from tools.deployment.terraform import Terraform
from tools.local.machine import Machine
from tools.output import ExitCode, counted, exit_unless, status_line

app = typer.Typer()

_PROGRESS = partial(status_line, console)


@app.command()
def plan(
    environment: Annotated[str, typer.Argument(help="dev, prod or another file in terraform/environments.")],
) -> None:
    """Show what a deployment to AWS would change."""
    with clear_errors(needs_checkout=True):
        _prepared(environment).plan()


@app.command()
def deploy(
    environment: Annotated[str, typer.Argument(help="dev, prod or another file in terraform/environments.")],
    percent: Annotated[
        int | None, typer.Option(min=1, max=99, help="The share of executions that starts on the new versions.")
    ] = None,
    minutes: Annotated[
        float,
        typer.Option(min=0, help="How long the alarms must stay silent before all executions use the new versions."),
    ] = 15,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask for confirmation.")] = False,
    stack: Annotated[
        Path | None, typer.Option(help="The stack file to write; default: build/stack-ENVIRONMENT.json.")
    ] = None,
) -> None:
    """Deploy to AWS, gradually if --percent is given, and write a stack file for other commands."""
    with clear_errors(needs_checkout=True):
        terraform = _prepared(environment)
        keep_other_log_role(terraform, console.print)
        if percent is None:
            apply_until_live(terraform, console.print, confirm=not yes)
        else:
            cloudwatch = terraform.client("cloudwatch", terraform.outputs().get("region"))
            if not roll_out(
                terraform, cloudwatch, percent=percent, seconds=60 * minutes, console=console, confirm=not yes
            ):
                console.print("The previous versions are in service again. See docs/runbook.md for the alarm.")
                raise typer.Exit(ExitCode.FOUND)
        outputs = terraform.outputs()
        file = stack or STACK_FILE.with_name(f"stack-{environment}.json")
        Stack.from_outputs(outputs).save(file)
    console.print(f"Deployed. Try it: make replay STACK={file}", highlight=False)


@app.command()
def destroy(
    environment: Annotated[str, typer.Argument(help="dev, prod or another file in terraform/environments.")],
) -> None:
    """Destroy a deployment on AWS with all its data, after confirmation."""
    with clear_errors(needs_checkout=True):
        terraform = _prepared(environment)
        keep_other_log_role(terraform, console.print, destroying=True)
        terraform.plan("-destroy")
        if running := running_executions(terraform):
            console.print(
                f"{counted(len(running), 'execution')} will be stopped. Each payment among them may have been charged, "
                "and nobody will look after it: see at the gateway what has become of it."
            )
            for arn in running:
                console.print(" ".join(arn.split(":")[6:]), highlight=False)
        typer.confirm("Destroy the deployment with all its data?", abort=True)
        stopped = stop_executions(terraform)
        console.print(f"{counted(stopped, 'execution')} stopped.")
        terraform.destroy()


@app.command()
def accept(
    environment: Annotated[
        str,
        typer.Argument(
            help="local, or the file in terraform/environments whose variables a temporary deployment uses."
        ),
    ],
    only: Annotated[
        list[str] | None, typer.Option(metavar="GROUPS", help="Run only these groups of tests. May be repeated.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the deployment afterwards.")] = False,
    yes: Annotated[
        str | None,
        typer.Option(envvar="YES", metavar="ACCOUNT", help="Confirm the use of this AWS account, for pipelines."),
    ] = None,
    stack: StackOption = STACK_FILE,
) -> None:
    """Test a deployment against everything the product promises, and record every answer (docs/acceptance.md)."""
    with clear_errors(needs_checkout=True):
        from tools.trials.acceptance.command import acceptance  # imported late: its requests are megabytes

        passed = acceptance(
            environment,
            only=" ".join(only or ()).split(),
            keep=keep,
            yes=yes,
            stack_file=stack,
            prepare=_prepared,
            console=console,
        )
    exit_unless(passed)


@app.command()
def rotate(
    key: Annotated[Key, typer.Argument(help="The key: sealing or token.")],
    environment: Annotated[str, typer.Argument(help="local, or a file in terraform/environments.")],
    retire: Annotated[bool, typer.Option("--retire", help="Remove the oldest generation instead.")] = False,
) -> None:
    """Begin a new generation of a key that KMS can't rotate by itself (docs/rotation.md)."""
    with clear_errors(needs_checkout=True):
        local = environment == "local"
        terraform = Machine.from_environment().terraform() if local else _on_aws(environment)
        terraform.init()
        generations = rotate_key(terraform, key, retire=retire)
    console.print(f"{key}_keys is now {json.dumps(generations)} in {terraform.keys_file}", highlight=False)
    if key is Key.SEALING and not retire and len(generations) == 1:
        console.print("This is its first static key. Clients that ask POST /keys need none: docs/rotation.md")
    console.print(f"Deploy it: make {'up' if local else f'deploy ENV={environment}'}", highlight=False)


@app.command()
def validate() -> None:
    """Check that the Terraform is formatted and valid."""
    with clear_errors(needs_checkout=True):
        Terraform("validate", progress=_PROGRESS).check()
    console.print("The Terraform is formatted and valid.")


@app.command()
def definitions() -> None:
    """Write the state machines' definitions as they are deployed, including the shared retries."""
    with clear_errors(needs_checkout=True):
        folder = write_definitions()
    console.print(f"Wrote {folder}", highlight=False)


@app.command(name="build")
def build_packages(
    runtime: Annotated[
        str | None, typer.Option(help="Lambda's runtime, like python3.13; default: this machine's.")
    ] = None,
    architecture: Annotated[
        Architecture | None, typer.Option(help="The instruction set, if a runtime is named; default: arm64.")
    ] = None,
) -> None:
    """Build the functions' zip and their layer."""
    with clear_errors(needs_checkout=True):
        if architecture and not runtime:
            raise typer.BadParameter("Name the runtime too, like --runtime python3.13.")
        target = Target(runtime, architecture or Architecture.ARM64) if runtime else Target.host()
        with steps("Building") as (_, progress):
            folder = build(target, progress)
    console.print(f"Built {folder}", highlight=False)


def _on_aws(environment: str) -> Terraform:
    return replace(Terraform.on_aws(environment), progress=_PROGRESS)


def _prepared(environment: str) -> Terraform:
    """Terraform for an AWS environment, initialised, with the packages built for its runtime and architecture."""
    with steps("Looking for credentials") as (say, progress):
        terraform = _on_aws(environment)
        say(f"AWS account {terraform.account()}")
        say("Initialising Terraform")
        origin = terraform.init()
        target = Target(*terraform.evaluate("[var.lambda_runtime, var.lambda_architecture]"))
        say(f"Building for {target.runtime} on {target.architecture} (AWS provider from {origin})")
        build(target, progress)
    return terraform
