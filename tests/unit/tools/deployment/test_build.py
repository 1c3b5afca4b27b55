import json
import os
import subprocess
import sys
import zipfile
from importlib.util import MAGIC_NUMBER, cache_from_source
from pathlib import Path

import botocore
import pytest
from botocore.session import get_session
from typer.testing import CliRunner

from functions.screen.rules import RULES_FILE
from tools.cli.__main__ import app
from tools.deployment import build
from tools.deployment.build import Target
from tools.deployment.paths import FUNCTIONS, REQUIREMENTS, ROOT
from tools.output import ExitCode

# PEP 552: the flags of an unchecked hash-based file.
UNCHECKED_HASH = 1


@pytest.fixture(scope="module")
def built() -> Path:
    """The folder with the packages for this machine."""
    return build.build(Target.host())


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "b.py").write_text("B = 1\n")
    (folder / "a.json").write_text("{}\n")
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


def test_the_zip_has_functions_as_its_top_folder_and_nothing_else(built: Path) -> None:
    names = zipfile.ZipFile(built / "functions.zip").namelist()
    assert "functions/tokenize/handler.py" in names
    assert {name.split("/")[0] for name in names} == {"functions"}


def test_the_layer_has_the_locked_versions_and_botocore_data_for_our_services_alone(built: Path) -> None:
    names = zipfile.ZipFile(built / "layer.zip").namelist()
    services = {
        name.split("/")[3] for name in names if name.startswith("python/botocore/data/") and name.count("/") > 4
    }
    assert services == set(build.AWS_SERVICES)
    locked = [line.split()[0] for line in (REQUIREMENTS / "lambda.txt").read_text().splitlines() if "==" in line]
    for requirement in locked:
        name, version = requirement.split("==")
        assert any(entry.startswith(f"python/{name.replace('-', '_')}-{version}.dist-info/") for entry in names), name


def test_the_layer_has_the_endpoints_of_our_services_as_botocore_has_them(built: Path) -> None:
    layer = zipfile.ZipFile(built / "layer.zip")
    [partition, *_] = json.loads(layer.read("python/botocore/data/endpoints.json"))["partitions"]
    [full_partition, *_] = json.loads(Path(botocore.__file__).with_name("data").joinpath("endpoints.json").read_text())[
        "partitions"
    ]
    prefixes = {get_session().get_service_model(service).endpoint_prefix for service in build.AWS_SERVICES}
    assert partition == full_partition | {
        "services": {prefix: full_partition["services"][prefix] for prefix in prefixes}
    }


def test_the_layer_has_data_for_every_service_that_the_runtime_asks_for() -> None:
    runtime = (ROOT / "functions" / "shared" / "runtime" / "factories.py").read_text()
    services = {part.split('"')[1] for part in runtime.split("_client(")[1:] if part.startswith('"')}
    assert services == set(build.AWS_SERVICES)


def test_each_functions_contract_is_packed_as_a_compiled_check_that_the_function_takes(
    built: Path, tmp_path: Path
) -> None:
    zipfile.ZipFile(built / "functions.zip").extractall(tmp_path)
    packed = {handler.parent.name for handler in tmp_path.glob("functions/*/handler.py")}
    assert packed == {handler.parent.name for handler in FUNCTIONS.glob("*/handler.py")}
    check = f"""
import fastjsonschema
fastjsonschema.compile = None
from functions.shared.adapters.json_schema import validate
from functions.shared.domain.errors import InvalidInput
for contract in {sorted(packed)}:
    try:
        validate(contract, {{"payment_id": "4242424242424242"}})
    except InvalidInput as error:
        print(contract, error)
"""
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    process = subprocess.run(  # noqa: S603
        [sys.executable, "-c", check], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert {line.split()[0] for line in process.stdout.splitlines()} == packed, process.stderr


def test_the_functions_zip_is_the_same_each_time(built: Path) -> None:
    package = built / "functions.zip"
    first = package.read_bytes()
    build.build(Target.host())
    assert package.read_bytes() == first


def test_the_layers_bytecode_is_the_same_each_time(built: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(built / "layer.zip").extractall(tmp_path)
    first = {path: path.read_bytes() for path in tmp_path.rglob("*.pyc")}
    for path in first:
        path.unlink()
    build.compile_modules(Target.host(), tmp_path, "/opt")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.pyc")} == first


@pytest.mark.parametrize(("package", "top"), [("functions.zip", "functions"), ("layer.zip", "python")])
def test_every_module_has_its_bytecode_which_is_taken_as_it_is(
    built: Path, tmp_path: Path, package: str, top: str
) -> None:
    zipfile.ZipFile(built / package).extractall(tmp_path)
    modules = list((tmp_path / top).rglob("*.py"))
    assert modules
    for module in modules:
        bytecode = Path(cache_from_source(str(module))).read_bytes()
        assert bytecode[:4] == MAGIC_NUMBER
        assert int.from_bytes(bytecode[4:8], "little") == UNCHECKED_HASH


def test_no_bytecode_is_made_for_a_runtime_that_is_not_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.py").write_text("A = 1\n")
    build.compile_modules(Target("python3.99", "arm64"), tmp_path, "/var/task")
    assert [path.name for path in tmp_path.rglob("*")] == ["a.py"]
    assert "There is no python3.99 on this machine" in capsys.readouterr().out


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_layer_has_the_rule_parsers_tables_and_they_are_taken(built: Path, tmp_path: Path, hash_seed: str) -> None:
    zipfile.ZipFile(built / "layer.zip").extractall(tmp_path)
    # Entries of a loaded table have this type; those of a newly generated one do not.
    look = "from rule_engine import Rule; print({type(each).__name__ for each in Rule.parser._parser.productions})"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "python"), "PYTHONHASHSEED": hash_seed}
    process = subprocess.run([sys.executable, "-c", look], env=environment, capture_output=True, text=True, check=True)  # noqa: S603
    assert process.stdout.strip() == "{'MiniProduction'}"


def test_with_a_mistake_in_the_rules_nothing_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "rules.json"
    broken.write_text(RULES_FILE.read_text().replace("bin in bins_blocked", "bin in bins_bocked"))
    monkeypatch.setattr(build, "RULES_FILE", broken)
    monkeypatch.setattr(build, "BUILD", tmp_path / "build")
    result = CliRunner().invoke(app, ["build"])
    assert result.exit_code == ExitCode.FAILED
    assert result.output.startswith("RulesError: ")
    assert "rule bin_blocked: unknown symbol: 'bins_bocked'. Is it bins_blocked?" in " ".join(result.output.split())
    assert not (tmp_path / "build").exists()


def test_wheels_for_lambda_are_chosen_by_its_platform_and_those_for_this_machine_by_itself() -> None:
    assert Target.host().pip_arguments() == []
    arguments = Target("python3.13", "arm64").pip_arguments()
    assert "--platform=manylinux_2_34_aarch64" in arguments
    assert "--python-version=3.13" in arguments
