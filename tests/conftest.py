"""What must be in the environment before `functions.shared.runtime` is first imported, and which worker runs what."""

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

# What takes minutes, the longest first. All tests of a folder share its stack.
LONG = (
    "tests/faults/",
    "tests/stack/",
    "tests/stack/test_deployment.py",
    "tests/unit/terraform/test_own_tests.py",
)


class LongestFirst(LoadScopeScheduling):  # type: ignore[misc]
    """With several workers, one has all tests of a file, or of a folder with a stack: what they share is made once."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return max((scope for scope in LONG if file.startswith(scope)), key=len, default=file)

    def _assign_work_unit(self, node: Any) -> None:
        if longest := next((scope for scope in LONG if scope in self.workqueue), None):
            self.workqueue.move_to_end(longest, last=False)
        super()._assign_work_unit(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LongestFirst:
    return LongestFirst(config, log)
