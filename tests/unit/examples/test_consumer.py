"""The Terraform of a consumer in the same account."""

import subprocess
from pathlib import Path

from tests.mocked_terraform import refused_by_provider
from tools.deployment.paths import ROOT
from tools.deployment.terraform import program

CONSUMER = ROOT / "examples" / "consumer"


def test_the_provider_accepts_it(tmp_path: Path) -> None:
    assert refused_by_provider(tmp_path, (CONSUMER / "main.tf").read_text()) == []


def test_it_is_formatted() -> None:
    process = subprocess.run([program(), "fmt", "-check", "-diff", CONSUMER], capture_output=True, text=True)  # noqa: S603
    assert process.stdout == ""
