"""Applies each page of docs/extending/ to a copy of the project, and runs the commands that the page shows there."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.documents import Block, document
from tools.deployment.paths import ROOT

INDEX = document("extending/README")
PAGES = ["gateway", "rule", "state"]


def run(folder: Path, *command: str, stdin: str | None = None) -> str:
    shell = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "PYTEST"))}
    process = subprocess.run(command, cwd=folder, env=shell, input=stdin, capture_output=True, text=True)
    assert process.returncode == 0, f"{command}\n{process.stdout}{process.stderr}"
    return process.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project, with this environment."""
    names = run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").strip("\0").split("\0")
    for name in names:
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tmp_path / name)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    run(tmp_path, "git", "init", "--quiet")
    return tmp_path


def do(block: Block, folder: Path) -> None:
    if block.file:
        path = folder / block.file
        assert not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)
    elif block.language == "diff":
        run(folder, "git", "apply", "-C1", stdin=block.text)
    else:
        make = 'make() { command make --old-file .venv/requirements.sha "$@"; }'
        run(folder, "bash", "-euo", "pipefail", "-c", f"{make}\n{block.text}")


@pytest.mark.parametrize("page", PAGES)
def test_an_example_works_as_shown(copy: Path, page: str) -> None:
    blocks = document(f"extending/{page}").blocks
    assert {block.language for block in blocks} >= {"diff", "sh"}
    for block in blocks:
        do(block, copy)


def test_every_page_is_tested_and_in_the_index() -> None:
    written = {path.name for path in INDEX.path.parent.glob("*.md")} - {INDEX.path.name}
    assert written == {f"{page}.md" for page in PAGES} == set(INDEX.links)


def test_an_outdated_example_is_found(copy: Path) -> None:
    (block, *_) = (block for block in document("extending/rule").blocks if block.language == "diff")
    rules = copy / "functions" / "screen" / "rules.json"
    rules.write_text(rules.read_text().replace("Many small payments", "Few large payments"))
    with pytest.raises(AssertionError, match="patch does not apply"):
        do(block, copy)
