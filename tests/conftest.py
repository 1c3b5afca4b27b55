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
    "tests/stack/test_leaks.py",
    "tests/stack/test_permissions.py",
    # What waits for minutes.
    "tests/stack/test_resolve.py::test_an_execution_that_no_event_told_of_is_found_and_brought_to_its_end",
    # Clients that are generated, other people's libraries, and requests that nobody thought of.
    "tests/stack/test_generated_clients.py",
    "tests/stack/test_openapi.py",
    "tests/unit/client/test_interoperability.py",
    # Tools, as people call them.
    "tests/stack/test_bench.py",
    "tests/stack/test_ledger_commands.py",
    "tests/stack/test_replay.py",
    "tests/stack/test_soak.py",
    # Every page of the console, at every size of a window.
    "tests/stack/test_console.py::test_nobody_is_kept_out_of_a_page_and_nothing_is_cut_off",
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

# What begins before all else, the longest first. While each worker is at one of these, its stack starts.
LONG = (
    "tests/faults/",
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
    """With several workers, one has all tests of a file, and all that need the stack with a proxy: what they share is
    made once. The other stack each worker has for itself.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "tests/faults/" if file.startswith("tests/faults/") else file

    def _assign_work_unit(self, node: Any) -> None:
        waiting = (scope for prefix in LONG for scope in self.workqueue if scope.startswith(prefix))
        if longest := next(waiting, None):
            self.workqueue.move_to_end(longest, last=False)
        super()._assign_work_unit(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LongestFirst:
    return LongestFirst(config, log)
