"""The progress of pip, with a pip that only prints its messages."""

import sys
from pathlib import Path

import pytest

from tools.deployment import packages

LOCK = """\
# made by a tool
boto3==1.43.106 \\
    --hash=sha256:00
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:01
uv==0.13.9 \\
    --hash=sha256:02
"""
OUTPUT = (
    "Ignoring colorama: markers don't match your environment",
    "Collecting boto3==1.43.106",
    "  Downloading boto3.whl",
    "Collecting uv==0.13.9",
    "Installing collected packages: boto3, uv",
)


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    (tmp_path / "dev.txt").write_text(LOCK)
    return tmp_path / "dev.txt"


def fake_pip(lock: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    python = lock.with_name("python")
    python.write_text("#!/bin/sh\n" + "".join(f'echo "{line}"\n' for line in OUTPUT) + f"exit {status}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))


def test_each_package_is_counted_but_those_for_other_systems(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pip(lock, monkeypatch, 0)
    messages: list[str] = []
    packages.install(lock, say=messages.append)
    assert messages == ["Fetching packages: 1 of 2", "Fetching packages: 2 of 2", "Installing 2 packages"]


def test_a_failure_of_pip_s_is_reported(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pip(lock, monkeypatch, 1)
    with pytest.raises(packages.PackagesError, match=r"The packages of dev\.txt could not be installed"):
        packages.install(lock)
