"""The stack of this test process, on free ports and in its own folder. `python -m tests.stack.own` starts it."""

import os
import subprocess
import sys

import pytest

from tests.stack.driver import SEEN_AFTER_SECONDS
from tools.deployment.paths import BUILD
from tools.local.machine import Machine, wanted_gateways

# State machines wait and back off a twentieth of their time: long enough to see a doubt and to outlast a busy machine.
WAIT_SCALE = 0.05

# Each of pytest's workers has its own, since a test may remove a permission, count cards, or clear all faults.
_HOME = BUILD / "-".join(("test-stack", *filter(None, [os.environ.get("PYTEST_XDIST_WORKER")])))

MACHINE = Machine(
    home=_HOME,
    stack_file=_HOME / "stack.json",
    gateways=wanted_gateways(),
    usual_ports=False,
    emulator_environment={"SFN_WAIT_SCALE": str(WAIT_SCALE), "SFN_SEEN_AFTER_SECONDS": str(SEEN_AFTER_SECONDS)},
)

_starting: list[subprocess.Popen[str]] = []


def start(config: pytest.Config) -> None:
    """Start it, unless it was; it stops at the end. This takes a process of its own, since tests patch much of this
    one."""
    if not _starting:
        MACHINE.down()
        command = [sys.executable, "-m", "tests.stack.own"]
        _starting.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))  # noqa: S603
        config.add_cleanup(_stop)


def _stop() -> None:
    for process in _starting:
        process.wait()
        MACHINE.down()


def wait_until_started() -> None:
    [process] = _starting
    output, _ = process.communicate()
    assert process.returncode == 0, output


if __name__ == "__main__":
    MACHINE.up(print)
