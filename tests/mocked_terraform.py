"""Terraform's plans and states with AWS mocked. The provider checks every value, and nothing has to run or be built."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
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

    for line in _terraform(folder, "test", "-json", "-verbose", configuration=configuration).splitlines():
        message = json.loads(line)
        result = results.get(message.get("@testrun", ""))
        match message["type"]:
            case "diagnostic" if result and message["diagnostic"]["severity"] == "error":
                diagnostic = message["diagnostic"]
                result.errors.append(f"{diagnostic['summary']}: {diagnostic.get('detail', '')}")
            case "test_plan" if result:
                changes = message["test_plan"].get("resource_changes", [])
                result.resources = {change["address"]: change["change"]["after"] for change in changes}
            case "test_state" if result:
                resources = message["test_state"]["root_module"]["resources"]
                result.resources = {resource["address"]: resource["values"] for resource in resources}
    return dict(zip(cases, results.values(), strict=True))


def own_tests(folder: Path) -> list[str]:
    """Run Terraform's own tests on a copy, in an empty folder. Returns the outputs: of terraform/tests, and of the
    variables' alone."""
    _copy(folder)
    for runtime in (str(REQUIRED["lambda_runtime"]), "python3.11"):
        _add_empty_packages(folder, runtime)
    _init(folder)
    variables = {f"TF_VAR_{name}": str(REQUIRED[name]) for name in ("lambda_runtime", "lambda_architecture")}
    return [
        _terraform(folder, "test", "-no-color", configuration=configuration, **variables)
        for configuration in (_WHOLE, _VARIABLES)
    ]


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


def _terraform(folder: Path, *arguments: str, configuration: Path = _WHOLE, **variables: str) -> str:
    own = {"TF_DATA_DIR": str(folder / "data"), "TF_IN_AUTOMATION": "1"}
    process = subprocess.run(  # noqa: S603
        ["terraform", f"-chdir={folder / configuration}", *arguments],  # noqa: S607
        env=environment_of_terraform() | own | variables,
        capture_output=True,
        text=True,
    )
    if arguments[0] == "init":
        assert process.returncode == 0, process.stderr
    return process.stdout
