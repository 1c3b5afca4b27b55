"""What a Terraform user sees after `terraform init` and `terraform apply` on a fresh clone."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from tools.deployment.paths import ROOT, TERRAFORM
from tools.deployment.terraform import find_mirror


def test_without_packages_the_only_message_says_what_to_run_first(tmp_path: Path) -> None:
    not_in_a_clone = shutil.ignore_patterns(".terraform*", "*.tfstate*", "backend.tf")
    shutil.copytree(TERRAFORM, tmp_path / "terraform", ignore=not_in_a_clone)
    for beside in ("functions", "statemachine"):
        (tmp_path / beside).symlink_to(ROOT / beside)
    # Without credentials, since the first message must not need any.
    base = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}

    def terraform(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = base | {"AWS_EC2_METADATA_DISABLED": "true"}
        call = ["terraform", f"-chdir={tmp_path / 'terraform'}", *arguments, "-no-color", "-input=false"]
        return subprocess.run(call, env=environment, capture_output=True, text=True)  # noqa: S603

    mirror = find_mirror()
    assert terraform("init", *([f"-plugin-dir={mirror}"] if mirror else [])).returncode == 0
    # It plans first.
    process = terraform("apply", "-var-file=environments/dev.tfvars")
    output = " ".join((process.stdout + process.stderr).split())
    assert process.returncode == 1
    assert output.count("Error:") == 1
    assert "Run this first, in the project's folder: make build RUNTIME=python3.13 ARCHITECTURE=arm64" in output
    assert not re.search(r"will be created|apply this plan|\d+ to add", output)
