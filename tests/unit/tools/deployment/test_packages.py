"""What set-up does and shows, with a pip and a uv that only print their messages."""

import os
import shutil
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


UV_OUTPUT = (
    "Resolved 2 packages in 5ms",
    "Downloading boto3 (14.1MiB)",
    "Prepared 2 packages in 1s",
    " + boto3==1.43.106",
)


def fake_uv(folder: Path, status: int = 0) -> None:
    uv = folder / "uv"
    lines = "".join(f'echo "{line}" >&2\n' for line in UV_OUTPUT)
    uv.write_text(f'#!/bin/sh\necho "$@" >> {folder / "calls"}\n{lines}exit {status}\n')
    uv.chmod(0o755)


def test_uv_installs_the_lock_and_shows_what_takes_long(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(lock.parent), prepend=os.pathsep)
    fake_uv(lock.parent)
    messages: list[str] = []
    packages.set_up(lock, messages.append)
    assert messages == ["Downloading boto3 (14.1MiB)", "Prepared 2 packages in 1s"]
    call = (lock.parent / "calls").read_text()
    assert call == f"pip install --compile-bytecode --python {sys.prefix} --require-hashes --requirement {lock}\n"


def test_where_there_is_no_uv_the_locked_one_alone_is_installed_first(
    lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    fake_pip(lock, monkeypatch, 0)
    fake_uv(lock.parent)
    (lock.parent / "python").write_text(
        f'#!/bin/sh\nfor last; do :; done; cp "$last" {lock.parent / "installed.txt"}\n'
    )
    packages.set_up(lock, lambda text: None)
    assert (lock.parent / "installed.txt").read_text() == "uv==0.13.9 \\\n    --hash=sha256:02\n"
    assert (lock.parent / "calls").exists()


def test_where_uv_fails_its_reason_is_shown_and_pip_installs_the_lock(
    lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(lock.parent), prepend=os.pathsep)
    fake_uv(lock.parent, status=1)
    fake_pip(lock, monkeypatch, 0)
    messages: list[str] = []
    packages.set_up(lock, messages.append)
    [reason] = [message for message in messages if message.startswith("Trying pip, as uv failed:")]
    assert "Resolved 2 packages" in reason
    assert messages[-1] == "Installing 2 packages"
