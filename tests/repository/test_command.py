"""The installable command: its reference, and the wheel that `pip install .` builds."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from zipfile import ZipFile

import pytest

from tools.cli.reference import REFERENCE, reference_text
from tools.deployment.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Only commands that need a checkout import these, when they run.
OF_A_CHECKOUT = {"airspeed", "awslambdaric", "httpx", "matplotlib", "ministack", "regex", "uv"}


def test_the_reference_is_that_of_the_command() -> None:
    assert reference_text() == REFERENCE.read_text(), "make reference"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        ".",
    ]
    subprocess.run(build, cwd=ROOT, check=True)
    (file,) = folder.glob("payments-*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """A folder with the contents of the wheel. Its dependencies are in this environment."""
    folder = wheel.parent / "site-packages"
    ZipFile(wheel).extractall(folder)
    return folder


def payments(installed: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command outside any checkout."""
    return python(installed, "from tools.cli.__main__ import main; main()", *arguments, **environment)


def python(installed: Path, program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program with the installed packages, outside any checkout."""
    program = f"import sys; sys.path.insert(0, {str(installed)!r})\n{program}"
    inherited = {name: value for name, value in os.environ.items() if name not in ("STACK", "PYTHONPATH")}
    command = [sys.executable, "-P", "-c", program, *arguments]
    return subprocess.run(command, cwd=installed.parent, env=inherited | environment, capture_output=True, text=True)


def test_it_has_a_version_and_help(installed: Path) -> None:
    assert payments(installed, "--version").stdout == f"payments {PROJECT['version']}\n"
    assert "refund" in payments(installed, "--help").stdout


def test_it_completes_words_for_the_shell(installed: Path) -> None:
    variables = {"_PAYMENTS_COMPLETE": "complete_bash", "COMP_WORDS": "payments ref", "COMP_CWORD": "1"}
    assert payments(installed, **variables).stdout.split() == ["refund", "reference"]


def test_it_uses_the_named_stack(installed: Path, tmp_path: Path) -> None:
    process = payments(installed, "get", "a-payment-that-is-not-there", STACK=str(tmp_path / "stack.json"))
    assert (process.returncode, process.stdout) == (3, "")
    assert f"There is no {tmp_path / 'stack.json'}" in process.stderr


def test_it_explains_mistakes_in_a_body(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text("{}")
    process = payments(installed, "explain", str(tmp_path / "body.json"))
    assert "one of them is needed" in process.stdout


NEED_THE_CHECKOUT = [
    "up",
    "demo",
    "replay x",
    "plan dev",
    "cost",
    "accept local",
    "picture",
    "rotate sealing dev",
    "build",
]
_ONE_AFTER_THE_OTHER = """
from tools.cli.__main__ import main
for command in sys.argv[1:]:
    sys.argv = ["payments", *command.split()]
    try:
        main()
    except SystemExit as end:
        print(command, "ended with", end.code, file=sys.stderr)
"""


def test_what_needs_the_checkout_says_so_in_one_line(installed: Path) -> None:
    """In one process, most of whose time goes into its imports."""
    process = python(installed, _ONE_AFTER_THE_OTHER, *NEED_THE_CHECKOUT)
    message = "CheckoutError: This needs a checkout of the project: run it there, with make or .venv/bin/payments."
    assert process.stderr == "".join(f"{message}\n{command} ended with 3\n" for command in NEED_THE_CHECKOUT)


def test_the_wheel_has_no_tests_and_no_files_of_this_machine(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {
        *("client", "examples", "functions", "tools"),
        f"payments-{PROJECT['version']}.dist-info",
    }
    assert not [name for name in names if re.search(r"\.pyc$|tfstate|stack.*\.json", name)]


def test_the_console_has_the_documents_that_it_links_to(installed: Path) -> None:
    templates = "".join(file.read_text() for file in (installed / "tools/console/templates").glob("*.html"))
    linked = set(re.findall(r"url_for\('document', name='(\w+)'\)", templates))
    assert "runbook" in linked
    docs = installed / "tools/deployment/docs"
    linked |= set(re.findall(r"\]\((\w+)\.md", (docs / "runbook.md").read_text()))
    assert [name for name in linked if not (docs / f"{name}.md").is_file()] == []
    started = f"import sys; sys.path.insert(0, {str(installed)!r}); from tools.console.app import DOCS; print(DOCS)"
    done = subprocess.run([sys.executable, "-P", "-c", started], cwd=installed.parent, capture_output=True, text=True)
    assert done.stdout == f"{docs}\n"


def test_it_depends_on_everything_that_it_imports(installed: Path) -> None:
    imported = set()
    # The emulator and localstripe run from environments of their own.
    elsewhere = ("emulator", "localstripe_process.py")
    for file in [file for file in installed.rglob("*.py") if not set(elsewhere) & set(file.parts)]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                imported.add(node.module.partition(".")[0])
    own_packages = {folder.name for folder in installed.iterdir()}
    # These types are imported only for the type checker.
    others = {name for name in imported if not name.startswith("mypy_boto3_")}
    others -= set(sys.stdlib_module_names) | own_packages | OF_A_CHECKOUT
    declared = {re.split("[>=<]", each)[0].lower() for each in PROJECT["dependencies"]}
    brought_along = {"botocore": "boto3", "markupsafe": "jinja2", "referencing": "jsonschema", "werkzeug": "flask"}
    distributions = packages_distributions()
    needed = {brought_along.get(name) or distributions[name][0].lower().replace("_", "-") for name in others}
    assert needed == declared
