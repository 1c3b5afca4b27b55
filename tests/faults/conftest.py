"""Runs the matrix's own stack, and all its cases at the same time."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.faults.bench import Bench, Outcome, running
from tests.faults.cases import Case
from tools.deployment.stack import Stack

AT_ONCE = 14

Observations = dict[Case, Future[tuple[str, Outcome]]]


@pytest.fixture(scope="package")
def fault_stack() -> Iterator[Stack]:
    with running() as stack:
        yield stack


@pytest.fixture(scope="package")
def bench(fault_stack: Stack) -> Bench:
    return Bench(fault_stack)


@pytest.fixture(scope="package")
def observations(bench: Bench, request: pytest.FixtureRequest) -> Observations:
    """The payment's id and outcome of each selected case, as futures.

    All have ended before the first test goes on: after each test, pytest removes PYTEST_CURRENT_TEST from the
    environment, which `requests` reads from end to end, in another thread perhaps at that moment.
    """
    functions = [item for item in request.session.items if isinstance(item, pytest.Function)]
    specs = [getattr(item, "callspec", None) for item in functions if "observations" in item.fixturenames]
    # Start the cases that wait longest first; the others then run in their shadow.
    cases: list[Case] = [spec.params["case"] for spec in specs if spec]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        cases.sort(key=lambda case: (case.fault != "late" and case.times != "always", not case.is_resolving))
        return {case: pool.submit(bench.outcome, case.orders, case.is_resolving, case.operation) for case in cases}
