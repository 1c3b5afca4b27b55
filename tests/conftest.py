"""What must be in the environment before `functions.shared.runtime` is first imported, what `make test` leaves out, and
which worker runs what.
"""

import os
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.samples import ACCEPTED_BRANDS, CARD_RETENTION_DAYS

os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "payments")
os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "payments-test")
os.environ.setdefault("CARD_RETENTION_DAYS", str(CARD_RETENTION_DAYS))
os.environ.setdefault("SAVE_CARDS", "false")
os.environ.setdefault("ACCEPTED_BRANDS", ",".join(ACCEPTED_BRANDS))
os.environ.setdefault("TEST_CARDS_ACCEPTED", "true")

# Files, folders and tests that `make test` leaves to `make test-all`: they take long for what they find, or need what
# only they need. Everything else is `make test`'s.
REST = (
    # Faults on the running stack: each of them strikes in the simulation first.
    "tests/faults/test_matrix.py",
    "tests/faults/test_late_and_repeated_events.py",
    # Deployments, and Terraform's plans with every kind of variables.
    "tests/stack/test_access.py::test_a_limit_on_callers_is_deployed_with_the_api_and_so_is_its_end",
    "tests/stack/test_acceptance.py",
    "tests/stack/test_deployment.py",
    "tests/unit/terraform/",
    # Every permission, every place that a card could leak to, every description of an alarm.
    "tests/stack/test_alarms.py",
    "tests/stack/test_card_testing.py",
    "tests/stack/test_leaks.py",
    "tests/stack/test_permissions.py",
    # What waits for the resolve state machine. In the simulation nothing waits, and each of them is met often.
    "tests/stack/test_operations.py::TestWhatSomebodyDidAtTheGateway",
    "tests/stack/test_operations.py::test_a_stopped_refund_is_brought_to_its_end",
    "tests/stack/test_resolve.py",
    # Clients that are generated, and requests that nobody thought of.
    "tests/stack/test_generated_clients.py",
    "tests/stack/test_openapi.py",
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
    # Documents that are carried out, and checks that are tried on mistakes.
    "tests/repository/test_advisories.py",
    "tests/repository/test_checks.py",
    "tests/repository/test_extending.py",
    "tests/stack/test_tutorial.py",
    # Templates in Apache Velocity.
    "tests/velocity/",
    # More bad luck, and products that are broken on purpose.
    "tests/simulation/test_simulation.py::test_a_mutant_is_found",
    "tests/simulation/test_simulation.py::test_a_product_that_is_not_broken_survives",
    "tests/simulation/test_simulation.py::test_the_rules_hold_in_worlds_that_nobody_has_seen",
)

# All that `make test` tests on a stack is one worker's, so that one stack is enough.
ONE_STACK, HAS_STACK = "one stack", "gw0"

# What begins before all else, the longest first. While each worker is at one of these, its stack starts.
LONG = (
    "tests/faults/",
    ONE_STACK,
    "tests/stack/test_deployment.py",
    "tests/unit/terraform/test_own_tests.py",
    "tests/workflow/",
    "tests/stack/test_bad_input.py",
    "tests/stack/test_operations.py",
    "tests/stack/test_resolve.py",
    "tests/stack/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker("rest" if item.nodeid.startswith(REST) else "first")


class LongestFirst(LoadScopeScheduling):  # type: ignore[misc]
    """With several workers, one has all tests of a file, all that need the stack with a proxy, and all that `make test`
    tests on the other stack: what they share is made once. For the rest, each worker has that stack for itself.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file.startswith("tests/faults/"):
            return "tests/faults/"
        return ONE_STACK if file.startswith("tests/stack/") and not nodeid.startswith(REST) else file

    def _assign_work_unit(self, node: Any) -> None:
        scopes = [scope for scope in self.workqueue if scope != ONE_STACK or node.gateway.id == HAS_STACK]
        longest_first = [scope for prefix in LONG for scope in scopes if scope.startswith(prefix)]
        if following := next(iter(longest_first + scopes), None):
            self.workqueue.move_to_end(following, last=False)
        super()._assign_work_unit(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LongestFirst:
    return LongestFirst(config, log)
