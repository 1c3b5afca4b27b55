"""What tests need before `functions.shared.runtime` is first imported, and which worker runs what."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "payments")
os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "payments-test")

TESTS = Path(__file__).parent
# A running stack each, which the folder's tests share.
WITH_A_STACK = {"faults", "stack"}


# First: xdist reads the groups in the same hook.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers, one has all tests of a stack, and one all of another file: what they share is made once."""
    for item in items:
        file = item.path.relative_to(TESTS)
        alone = file.parts[0] not in WITH_A_STACK or file.name == "test_deployment.py"
        item.add_marker(pytest.mark.xdist_group(str(file) if alone else file.parts[0]))
