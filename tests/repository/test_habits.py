"""The repository's editor and git configuration agree with the checks, and its changelog is in order."""

import re
import subprocess
import tomllib
from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path

import yaml

from tests.conftest import REST
from tools.deployment.paths import ROOT

HOOKS = ROOT / ".pre-commit-config.yaml"


def text_files() -> list[Path]:
    """Every text file that is written by hand."""
    command = ["git", "grep", "-Il", "--untracked", "", "--", ":!requirements", ":!LICENSE"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return [ROOT / name for name in names]


def test_every_file_follows_the_editor_configuration() -> None:
    config = ConfigParser()
    config.read_string(f"[root]\n{(ROOT / '.editorconfig').read_text()}")
    style = {of: config[of]["indent_style"] for of in config.sections() if "indent_style" in config[of]}
    wrong = []
    for path in text_files():
        indent = [of for pattern, of in style.items() if fnmatch(path.name, pattern)][-1]
        text = path.read_bytes().decode()
        lines = text.split("\n")
        indents = {line[0] for line in lines if line[:1] in (" ", "\t")}
        if "\r" in text or not text.endswith("\n") or any(line != line.rstrip() for line in lines):
            wrong.append(f"{path}: its lines' ends")
        if indents - {"\t" if indent == "tab" else " "}:
            wrong.append(f"{path}: its indents")
    assert wrong == []


def test_every_check_before_a_commit_is_also_in_make_lint() -> None:
    subprocess.run([ROOT / ".venv/bin/pre-commit", "validate-config", HOOKS], cwd=ROOT, check=True)
    lint = re.findall(r"^lint.*?:.*?(?=^\S)", (ROOT / "Makefile").read_text(), re.MULTILINE | re.DOTALL)
    assert lint
    checked = "".join(lint).replace("$(VENV)", ".venv")
    (repository,) = yaml.safe_load(HOOKS.read_text())["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        program, *arguments = hook["entry"].split()
        if arguments[:1] == ["-m"]:
            assert arguments[1] == "pytest"
            assert all((ROOT / path).exists() for path in arguments if path.endswith(".py"))
        elif program == "terraform":
            assert arguments[0] == "fmt"  # by `payments validate`
        else:
            assert hook["entry"] in checked


def test_the_changelog_begins_with_the_current_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    versions = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] in ("Unreleased", version)
    assert version in versions


def test_everything_that_make_test_leaves_to_make_test_all_exists() -> None:
    for place in REST:
        file, _, name = place.partition("::")
        assert (ROOT / file).exists(), place
        assert not name or re.search(rf"^(def|class) {name}\b", (ROOT / file).read_text(), re.MULTILINE), place
