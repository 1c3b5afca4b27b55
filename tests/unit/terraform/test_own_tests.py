"""terraform/tests, which Terraform itself runs with a mocked provider."""

import re

from tools.deployment.build import Target, build
from tools.deployment.terraform import Terraform


def test_terraform_s_own_tests_pass() -> None:
    without_snap_start, target = Target("python3.11", "arm64"), Target("python3.13", "arm64")
    for packages in (without_snap_start, target):
        build(packages)
    variables = {"TF_VAR_lambda_runtime": target.runtime, "TF_VAR_lambda_architecture": target.architecture}
    assert re.search(r"Success! [1-9]\d* passed, 0 failed", Terraform("test", environment=variables).test())
