"""`make sbom`."""

import json
import re
import subprocess

from tools.deployment.paths import ROOT


def test_the_sbom_has_each_package_of_the_layer_with_its_version_and_hashes() -> None:
    environments = (".venv/requirements.sha", ".venv-generators/requirements.sha")
    assert all((ROOT / each).exists() for each in environments), "make test-all sets up the generators' own environment"
    # They exist already, so nothing needs to be set up.
    as_they_are = [f"--old-file={each}" for each in environments]
    subprocess.run(["make", *as_they_are, "sbom"], cwd=ROOT, check=True, capture_output=True)
    bom = json.loads((ROOT / "build" / "sbom.json").read_text())
    assert bom["bomFormat"] == "CycloneDX"
    locked = re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements" / "lambda.txt").read_text(), re.MULTILINE)
    assert "botocore" in dict(locked)
    assert [component["purl"] for component in bom["components"]] == [
        f"pkg:pypi/{name}@{version}" for name, version in locked
    ]
    assert all(component["externalReferences"][0]["hashes"] for component in bom["components"])
