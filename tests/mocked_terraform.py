"""Terraform's plans and states with AWS mocked. The provider checks every value, and nothing has to run or be built."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.deployment.paths import ROOT, TERRAFORM
from tools.deployment.terraform import LESS_GARBAGE_COLLECTION, find_mirror

REQUIRED = {
    "environment": "test",
    "gateway_url": "https://sparkle.example",
    "lambda_runtime": "python3.13",
    "lambda_architecture": "arm64",
}
_TEST = """
mock_provider "aws" {{
  source = "./tests/aws"
}}

run "it" {{
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
    """The plan, or after `apply` the state, of each case: its variables on top of the required ones.

    Terraform works on a copy of the configuration, in an empty folder.
    """
    shutil.copytree(
        TERRAFORM,
        folder / "terraform",
        ignore=shutil.ignore_patterns("*.tftest.hcl", ".terraform*", "*.tfstate*", "backend.tf"),
    )
    for beside in ("functions", "statemachine"):
        (folder / beside).symlink_to(ROOT / beside)
    for name, case in cases.items():
        variables = {**REQUIRED, **case}
        packages = folder / "build" / "packages" / f"{variables['lambda_runtime']}-{variables['lambda_architecture']}"
        packages.mkdir(parents=True, exist_ok=True)
        for package in ("functions.zip", "layer.zip"):
            (packages / package).touch()
        lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in variables.items())
        test = folder / "terraform" / "tests" / f"{name}.tftest.hcl"
        test.write_text(_TEST.format(command=command, variables=lines))

    _init(folder)
    found = {name: Mocked() for name in cases}
    for line in _terraform(folder, "test", "-json", "-verbose").splitlines():
        message = json.loads(line)
        result = found.get(Path(message.get("@testfile", "")).name.removesuffix(".tftest.hcl"))
        match message["type"]:
            case "diagnostic" if result and message["diagnostic"]["severity"] == "error":
                diagnostic = message["diagnostic"]
                result.errors.append(f"{diagnostic['summary']}: {diagnostic.get('detail', '')}")
            case "test_plan" if result:
                changes = message["test_plan"]["resource_changes"]
                result.resources = {change["address"]: change["change"]["after"] for change in changes}
            case "test_state" if result:
                resources = message["test_state"]["root_module"]["resources"]
                result.resources = {resource["address"]: resource["values"] for resource in resources}
    return found


def refused_by_provider(folder: Path, configuration: str) -> list[str]:
    """The errors of the AWS provider, at our version, in a configuration. It works in an empty folder."""
    (folder / "terraform").mkdir()
    shutil.copy(TERRAFORM / "versions.tf", folder / "terraform")
    (folder / "terraform" / "main.tf").write_text(configuration)
    _init(folder)
    diagnostics = json.loads(_terraform(folder, "validate", "-json"))["diagnostics"]
    return [f"{found['summary']} {found.get('detail', '')}" for found in diagnostics if found["severity"] == "error"]


def _init(folder: Path) -> None:
    plugins = [f"-plugin-dir={mirror}"] if (mirror := find_mirror()) else []
    _terraform(folder, "init", "-backend=false", "-input=false", *plugins)


def _terraform(folder: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "TF_CLI_CONFIG_FILE"}
    done = subprocess.run(  # noqa: S603
        ["terraform", f"-chdir={folder / 'terraform'}", *arguments],  # noqa: S607
        env=environment | LESS_GARBAGE_COLLECTION | {"TF_DATA_DIR": str(folder / "data"), "TF_IN_AUTOMATION": "1"},
        capture_output=True,
        text=True,
    )
    if arguments[0] == "init":
        assert done.returncode == 0, done.stderr
    return done.stdout
