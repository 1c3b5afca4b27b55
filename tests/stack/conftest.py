"""The tests' own stack, started once and stopped at the end."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.chromium import browser  # noqa: F401
from tests.stack.driver import Driver
from tests.stack.own import MACHINE
from tools.deployment.stack import Stack
from tools.local.machine import Machine

_starting: list[subprocess.Popen[str]] = []


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the stack, which mostly waits for a minute, while tests that don't need it run.

    It starts in a process of its own, since those tests patch much of this one.
    """
    needed = any("stack" in getattr(item, "fixturenames", ()) for item in session.items)
    if session.config.option.collectonly or not needed:
        return
    MACHINE.down()
    command = [sys.executable, "-m", "tests.stack.own"]
    _starting.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))  # noqa: S603


def pytest_sessionfinish() -> None:
    for process in _starting:
        process.wait()
        MACHINE.down()


@pytest.fixture(scope="session")
def machine() -> Machine:
    return MACHINE


@pytest.fixture(scope="session")
def stack() -> Stack:
    [process] = _starting
    said, _ = process.communicate()
    assert process.returncode == 0, said
    stack = Stack.load(MACHINE.stack_file)
    Driver(stack).paid()  # The first call of each function starts its process; no test should wait for that.
    return stack


@pytest.fixture
def driver(stack: Stack) -> Iterator[Driver]:
    driver = Driver(stack)
    yield driver
    driver.clear_faults()
