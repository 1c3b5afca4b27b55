import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import build
from cli.__main__ import app
from cli.build import Target
from cli.paths import REQUIREMENTS, ROOT
from functions.screen.rules import RULES_FILE


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "b.py").write_text("B = 1\n")
    (folder / "a.json").write_text("{}\n")
    (folder / "__pycache__" / "b.pyc").write_bytes(b"compiled")
    return folder


def test_a_rebuild_of_unchanged_sources_gives_the_same_bytes(tmp_path: Path, sources: Path) -> None:
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    build._zip(first, sources, sources.rglob("*"))
    os.utime(sources / "b.py", (0, 0))
    (sources / "b.py").chmod(0o600)
    build._zip(second, sources, reversed(list(sources.rglob("*"))))
    assert first.read_bytes() == second.read_bytes()
    assert zipfile.ZipFile(first).namelist() == ["a.json", "b.py"]


def test_a_changed_source_gives_other_bytes(tmp_path: Path, sources: Path) -> None:
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    build._zip(first, sources, sources.rglob("*"))
    (sources / "b.py").write_text("B = 2\n")
    build._zip(second, sources, sources.rglob("*"))
    assert first.read_bytes() != second.read_bytes()


def test_the_zip_has_functions_as_its_top_folder_and_nothing_else() -> None:
    folder = build.build(Target.host())
    names = zipfile.ZipFile(folder / "functions.zip").namelist()
    assert "functions/tokenize/handler.py" in names
    assert {name.split("/")[0] for name in names} == {"functions"}


def test_the_layer_has_the_locked_versions_and_botocore_data_for_our_services_alone() -> None:
    names = zipfile.ZipFile(build.build(Target.host()) / "layer.zip").namelist()
    services = {
        name.split("/")[3] for name in names if name.startswith("python/botocore/data/") and name.count("/") > 4
    }
    assert services == set(build.AWS_SERVICES)
    locked = [line.split()[0] for line in (REQUIREMENTS / "lambda.txt").read_text().splitlines() if "==" in line]
    for requirement in locked:
        name, version = requirement.split("==")
        assert any(entry.startswith(f"python/{name.replace('-', '_')}-{version}.dist-info/") for entry in names), name


def test_the_layer_has_data_for_every_service_that_the_runtime_asks_for() -> None:
    runtime = (ROOT / "functions" / "shared" / "runtime.py").read_text()
    asked = {part.split('"')[1] for part in runtime.split("_client(")[1:] if part.startswith('"')}
    assert asked == set(build.AWS_SERVICES)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_layer_has_the_rule_parsers_tables_and_they_are_taken(tmp_path: Path, hash_seed: str) -> None:
    zipfile.ZipFile(build.build(Target.host()) / "layer.zip").extractall(tmp_path)
    # Those of a kept table are of this type, those of a table that was just made are not.
    look = "from rule_engine import Rule; print({type(each).__name__ for each in Rule.parser._parser.productions})"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "python"), "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", look], env=environment, capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "{'MiniProduction'}"


def test_with_a_mistake_in_the_rules_nothing_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "rules.json"
    broken.write_text(RULES_FILE.read_text().replace("bin in bins_blocked", "bin in bins_bocked"))
    monkeypatch.setattr(build, "RULES_FILE", broken)
    monkeypatch.setattr(build, "BUILD", tmp_path / "build")
    done = CliRunner().invoke(app, ["build"])
    assert done.exit_code == 1
    assert done.output.startswith("RulesError: ")
    assert "rule bin_blocked: unknown symbol: 'bins_bocked'. Is it bins_blocked?" in " ".join(done.output.split())
    assert not (tmp_path / "build").exists()


def test_wheels_for_lambda_are_chosen_by_its_platform_and_those_for_this_machine_by_itself() -> None:
    assert Target.host().pip_arguments() == []
    arguments = Target("python3.13", "arm64").pip_arguments()
    assert "--platform=manylinux_2_34_aarch64" in arguments
    assert "--python-version=3.13" in arguments
