"""Sets the environment before `functions.shared.runtime` is first imported, and decides which tests `make test` leaves
out and which worker runs which tests."""

import gc
import json
import os
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from tests.samples import ACCEPTED_BRANDS, CARD_RETENTION_DAYS, RETURN_ORIGIN

TESTS = Path(__file__).parent

os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "payments")
os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "payments-test")
os.environ.setdefault("CARD_RETENTION_DAYS", str(CARD_RETENTION_DAYS))
os.environ.setdefault("SAVE_CARDS", "false")
os.environ.setdefault("ACCEPTED_BRANDS", ",".join(ACCEPTED_BRANDS))
os.environ.setdefault("TEST_CARDS_ACCEPTED", "true")
os.environ.setdefault("RETURN_URLS", RETURN_ORIGIN)
os.environ.setdefault("CUSTOMER_TIMEOUT_MINUTES", "15")
ALL = {"currencies": None, "brands": None, "bins": None, "percent": 100}
os.environ.setdefault("GATEWAY_ROUTES", json.dumps([{"gateway": "sparkle"} | ALL]))

# A worker imports and collects hundreds of thousands of objects that stay until it ends. Python would look through them
# again and again for garbage, for a tenth of the worker's time: so it looks less often, and not through what was there
# before the first test (`pytest_collection_finish`).
if "PYTEST_XDIST_WORKER" in os.environ:
    gc.set_threshold(50_000, 20, 50)

# How long an example takes says something of the machine, and nothing of the product: `make bench` measures that.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# Files, folders and tests that `make test` leaves to `make test-all`, because they take long for what they find, or
# need something that nothing else needs. `make test` runs all others.
REST = (
    # Each fault at each place, in the simulation and on the running stack. `make test` has 200 seeds of such faults.
    "tests/faults/",
    # Deployments, and Terraform plans with every kind of variable.
    "tests/stack/test_acceptance.py",
    "tests/stack/test_deployment.py",
    "tests/stack/test_gateways.py",
    "tests/unit/terraform/",
    # The example shop in a browser. `make test` has its pages, with a shop that is scripted.
    "tests/stack/test_checkout.py",
    "tests/stack/test_checkout_challenge.py",
    # Every permission, every place to which a card could leak, every alarm's description.
    "tests/stack/test_alarms.py",
    "tests/stack/test_card_testing.py",
    "tests/stack/test_history.py",
    "tests/stack/test_leaks.py",
    "tests/stack/test_permissions.py",
    # What waits for state machines. In the simulation nothing waits, and each of them is met often.
    "tests/stack/test_operations.py::TestWhatSomebodyDidAtTheGateway",
    "tests/stack/test_operations.py::test_a_stopped_refund_is_brought_to_its_end",
    "tests/stack/test_operations.py::test_an_operation_on_an_unknown_payment_is_rejected_and_not_found",
    "tests/stack/test_resolve.py",
    # Generated clients, other people's libraries, and random requests. Only the rest has npm's packages.
    "tests/stack/test_generated_clients.py",
    "tests/stack/test_openapi.py",
    "tests/unit/client/test_interoperability.py",
    "tests/unit/docs/test_events.py::TestAsyncApi",
    "tests/unit/functions/shared/adapters/test_webhooks.py::TestSignature",
    "tests/unit/tools/local/stripe/test_stateful_mock.py",
    # Tools, as people call them.
    "tests/repository/test_command.py",
    "tests/repository/test_sbom.py",
    "tests/stack/test_bench.py",
    "tests/stack/test_ledger_commands.py",
    "tests/stack/test_replay.py",
    "tests/stack/test_soak.py",
    "tests/unit/tools/trials/test_acceptance.py::TestTheGuard",
    # The console beside a running stack. What its pages say is tested without one.
    "tests/stack/test_console.py",
    "tests/unit/tools/console/test_page_in_browser.py",
    # Documents whose commands are run, and checks that are tried on mistakes.
    "tests/repository/test_advisories.py",
    "tests/repository/test_checks.py",
    "tests/repository/test_extending.py",
    "tests/stack/test_tutorial.py",
    # Templates in Apache Velocity.
    "tests/velocity/",
    # More simulated failures, and deliberately broken products.
    "tests/simulation/test_simulation.py::test_a_mutant_is_found",
    "tests/simulation/test_simulation.py::test_a_product_that_is_not_broken_survives",
    "tests/simulation/test_simulation.py::test_the_rules_hold_for_new_seeds",
)

# Two workers have a stack: the second one's is for these files. Tests of one stack wait for much of their time.
STACKS = {"one stack": "gw0", "another stack": "gw1"}
ONE_STACK, ANOTHER_STACK = STACKS
ON_ANOTHER_STACK = (
    "tests/stack/test_bench.py",
    "tests/stack/test_checkout.py",
    "tests/stack/test_checkout_challenge.py",
    "tests/stack/test_console.py",
    "tests/stack/test_events.py",
    "tests/stack/test_gateway_events.py",
    "tests/stack/test_history.py",
    "tests/stack/test_leaks.py",
    "tests/stack/test_payments.py",
    "tests/stack/test_resolve.py",
    "tests/stack/test_sealed_cards.py",
    "tests/stack/test_search.py",
    "tests/stack/test_soak.py",
    "tests/stack/test_webhooks.py",
)
OWN_STACKS = ("tests/stack/test_deployment.py", "tests/stack/test_gateways.py")
WITH_A_STACK = ("tests/stack/", "tests/faults/test_matrix.py", "tests/faults/test_late_and_repeated_events.py")

# Folders whose tests share what takes long to make: a mocked deployment, and a stack with a proxy.
TOGETHER = ("tests/unit/terraform/", "tests/faults/")

# One waits for minutes, while others run. The other makes hundreds of payments, which every test after it would read:
# exports, audits, sweeps of all executions.
LAST_ON_THEIR_STACK = (
    "tests/stack/test_resolve.py::test_a_failed_execution_without_an_event_is_found_and_resolved",
    "tests/stack/test_history.py",
)

# What starts first: where a stack starts, what fills the minute until it has, and elsewhere what takes longest.
FILLING = "tests/workflow/"
EARLY_WITH_A_STACK = (FILLING, *STACKS)
EARLY = (
    *OWN_STACKS,
    *TOGETHER,
    FILLING,
    "tests/simulation/test_simulation.py",
    # A few tests of many seconds each: pytest-xdist would begin with the files that have most tests.
    "tests/repository/",
    "tests/velocity/",
    "tests/unit/examples/",
)


def has_the_stack(config: pytest.Config) -> bool:
    """Whether this is a process of `make test` or `make test-all` that will need its stack."""
    whole = config.args_source is config.ArgsSource.TESTPATHS and not config.option.keyword
    return (
        whole and config.option.markexpr in ("first", "") and os.environ.get("PYTEST_XDIST_WORKER") in STACKS.values()
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the stack, which mostly waits for a minute, before the tests are even collected."""
    config = session.config
    if has_the_stack(config) and not config.option.collectonly:
        from tests.stack import own  # imported late: it imports the product

        own.start(config)
    elif config.option.markexpr == "first":
        leave_the_cores_to_stacks()


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Let each worker first import files that the others don't. At a file's first import pytest rewrites its asserts,
    which takes longer than the import, and keeps the result for all. Otherwise all would rewrite the same file at once.
    """
    config, worker = collector.config, os.environ.get("PYTEST_XDIST_WORKER")
    if worker and collector.path == TESTS and config.args_source is config.ArgsSource.TESTPATHS:
        files = [path for path in TESTS.rglob("test_*.py") if not pytest_ignore_collect(path, config)]
        number, workers = int(worker.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        for file in sorted(files)[number::workers]:
            with suppress(Exception, pytest.skip.Exception):  # its collection will say why it can't be imported
                import_module(".".join(file.relative_to(TESTS.parent).with_suffix("").parts))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files and folders in which `make test` has no test: every worker would import them first."""
    path = collection_path.relative_to(config.rootpath).as_posix() + ("/" if collection_path.is_dir() else "")
    return (config.option.markexpr == "first" and path.startswith(REST)) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not item.nodeid.startswith(REST):
            item.add_marker("first")
    items.sort(key=lambda item: [item.nodeid.startswith(place) for place in reversed(LAST_ON_THEIR_STACK)])


def pytest_collection_finish() -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        gc.freeze()


def scope_of(nodeid: str, workers: int) -> str:
    """What runs on one worker, because it shares fixtures: a file's tests, or those of a folder, or of a stack."""
    file = nodeid.partition("::")[0]
    if folder := next(filter(file.startswith, TOGETHER), None):
        return folder
    if not file.startswith("tests/stack/") or file in OWN_STACKS:
        return file
    return ANOTHER_STACK if workers > 1 and file in ON_ANOTHER_STACK else ONE_STACK


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let tests that only compute leave the cores to those of other workers that wait for what a stack does."""
    if not has_the_stack(item.config) and not item.nodeid.startswith(WITH_A_STACK):
        leave_the_cores_to_stacks()


def leave_the_cores_to_stacks() -> None:
    if "PYTEST_XDIST_WORKER" in os.environ and not os.nice(0):
        os.nice(10)


class EarlyFirst(LoadScopeScheduling):  # type: ignore[misc]
    """With several workers, each scope runs on one of them, and a stack's on the one that has it."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid, self.numnodes)

    def _assign_work_unit(self, node: Any) -> None:
        scopes = [scope for scope in self.workqueue if STACKS.get(scope, node.gateway.id) == node.gateway.id]
        prefixes = EARLY_WITH_A_STACK if node.gateway.id in STACKS.values() else EARLY
        early = [scope for prefix in prefixes for scope in scopes if scope.startswith(prefix)]
        if following := next(iter(early + scopes), None):
            self.workqueue.move_to_end(following, last=False)
        super()._assign_work_unit(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> EarlyFirst:
    return EarlyFirst(config, log)
