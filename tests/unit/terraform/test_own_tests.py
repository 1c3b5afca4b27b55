"""terraform/tests, which Terraform itself runs with a mocked provider."""

import re
from pathlib import Path

from tests.mocked_terraform import own_tests


def test_terraform_s_own_tests_pass(provider: None, tmp_path: Path) -> None:
    for output in own_tests(tmp_path):
        assert re.search(r"Success! [1-9]\d* passed, 0 failed", output), output
