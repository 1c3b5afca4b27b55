"""terraform/tests, which Terraform itself runs with a mocked provider."""

from pathlib import Path

from tests.mocked_terraform import own_tests


def test_terraform_s_own_tests_pass(provider: None, tmp_path: Path) -> None:
    for ends in own_tests(tmp_path):
        assert ends
        assert {run: end for run, end in ends.items() if end != ["pass"]} == {}
