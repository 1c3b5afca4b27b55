"""Terraform's plans and states with AWS mocked. The provider checks every value, and nothing has to run or be built."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.deployment.paths import ROOT, TERRAFORM
from tools.deployment.terraform import environment_of_terraform, find_mirror, forget_hashes

REQUIRED = {
    "environment": "test",
    "gateways": {"sparkle": {"url": "https://sparkle.example"}},
    "lambda_runtime": "python3.13",
    "lambda_architecture": "arm64",
}
_WHOLE = Path("terraform")
_VARIABLES = _WHOLE / "tests" / "variables"
_PROVIDER = """
mock_provider "aws" {
  source = "./tests/aws"
}
"""
_RUN = """
run "{name}" {{
  command = {command}

  variables {{
    {variables}
  }}
}}
"""


@dataclass
class Mocked:
    """Terraform's result for some variables."""

    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Each resource's values by its address. Values that only AWS knows are invented in a state, and null in a plan."""

    errors: list[str] = field(default_factory=list)
    """Why Terraform refused the variables."""

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        return {address: values for address, values in self.resources.items() if address.startswith(f"{kind}.")}


def mocked(folder: Path, cases: Mapping[str, Mapping[str, Any]], command: str = "plan") -> dict[str, Mocked]:
    """The plan of each case: its variables on top of the required ones. Or with `apply` its state, one after the other.

    Terraform works on a copy of the configuration, in an empty folder.
    """
    _copy(folder, "*.tftest.hcl")
    _init(folder)
    return _run(folder, _WHOLE, cases, command, before=_PROVIDER)


def refused(folder: Path, cases: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Why the variables refuse each case, on top of the required ones; nothing, if they don't.

    Terraform reads the variables alone, in a copy in an empty folder: a hundredth of the time that a plan takes.
    """
    _copy(folder, "*.tftest.hcl")
    return {name: result.errors for name, result in _run(folder, _VARIABLES, cases, "plan").items()}


def _run(
    folder: Path, configuration: Path, cases: Mapping[str, Mapping[str, Any]], command: str, before: str = ""
) -> dict[str, Mocked]:
    tests = folder / configuration / "tests"
    tests.mkdir(exist_ok=True)
    results = {f"case_{number}": Mocked() for number in range(len(cases))}
    for name, case in zip(results, cases.values(), strict=True):
        variables = {**REQUIRED, **case}
        _add_empty_packages(folder, variables["lambda_runtime"])
        lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in variables.items())
        test = tests / f"{name if command == 'plan' else 'states'}.tftest.hcl"
        so_far = test.read_text() if test.exists() else before
        test.write_text(so_far + _RUN.format(name=name, command=command, variables=lines))

    for message in _test(folder, configuration, "-verbose"):
        result = results.get(message.get("@testrun", ""))
        match message["type"]:
            case "diagnostic" if result:
                result.errors += _errors(message)
            case "test_plan" if result:
                changes = message["test_plan"].get("resource_changes", [])
                result.resources = {change["address"]: change["change"]["after"] for change in changes}
            case "test_state" if result:
                resources = message["test_state"]["root_module"]["resources"]
                result.resources = {resource["address"]: resource["values"] for resource in resources}
    return dict(zip(cases, results.values(), strict=True))


def own_tests(folder: Path) -> list[dict[str, list[str]]]:
    """Run Terraform's own tests on a copy, in an empty folder: terraform/tests, and the variables' alone.

    Returns for each of the two how its runs ended, by their file and name: in Terraform's word, followed by the errors.
    """
    _copy(folder)
    for runtime in (str(REQUIRED["lambda_runtime"]), "python3.11"):
        _add_empty_packages(folder, runtime)
    _init(folder)
    variables = {f"TF_VAR_{name}": str(REQUIRED[name]) for name in ("lambda_runtime", "lambda_architecture")}
    return [_ends(_test(folder, configuration, **variables)) for configuration in (_WHOLE, _VARIABLES)]


def _ends(messages: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    ends: dict[str, list[str]] = {}
    for message in messages:
        run = f"{message.get('@testfile')}: {message.get('@testrun')}"
        match message["type"]:
            case "test_abstract":
                ends |= {f"{file}: {name}": [] for file, names in message["test_abstract"].items() for name in names}
            case "test_run" if status := message["test_run"].get("status"):
                ends[run].append(status)
            case "diagnostic" if errors := _errors(message):
                ends.setdefault(run, []).extend(errors)
    return ends


def _test(folder: Path, configuration: Path, *options: str, **variables: str) -> Iterator[dict[str, Any]]:
    """What `terraform test` says, message by message, until nothing is left but to destroy what the last file has
    applied. That would take as long as all its runs, and with AWS mocked there is nothing to destroy."""
    left = 0
    with _start(folder, "test", "-json", *options, configuration=configuration, **variables) as process:
        for line in process.stdout or ():
            message = json.loads(line)
            yield message
            left += len(message.get("test_abstract", ()))
            left -= message.get("test_file", {}).get("progress") == "teardown"
            if not left and "test_file" in message:
                process.kill()


def _errors(message: dict[str, Any]) -> list[str]:
    """The error that a diagnostic tells of; nothing, if it is a warning."""
    diagnostic = message["diagnostic"]
    return [f"{diagnostic['summary']}: {diagnostic.get('detail', '')}"] * (diagnostic["severity"] == "error")


def refused_by_provider(folder: Path, configuration: str) -> list[str]:
    """The errors of the AWS provider, at our version, in a configuration. It works in an empty folder."""
    _copy_versions(folder)
    (folder / "terraform" / "main.tf").write_text(configuration)
    _init(folder)
    diagnostics = json.loads(_terraform(folder, "validate", "-json"))["diagnostics"]
    return [
        f"{diagnostic['summary']} {diagnostic.get('detail', '')}"
        for diagnostic in diagnostics
        if diagnostic["severity"] == "error"
    ]


@contextmanager
def provider_running(folder: Path, **variables: str) -> Iterator[dict[str, str]]:
    """Start the AWS provider with these variables, and yield those with which Terraform uses it.

    Without them Terraform starts it several times a run, which takes longer than most runs.
    It works in an empty folder.
    """
    _copy_versions(folder)
    _init(folder)
    [program] = (folder / "data" / "providers").glob("*/hashicorp/aws/*/*/terraform-provider-aws_*")
    command = [str(program), "-debug"]
    environment, output = environment_of_terraform() | variables, subprocess.PIPE
    environment.pop("AWS_CA_BUNDLE", None)  # it would fail to take these certificates a second time, and needs none
    with subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.DEVNULL, text=True) as provider:  # noqa: S603
        try:
            attached = (re.search("(TF_REATTACH_PROVIDERS)='(.*)'", line) for line in provider.stdout or ())
            variable, value = next(filter(None, attached)).groups()
            yield {variable: value}
        finally:
            provider.kill()


def _copy(folder: Path, *without: str) -> None:
    ignored = shutil.ignore_patterns(*without, ".terraform*", "*.tfstate*", "backend.tf")
    shutil.copytree(TERRAFORM, folder / "terraform", ignore=ignored)
    for beside in ("functions", "statemachine"):
        (folder / beside).symlink_to(ROOT / beside)


def _copy_versions(folder: Path) -> None:
    (folder / "terraform").mkdir()
    shutil.copy(TERRAFORM / "versions.tf", folder / "terraform")


def _add_empty_packages(folder: Path, runtime: str) -> None:
    packages = folder / "build" / "packages" / f"{runtime}-{REQUIRED['lambda_architecture']}"
    packages.mkdir(parents=True, exist_ok=True)
    for package in ("functions.zip", "layer.zip"):
        (packages / package).touch()


def _init(folder: Path) -> None:
    plugins = [f"-plugin-dir={mirror}"] if (mirror := find_mirror()) else []
    _terraform(folder, "init", "-backend=false", "-input=false", *plugins)
    forget_hashes(folder / "terraform")


def _terraform(folder: Path, *arguments: str) -> str:
    process = _start(folder, *arguments)
    output, errors = process.communicate()
    if arguments[0] == "init":
        assert process.returncode == 0, errors
    return output


def _start(folder: Path, *arguments: str, configuration: Path = _WHOLE, **variables: str) -> "subprocess.Popen[str]":
    own = {"TF_DATA_DIR": str(folder / "data"), "TF_IN_AUTOMATION": "1"}
    return subprocess.Popen(  # noqa: S603
        ["terraform", f"-chdir={folder / configuration}", *arguments],  # noqa: S607
        env=environment_of_terraform() | own | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
