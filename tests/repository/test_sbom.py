"""`make sbom`."""

import json
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_sbom_has_each_package_of_the_layer_with_its_version_and_hashes() -> None:
    # The environment is there, or this would not run; nothing else is to be set up.
    subprocess.run(["make", "--old-file", ".venv/requirements.sha", "sbom"], cwd=ROOT, check=True, capture_output=True)
    bom = json.loads((ROOT / "build" / "sbom.json").read_text())
    assert bom["bomFormat"] == "CycloneDX"
    locked = re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements" / "lambda.txt").read_text(), re.MULTILINE)
    assert "botocore" in dict(locked)
    assert [component["purl"] for component in bom["components"]] == [
        f"pkg:pypi/{name}@{version}" for name, version in locked
    ]
    assert all(component["externalReferences"][0]["hashes"] for component in bom["components"])
