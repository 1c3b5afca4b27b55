"""Deploying to AWS."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer

from tools.cli.frame import StackOption, clear_errors, console, steps
from tools.deployment.build import Architecture, Target, build
from tools.deployment.definitions import write_definitions
from tools.deployment.log_role import respect_log_role
from tools.deployment.paths import STACK_FILE
from tools.deployment.rollout import apply_until_live, roll_out
from tools.deployment.rotate import Key
from tools.deployment.rotate import rotate as rotate_key
from tools.deployment.stack import Stack
from tools.deployment.terraform import Terraform
from tools.local.machine import Machine
from tools.output import exit_unless

app = typer.Typer()


@app.command()
def plan(environment: Annotated[str, typer.Argument(help="dev or prod: a file in terraform/environments")]) -> None:
    """Show what a deployment to AWS would change."""
    with clear_errors(needs_checkout=True):
        _prepared(environment).plan()


@app.command()
def deploy(
    environment: Annotated[str, typer.Argument(help="dev or prod: a file in terraform/environments")],
    percent: Annotated[
        int | None, typer.Option(min=1, max=99, help="Of what is started, how much the new versions get at first.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0, help="How long the alarms must be silent before they get all.")] = 15,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask before the first change.")] = False,
    stack: Annotated[Path | None, typer.Option(help="Where to write the stack file.")] = None,
) -> None:
    """Deploy to AWS, in steps if asked for, and write a stack file for replay and the like."""
    with clear_errors(needs_checkout=True):
        terraform = _prepared(environment)
        respect_log_role(terraform, console.print)
        if percent is None:
            apply_until_live(terraform, console.print, ask=not yes)
        else:
            cloudwatch = terraform.client("cloudwatch", terraform.outputs().get("region"))
            if not roll_out(
                terraform, cloudwatch, percent=percent, seconds=60 * minutes, console=console, approve=not yes
            ):
                console.print("The versions from before are in service. See docs/runbook.md for the alarm.")
                raise typer.Exit(1)
        outputs = terraform.outputs()
        file = stack or STACK_FILE.with_name(f"stack-{environment}.json")
        Stack(**{field.name: outputs[field.name] for field in fields(Stack) if field.name in outputs}).save(file)
    console.print(f"Deployed. Try it: make replay STACK={file}", highlight=False)


@app.command()
def destroy(environment: Annotated[str, typer.Argument(help="dev or prod: a file in terraform/environments")]) -> None:
    """Take a deployment to AWS down, with all that it holds. Asks before it does."""
    with clear_errors(needs_checkout=True):
        terraform = _prepared(environment)
        respect_log_role(terraform, console.print, destroying=True)
        terraform.destroy(show=True)


@app.command()
def accept(
    environment: Annotated[
        str, typer.Argument(help="local, or a file in terraform/environments by whose variables one is made for this.")
    ],
    only: Annotated[
        list[str] | None, typer.Option(metavar="GROUPS", help="Ask these groups of questions only. May be repeated.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave what was deployed.")] = False,
    yes: Annotated[
        str | None, typer.Option(envvar="YES", metavar="ACCOUNT", help="Yes to this AWS account, for pipelines.")
    ] = None,
    stack: StackOption = STACK_FILE,
) -> None:
    """Ask a deployment everything that the product says of itself, and keep every raw answer (docs/acceptance.md)."""
    with clear_errors(needs_checkout=True):
        from tools.trials.acceptance.command import acceptance  # only now: its requests are megabytes

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
    key: Annotated[Key, typer.Argument(help="Which key: sealing or token.")],
    environment: Annotated[str, typer.Argument(help="local, or a file in terraform/environments")],
    retire: Annotated[bool, typer.Option("--retire", help="Take the oldest generation away instead.")] = False,
) -> None:
    """Begin a new generation of a key that KMS can't rotate by itself (docs/rotation.md)."""
    with clear_errors(needs_checkout=True):
        local = environment == "local"
        terraform = Machine.from_environment().terraform() if local else Terraform.on_aws(environment)
        terraform.init()
        generations = rotate_key(terraform, key, retire=retire)
    console.print(f"{key}_keys is now {json.dumps(generations)} in {terraform.keys_file}", highlight=False)
    console.print(f"Deploy it: make {'up' if local else f'deploy ENV={environment}'}", highlight=False)


@app.command()
def validate() -> None:
    """Check that the Terraform is formatted and valid."""
    with clear_errors(needs_checkout=True):
        Terraform("validate").check()
    console.print("The Terraform is formatted and valid.")


@app.command()
def definitions() -> None:
    """Write the state machines' definitions as they are deployed, with the retries that all states share."""
    with clear_errors(needs_checkout=True):
        folder = write_definitions()
    console.print(f"Wrote {folder}", highlight=False)


@app.command(name="build")
def build_packages(
    runtime: Annotated[str | None, typer.Option(help="python3.13, for instance; this machine's without one.")] = None,
    architecture: Annotated[
        Architecture | None, typer.Option(help="arm64 without one, where a runtime is named.")
    ] = None,
) -> None:
    """Build what Lambda runs: the functions' zip and their layer."""
    with clear_errors(needs_checkout=True):
        if architecture and not runtime:
            raise typer.BadParameter("Name the runtime too, like --runtime python3.13.")
        target = Target(runtime, architecture or Architecture.ARM64) if runtime else Target.host()
        with steps("Building") as (_, progress):
            folder = build(target, progress)
    console.print(f"Built {folder}", highlight=False)


def _prepared(environment: str) -> Terraform:
    """Terraform for an AWS environment, initialised, with the packages built that its variables name."""
    with steps("Looking for credentials") as (say, progress):
        terraform = Terraform.on_aws(environment, progress)
        say(f"AWS account {terraform.account()}")
        say(f"Initialising Terraform (AWS provider from {terraform.init()})")
        target = Target(*terraform.evaluate("[var.lambda_runtime, var.lambda_architecture]"))
        say(f"Building for {target.runtime} on {target.architecture}")
        build(target, progress)
    return terraform
