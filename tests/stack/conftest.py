"""The tests' own stack, started once and stopped at the end."""

from collections.abc import Generator, Iterator

import pytest

from tests.chromium import browser  # noqa: F401
from tests.stack import own
from tests.stack.driver import Driver
from tests.stack.own import MACHINE
from tools.deployment.stack import Stack
from tools.local.machine import Machine


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the stack's functions logged last: the stack is gone when somebody reads of the failure."""
    report = yield
    log = MACHINE.home / "emulator.log"
    if report.failed and "stack" in getattr(item, "fixturenames", ()) and log.exists():
        lines = log.read_text(errors="replace").splitlines()
        report.sections.append(("The end of the emulator's log", "\n".join(lines[-40:])))
    return report


@pytest.fixture(scope="session")
def machine() -> Machine:
    return MACHINE


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config) -> Stack:
    own.start(pytestconfig)
    own.wait_until_started()
    stack = Stack.load(MACHINE.stack_file)
    # Each event calls two functions; the tests that want events let them be sent.
    stack.sandbox("DELETE", "/sandbox/events").raise_for_status()
    deliver_events(stack, enabled=False)
    Driver(stack).paid()  # The first call of each function starts its process; no test should wait for that.
    return stack


@pytest.fixture(scope="module")
def sandbox_events(machine: Machine, stack: Stack) -> Iterator[None]:
    """The sandbox sends its events, so that what happens at the gateway is seen at once, and not within a minute."""
    machine.send_events()
    yield
    stack.sandbox("DELETE", "/sandbox/events").raise_for_status()


def deliver_events(stack: Stack, *, enabled: bool) -> None:
    """Let the stack's own events be delivered to its listener, or not. Those from before are dropped."""
    stack.client("sqs").purge_queue(QueueUrl=stack.webhook_queue_urls["listener"]["queue"])
    functions = stack.client("lambda")
    sources = functions.list_event_source_mappings(FunctionName=f"{stack.function_name('deliver')}:live")
    for source in sources["EventSourceMappings"]:
        functions.update_event_source_mapping(UUID=source["UUID"], Enabled=enabled)


@pytest.fixture
def driver(stack: Stack) -> Iterator[Driver]:
    driver = Driver(stack)
    yield driver
    driver.clear_faults()
