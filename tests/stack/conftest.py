"""A stack of the tests' own: on free ports, in a folder of its own, started once and stopped at the end."""

from collections.abc import Iterator

import pytest

from tests.chromium import browser  # noqa: F401
from tests.stack.driver import SEEN_AFTER_SECONDS, Driver
from tools.deployment.paths import BUILD
from tools.deployment.stack import Stack
from tools.local.machine import Machine

# State machines wait and back off a tenth of their time.
WAIT_SCALE = 0.1


@pytest.fixture(scope="session")
def machine() -> Machine:
    home = BUILD / "test-stack"
    return Machine(
        home=home,
        stack_file=home / "stack.json",
        emulator_port=0,
        sparkle_port=0,
        emulator_environment={
            "SFN_WAIT_SCALE": str(WAIT_SCALE),
            "SFN_SEEN_AFTER_SECONDS": str(SEEN_AFTER_SECONDS),
        },
    )


@pytest.fixture(scope="session")
def stack(machine: Machine) -> Iterator[Stack]:
    machine.down()
    try:
        yield machine.up(print)
    finally:
        machine.down()


@pytest.fixture
def driver(stack: Stack) -> Iterator[Driver]:
    driver = Driver(stack)
    yield driver
    driver.clear_faults()
