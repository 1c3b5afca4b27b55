"""Build what Lambda runs: one zip of all functions, and one layer with their third-party packages.

Both are deterministic: the same sources give the same bytes, so deploying them again changes nothing. Both contain the
modules' bytecode beside the sources. A function can't write bytecode where its packages are, so without it every cold
start would compile everything it imports, which takes longer than the rest of the start.
"""

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from functions.screen.rules import RULES_FILE, Rules, check_rules
from tools.deployment import packages
from tools.deployment.paths import BUILD, FUNCTIONS, REQUIREMENTS, ROOT

# The AWS APIs that the functions call. botocore's data for the other four hundred services stays out of the layer.
AWS_SERVICES = ("dynamodb", "events", "kms", "s3", "secretsmanager", "sqs", "stepfunctions")
# The beginnings of these services' endpoint names.
_ENDPOINT_PREFIXES = ("dynamodb", "events", "kms", "s3", "secretsmanager", "sqs", "states")

# Wheels for Amazon Linux 2023 (glibc 2.34). pip has no "or older", so every tag is listed.
_GLIBC_TAGS = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014")
_WHEEL_MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
# The signature lists the grammar's words in the order of a set, which differs from process to process.
_SIGNATURE_IN_ANY_ORDER = """

class _AnyOrder(str):
    __hash__ = str.__hash__

    def __eq__(self, other):
        return sorted(self.split()) == sorted(other.split())


_lr_signature = _AnyOrder(_lr_signature)
"""
_EXCLUDED = ("*.pyi", "py.typed", "bin", "RECORD", "INSTALLER", "REQUESTED", "direct_url.json")


class Architecture(StrEnum):
    """Lambda's names for instruction sets."""

    ARM64 = "arm64"
    X86_64 = "x86_64"


@dataclass(frozen=True, slots=True)
class Target:
    """What Lambda runs on: a runtime like `python3.13` and an architecture, `arm64` or `x86_64`.

    `this_machine` builds for the running interpreter, on any system.
    """

    runtime: str
    architecture: str
    this_machine: bool = False

    @classmethod
    def host(cls) -> "Target":
        runtime = f"python{sys.version_info.major}.{sys.version_info.minor}"
        architecture = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
        return cls(runtime, architecture, this_machine=True)

    @property
    def folder(self) -> Path:
        return BUILD / "packages" / f"{self.runtime}-{self.architecture}"

    def interpreter(self) -> str | None:
        """A Python of the target's version, if this machine has one: only that writes bytecode which the target can
        load."""
        if self.runtime == Target.host().runtime:
            return sys.executable
        from uv import find_uv_bin  # imported late: an installed command has no uv

        find = [find_uv_bin(), "python", "find", "--no-project", "--no-python-downloads"]
        process = subprocess.run([*find, self.runtime.removeprefix("python")], capture_output=True, text=True)
        return process.stdout.strip() or None

    def pip_arguments(self) -> list[str]:
        """pip's arguments to choose the target's wheels instead of this machine's."""
        if self.this_machine:
            return []
        platforms = [f"--platform={tag}_{_WHEEL_MACHINES[self.architecture]}" for tag in _GLIBC_TAGS]
        return [*platforms, f"--python-version={self.runtime.removeprefix('python')}", "--only-binary=:all:"]


def checked_rules(file: Path) -> Rules:
    """Load the screening rules from a file and check them. Raises RulesError."""
    from functions.shared.adapters.json_schema import validate  # imported late: it takes a second

    return check_rules(file, validate)


def build(target: Target, say: packages.Say = lambda text: None) -> Path:
    """Build `functions.zip` and, if its inputs changed, `layer.zip`; return their folder.

    Progress is reported to `say`. Raises PackagesError, or RulesError: rules with a mistake are neither built nor
    deployed.
    """
    checked_rules(RULES_FILE)
    target.folder.mkdir(parents=True, exist_ok=True)
    with _build_lock():
        with tempfile.TemporaryDirectory(dir=target.folder) as scratch:
            for path in FUNCTIONS.rglob("*"):
                if path.suffix in (".py", ".json"):
                    copy = Path(scratch) / path.relative_to(ROOT)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, copy)
            _add_contract_checks(Path(scratch))
            compile_modules(target, Path(scratch), "/var/task")
            _zip(target.folder / "functions.zip", Path(scratch), Path(scratch).rglob("*"))
        _build_layer(target, say)
    return target.folder


def runtime_client() -> Path:
    """The folder with AWS's Python runtime client, which the local emulator runs functions with."""
    folder = BUILD / "runtime-client"
    with _build_lock():
        if not folder.exists():
            partial = folder.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            packages.install(REQUIREMENTS / "runtime.txt", ["--no-compile", "--target", str(partial)])
            partial.rename(folder)
    return folder


@contextmanager
def _build_lock() -> Iterator[None]:
    """Hold a lock: somebody may start a stack while tests start theirs."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _add_contract_checks(package: Path) -> None:
    """Add the check of each function's contract as a module. A function that compiled it would spend a twentieth of its
    start on that."""
    from functions.shared.adapters.json_schema import source  # imported late: it takes a second

    for handler in sorted(package.glob("functions/*/handler.py")):
        contract = handler.parent.name
        (package / "functions/shared/contracts" / f"{contract}.py").write_text(source(contract))


def _build_layer(target: Target, say: packages.Say) -> None:
    requirements = REQUIREMENTS / "lambda.txt"
    inputs = [requirements.read_bytes(), Path(__file__).read_bytes(), repr((target, target.interpreter())).encode()]
    fingerprint = hashlib.sha256(b"\0".join(inputs)).hexdigest()
    layer, stamp = target.folder / "layer.zip", target.folder / "layer.sha256"
    if layer.exists() and stamp.exists() and stamp.read_text() == fingerprint:
        return
    with tempfile.TemporaryDirectory(dir=target.folder) as scratch:
        python = Path(scratch) / "python"
        packages.install(requirements, ["--no-compile", *target.pip_arguments(), "--target", str(python)], say)
        say("Packing the layer")
        _prune_sdk(python)
        _add_parser_tables(python)
        compile_modules(target, Path(scratch), "/opt")
        _zip(layer, Path(scratch), python.rglob("*"))
    stamp.write_text(fingerprint)


def _prune_sdk(python: Path) -> None:
    """Remove the SDK's data for services that we don't use, the endpoints table included: every client reads it
    first."""
    data = python / "botocore" / "data"
    for service in data.iterdir():
        if service.is_dir() and service.name not in AWS_SERVICES:
            shutil.rmtree(service)
    shutil.rmtree(python / "boto3" / "data")  # describes boto3's resources; the functions use clients
    table = data / "endpoints.json"
    endpoints = json.loads(table.read_text())
    for partition in endpoints["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in services if name in _ENDPOINT_PREFIXES}
    table.write_text(json.dumps(endpoints))


def _add_parser_tables(python: Path) -> None:
    """Add the generated tables of rule-engine's parser; generating them is two thirds of its import time.

    The parser loads them from a module of this name, unless their signature differs from its grammar's.
    """
    parser = python / "rule_engine" / "parser"
    write_tables = "from rule_engine.engine import DebugRule; DebugRule('true')"
    environment = os.environ | {"PYTHONPATH": str(python), "PYTHONHASHSEED": "0"}  # same tables every time
    subprocess.run([sys.executable, "-c", write_tables], env=environment, check=True, capture_output=True)
    (parser / "parser.out").unlink()
    with (parser / "parsetab.py").open("a") as tables:
        tables.write(_SIGNATURE_IN_ANY_ORDER)


def compile_modules(target: Target, folder: Path, deployed_path: str) -> None:
    """Compile all modules to bytecode that is not checked against its source, since packed files never change.

    This runs in a fresh process, file by file, because Python's output depends on what is in memory.
    """
    interpreter = target.interpreter()
    if interpreter is None:
        print(f"There is no {target.runtime} on this machine: the packages have no bytecode, and cold starts are slow.")
        return
    paths = ["-s", str(folder), "-p", deployed_path, str(folder)]
    compile_all = ["-m", "compileall", "-q", "-f", "-o", "0", "--invalidation-mode", "unchecked-hash", *paths]
    environment = {"PYTHONHASHSEED": "0"}
    subprocess.run([interpreter, "-I", "-S", *compile_all], env=environment, check=True)


def _zip(target: Path, root: Path, paths: Iterable[Path]) -> None:
    def is_included(path: Path) -> bool:
        relative = path.relative_to(root)
        return path.is_file() and not any(
            part.match(pattern) for part in map(Path, relative.parts) for pattern in _EXCLUDED
        )

    with zipfile.ZipFile(target.with_suffix(".partial"), "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(filter(is_included, paths)):
            entry = zipfile.ZipInfo(path.relative_to(root).as_posix(), _ZIP_EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, path.read_bytes())
    target.with_suffix(".partial").replace(target)
