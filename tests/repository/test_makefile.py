"""Any value of a Makefile variable reaches the command unchanged, and no shell runs it."""

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from tools.deployment.paths import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()

COMMANDS = {
    "demo": "tools.cli demo",
    "up": "tools.cli up",
    "down": "tools.cli down",
    "replay": "tools.cli replay --repeat={REPEAT} --concurrency={CONCURRENCY} --watch --junit={JUNIT} "
    "--json-file={JSON} --execution={EXECUTION} --status={STATUS} --since={SINCE} --until={UNTIL} "
    "--limit={LIMIT} --from-stack={FROM} --card={CARD} -- {EVENT*}",
    "invoke": "tools.cli invoke -- {FUNCTION} {EVENT}",
    "seal": "tools.cli seal --payment-id={PAYMENT}",
    "explain": "tools.cli explain --call={CALL} -- {BODY}",
    "inspect": "tools.cli inspect --html -- {PAYMENT} {HTML}",
    "console": "tools.cli console",
    "listen": "tools.cli listen --forward-to={FORWARD_TO}",
    "redeliver": "tools.cli redeliver --payment={PAYMENT} -- {WEBHOOK}",
    "audit": "tools.cli audit -- {PAYMENT*}",
    "soak": "tools.cli soak --seed={SEED} --concurrency={CONCURRENCY} -- {N}",
    "adopt": "tools.cli adopt -- {PAYMENT}",
    "reconcile": "tools.cli reconcile -- {DAY}",
    "trial-balance": "tools.cli ledger trial-balance --as-of={AS_OF}",
    "statement": "tools.cli ledger statement --from={FROM} --to={TO} -- {ACCOUNT}",
    "ledger": "tools.cli ledger payment -- {PAYMENT}",
    "export": "tools.cli ledger export --from={FROM} --to={TO} --format={FORMAT} --out={OUT}",
    "accounts": "tools.cli ledger accounts --out={OUT}",
    "verify-ledger": "tools.cli ledger verify",
    "anchor": "tools.cli ledger anchor -- {DAY}",
    "upgrade-ledger": "tools.cli ledger upgrade",
    "cost": "tools.cli cost --looks={LOOKS} -- {PER_MONTH}",
    "scale": "tools.cli scale --rate={RATE} --skew={SKEW} -- {N}",
    "rules-test": "tools.cli rules-test -- {RULES}",
    "checkout": "tools.cli checkout",
    "plan": "tools.cli plan -- {ENV}",
    "deploy": "tools.cli deploy --percent={PERCENT} --minutes={MINUTES} --yes -- {ENV}",
    "destroy": "tools.cli destroy -- {ENV}",
    "acceptance": "tools.cli accept --only={ONLY} --keep -- {ENV}",
    "rotate": "tools.cli rotate --retire -- {KEY} {ENV}",
    "picture": "tools.cli picture",
    "reference": "tools.cli reference",
    "permissions": "tools.cli permissions",
    "build": "tools.cli build --runtime={RUNTIME} --architecture={ARCHITECTURE}",
    "test": "pytest -m first -n {WORKERS}",
    "test-all": "pytest -n {WORKERS}",
    "bench": "bench --small -- {ONLY*}",
    "simulate": "tests.simulation --seed={SEED} -- {RUNS}",
    "mutants": "tests.simulation.mutants",
}
"""The arguments of each target's module if every variable has a value. `*` stands for one word each."""

OF_THEIR_OWN = {"help", "setup", "setup-all", "sbom", "advisories", "lint", "lock", "clean"}
FROM_THE_ENVIRONMENT = {"STACK", "GATEWAY", "EMULATOR_PORT", "SPARKLE_PORT", "CONSOLE_PORT", "CHECKOUT_PORT", "OSV_URL"}
"""Variables that the commands read themselves, and those that a separate target reads."""

FLAGS = {"WATCH", "YES", "RETIRE", "SMALL", "KEEP"}
VARIABLES = {*re.findall(r"{(\w+)\*?}", " ".join(COMMANDS.values())), *FROM_THE_ENVIRONMENT, *FLAGS}

VALUES = {
    "a second command": "x; touch FILE",
    "back ticks": "`touch FILE`",
    "the shell's substitution": "$(touch FILE)",
    "make's function": "$(shell touch FILE)",
    "make's function in braces": "${shell touch FILE}",
    "make's function, escaped once": "$$(shell touch FILE)",
    "make's variable": "$(PAYMENTS)",
    "make's evaluation": "$(eval $(shell touch FILE))",
    "the end of a call": "x)$(shell touch FILE)",
    "the end of a single quotation": "x'; touch FILE; '",
    "the end of a double quotation": 'x"; touch FILE; "',
    "a quotation without an end": "x'\"",
    "a line break": "x\ntouch FILE",
    "a recipe": "x\n\t@touch FILE\n",
    "an ampersand": "x & touch FILE",
    "a pipe": "x | touch FILE",
    "a redirection": "x > FILE",
    "a short option": "-x",
    "a long option": "--help",
    "a comment": "x # y",
    "a backslash at the end": "x\\",
    "dollars": "x$$y$HOME${HOME}$",
    "a glob": "* ?",
    "a home": "~",
    "blanks": "x   y  ",
    "an assignment": "x=y PAYMENTS=z",
    "letters": "Ünïcödé …",
}


class Make:
    """Make, with a Python that only records its arguments."""

    def __init__(self, folder: Path) -> None:
        self.touched = folder / "touched"
        self._calls, self._environment = folder / "calls", folder / "environment"
        self._venv = folder / "venv"
        (self._venv / "bin").mkdir(parents=True)
        (self._venv / "requirements.sha").touch()
        python = self._venv / "bin" / "python"
        note = f"printf '%s\\0' \"$@\" END >> '{self._calls}'; env -0 > '{self._environment}'"
        python.write_text(f"#!/bin/sh\n{note}\n")
        python.chmod(0o755)

    def __call__(self, *targets: str, **environment: str) -> subprocess.CompletedProcess[str]:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name not in VARIABLES
        }
        where = (f"VENV={self._venv}", f"CHECKOV={self._venv}", f"GENERATORS={self._venv}", f"LOCALSTRIPE={self._venv}")
        set_up = f"--old-file={self._venv}/requirements.sha"
        command = ["make", "--no-print-directory", set_up, *where, *targets]
        return subprocess.run(command, cwd=ROOT, env=inherited | environment, capture_output=True, text=True)

    @property
    def calls(self) -> list[list[str]]:
        """The arguments of each call, without Python's -m."""
        calls = self._calls.read_text().split("END\0")[:-1]
        return [call.split("\0")[1:-1] for call in calls]

    @property
    def environment(self) -> dict[str, str]:
        """The arguments of the last call."""
        return dict(each.split("=", 1) for each in self._environment.read_text().split("\0") if each)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return Make(tmp_path)


def expected(target: str, value: str) -> list[str]:
    arguments = []
    for word in COMMANDS[target].split():
        arguments += value.split() if word.endswith("*}") else [re.sub(r"{\w+}", lambda _: value, word)]
    return arguments


def test_every_target_and_every_variable_is_tested() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", MAKEFILE, re.MULTILINE))
    assert targets == set(COMMANDS) | OF_THEIR_OWN
    described = set(re.findall(r"\b([A-Z][A-Z_]*)=", "".join(re.findall("##.*", MAKEFILE))))
    assert described <= VARIABLES


def test_every_called_module_exists() -> None:
    modules = {*re.findall(r"python -m ([\w.]+)", MAKEFILE)}
    assert "tools.cli" in modules
    assert [module for module in modules if find_spec(module) is None] == []


@pytest.mark.parametrize("by", ["command line", "environment"])
@pytest.mark.parametrize("name", VALUES)
def test_a_value_reaches_every_command_unchanged(make: Make, name: str, by: str) -> None:
    value = VALUES[name].replace("FILE", str(make.touched))
    values = dict.fromkeys(VARIABLES, value)
    if by == "environment":
        process = make(*COMMANDS, **values)
    else:
        process = make(*COMMANDS, *(f"{variable}={value}" for variable in VARIABLES))
    assert process.returncode == 0, process.stderr
    assert not make.touched.exists()
    assert make.calls == [expected(target, value) for target in COMMANDS]
    assert {variable: make.environment[variable] for variable in VARIABLES} == values


def test_without_values_the_commands_use_their_defaults(make: Make) -> None:
    needs_nothing = [
        target
        for target, command in COMMANDS.items()
        if not re.search("{(FUNCTION|ACCOUNT|ENV)}|-- {PAYMENT}", command)
    ]
    assert make(*needs_nothing).returncode == 0
    bare = [[word for word in COMMANDS[target].split() if not re.search("{|^--.", word)] for target in needs_nothing]
    workers = {"test": "4", "test-all": "5"}
    assert make.calls == [
        [*words, workers[target]] if target in workers else words
        for target, words in zip(needs_nothing, bare, strict=True)
    ]


def test_a_page_goes_where_the_command_chooses_unless_a_file_is_named(make: Make) -> None:
    make("inspect", "PAYMENT=p-1", "HTML=1")
    make("inspect", "PAYMENT=p-1", "HTML=a page.html")
    assert make.calls == [
        ["tools.cli", "inspect", "--html", "--", "p-1"],
        ["tools.cli", "inspect", "--html", "--", "p-1", "a page.html"],
    ]


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("invoke", "Say which: make invoke FUNCTION=charge"),
        ("inspect", "Say which: make inspect PAYMENT=…"),
        ("statement", "Say which: make statement ACCOUNT=asset:bank"),
        ("ledger", "Say which: make ledger PAYMENT=…"),
        ("plan", "Say where: make plan ENV=dev"),
        ("deploy", "Say where: make deploy ENV=dev"),
        ("destroy", "Say where: make destroy ENV=dev"),
        ("rotate", "Say which: make rotate KEY=sealing ENV=dev"),
        ("rotate KEY=sealing", "Say where: make rotate KEY=sealing ENV=dev"),
    ],
)
def test_a_missing_required_variable_is_named(make: Make, target: str, complaint: str) -> None:
    process = make(*target.split())
    assert process.returncode == 2
    assert complaint in process.stderr


@pytest.mark.parametrize("by", ["command line", "environment"])
def test_the_python_for_setup_is_one_command(make: Make, tmp_path: Path, by: str) -> None:
    value = f"{tmp_path}/no python; touch {make.touched}; $(shell touch {make.touched})"
    venv = f"VENV={tmp_path / 'new'}"
    process = make("setup", venv, f"PYTHON={value}") if by == "command line" else make("setup", venv, PYTHON=value)
    assert process.returncode == 2
    assert not make.touched.exists()


def test_set_up_takes_the_system_s_python_if_that_can_and_none_is_named(make: Make, tmp_path: Path) -> None:
    stamp = tmp_path / "new" / "requirements.sha"
    show = f'{stamp}: shown\nshown:; @echo "$$PYTHON"; false'
    set_up = ("--eval", show, f"VENV={stamp.parent}", str(stamp))
    assert make(*set_up, PYTHON="/the one/named").stdout == "/the one/named\n"

    system = shutil.which("python3", path=os.confstr("CS_PATH"))
    can = "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))"
    chosen = make(*set_up).stdout.rstrip("\n")
    if system and subprocess.run([system, "-c", can], stderr=subprocess.DEVNULL).returncode == 0:
        assert Path(chosen).samefile(system)
    else:
        assert chosen == "python3"


def stub(folder: Path, name: str, last: str = "") -> None:
    """A program that prints to standard output, makes the environment that it is told to make, and then does `last`."""
    program = folder / name
    script = f"""#!/bin/sh
case "$*" in *version_info*) exit;; esac
echo "noise of {name} $*"
case "$*" in *venv*) for folder; do :; done; mkdir -p "$folder/bin"; cp {folder}/* "$folder/bin";; esac
{last}
"""
    program.write_text(script)
    program.chmod(0o755)


def set_up(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    names = ("VENV", "CHECKOV", "GENERATORS", "LOCALSTRIPE")
    variables = [f"{name}={folder / name.lower()}" for name in names]
    stamps = [str(folder / name.lower() / "requirements.sha") for name in names]
    command = ["make", "--no-print-directory", f"PYTHON={folder / 'bin' / 'python'}", *variables, *stamps]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)


@pytest.mark.parametrize("npm", ["", 'case "$*" in *npm*) exit 1;; esac'], ids=["npm", "no npm"])
def test_set_up_says_nothing_on_standard_output(tmp_path: Path, npm: str) -> None:
    (tmp_path / "bin").mkdir()
    for name, last in {"python": npm, "uv": "", "terraform": ""}.items():
        stub(tmp_path / "bin", name, last)
    done = set_up(tmp_path, PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert len(re.findall(r"Setting up \S+: \d+ packages, which takes", done.stderr)) == 4
    assert ("npm could not install" in done.stderr) is bool(npm)


def test_without_terraform_set_up_says_so_on_standard_error(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    stub(tmp_path / "bin", "python")
    tools = {name: shutil.which(name) for name in ("make", "sh", "echo", "grep", "sort", "awk")}
    for name, place in tools.items():
        (tmp_path / "bin" / name).symlink_to(str(place))
    done = set_up(tmp_path, PATH=str(tmp_path / "bin"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "Terraform is not installed" in done.stderr
