"""The documents match the project: their commands, their links, and everything that they name."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from typer.testing import CliRunner

from functions.shared.domain.payment import Status
from tests.documents import DOCUMENTS, MANUAL, README, Block, Document, document
from tools.cli.__main__ import app
from tools.deployment.paths import ROOT
from tools.local.machine import EMULATOR, gateways_with_sandbox

EXTENDING = [Document(path) for path in sorted((ROOT / "docs" / "extending").glob("*.md"))]
PAGES = [*DOCUMENTS, *EXTENDING]

RUN = {"docs/tutorial.md", *map(str, EXTENDING)}
"""Documents whose commands other tests run in order."""

NOT_OURS = {"ConcurrentExecutions", "ERROR_CODE", "ERROR_MESSAGE", "MessageGroupId", "StopExecution"}
"""AWS's names that nothing here uses."""

each_document = pytest.mark.parametrize("page", PAGES, ids=str)


@cache
def tracked() -> list[str]:
    """Every tracked file, and every file that the next `git add` would track."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip("\0").split("\0")


@cache
def known_words() -> set[str]:
    """Every word in the files that are not documents."""
    texts = (
        (ROOT / name).read_text(errors="replace")
        for name in tracked()
        if not name.endswith(".md") and not name.startswith("requirements/") and (ROOT / name).is_file()
    )
    return {word for text in texts for word in re.findall(r"\w+", text)}


@cache
def top_folders() -> set[str]:
    return {name.partition("/")[0] for name in tracked() if "/" in name}


def is_there(path: str, folder: Path = ROOT) -> bool:
    """Whether a path, a glob or `path::test` exists, or the file that it is to be copied from."""
    file, _, test = path.partition("::")
    matches = [*folder.glob(file.rstrip("/")), *folder.glob(f"{file}.example")]
    return bool(matches) and (not test or re.search(rf"def {test}\b", matches[0].read_text()) is not None)


def named_paths(text: str) -> list[str]:
    """The repository's paths in a line of code, without those that contain a placeholder."""
    folders = "|".join(map(re.escape, sorted(top_folders())))
    words = re.findall(rf"(?<![\w/.-])(?:{folders})/\S*", text)
    return [path for word in words if not re.search("[<…${]", path := word.strip("'\",;)"))]


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The commands that make would run."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "--dry-run", "--old-file", ".venv/requirements.sha", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=plain)


def is_read_by_the_command(variable: str) -> bool:
    sources = (path.read_text() for path in (ROOT / "tools").rglob("*.py"))
    ports = {f"{service.upper()}_PORT" for service in (EMULATOR, *gateways_with_sandbox())}
    return variable in ports or any(f'"{variable}"' in source for source in sources)


def complain_of_make(arguments: list[str], *, in_passing: bool) -> str | None:
    """The mistake in a call of make: an unknown target, or a variable that nothing reads. Else None.

    A target that the text only mentions may lack required variables.
    """
    process = make(*arguments)
    if process.returncode and not (in_passing and "*** Say " in process.stderr):
        return process.stderr.strip()
    for variable in (argument for argument in arguments if "=" in argument):
        others = make(*(argument for argument in arguments if argument != variable))
        name = variable.partition("=")[0]
        if (others.stdout, others.stderr) == (process.stdout, process.stderr) and not is_read_by_the_command(name):
            return f"{name} changes nothing"
    return None


def complain_of_aws(arguments: list[str]) -> str | None:
    """The mistake in a call of the AWS CLI, by the services' own models."""
    service, operation, *more = arguments
    model = ServiceModel(Loader().load_service_model(service.removesuffix("api"), "service-2"))
    name = operation.title().replace("-", "")
    if name not in model.operation_names:
        return f"{service} has no {operation}"
    shape = model.operation_model(name).input_shape
    members = {re.sub(r"(?<!^)(?=[A-Z])", "-", member).lower() for member in (shape.members if shape else {})}
    options = {word.removeprefix("--") for word in more if word.startswith("--")}
    unknown = options - members - {"query", "output", "region", "profile"}
    return f"{service} {operation} has no {unknown}" if unknown else None


def complain_of_payments(arguments: list[str]) -> str | None:
    """The mistake in a call of the command: an unknown subcommand or option."""
    result = CliRunner().invoke(app, [*arguments, "--help"])
    return " ".join(re.sub("[│─╭╮╰╯]", "", result.stderr).split()) if result.exit_code else None


def complain_of(command: list[str], *, in_passing: bool = False) -> str | None:
    while command and re.fullmatch(r"\w+=.*", command[0], re.DOTALL):
        command = command[1:]
    match command:
        case ["make", *arguments]:
            return complain_of_make(arguments, in_passing=in_passing)
        case ["aws", *arguments]:
            return complain_of_aws(arguments)
        case ["payments", *arguments]:
            return complain_of_payments(arguments)
        case [program, *_] if program.startswith(".venv/bin/"):
            return None if (ROOT / program).exists() else f"{program} is not there"
        case [] | ["git" | "curl" | "cp" | "echo" | "sort" | "terraform", *_]:
            return None
    return f"nothing here says what {command[0]} is"


def shell_blocks(page: Document) -> list[Block]:
    return [block for block in page.blocks if block.language == "sh"]


def commands() -> Iterator[Any]:
    """Every command that a document shows and no test runs, and the commands in code font in its text."""
    for page in PAGES:
        blocks = [] if str(page) in RUN else shell_blocks(page)
        mentioned = [Block("sh", None, 0, span) for span in page.code if re.match(r"(make|payments) [a-z]", span)]
        for block in blocks + mentioned:
            for command in block.commands:
                yield pytest.param(
                    command, block in mentioned, id=f"{page}:{block.line or ''} {' '.join(command)[:60]}"
                )


@pytest.mark.parametrize(("command", "in_passing"), list(commands()))
def test_every_shown_command_exists_with_its_options(command: list[str], in_passing: bool) -> None:
    assert complain_of(command, in_passing=in_passing) is None


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("make deplay ENV=dev", "No rule to make target"),
        ("make deploy ENV=dev PERCENTAGE=10", "PERCENTAGE changes nothing"),
        ("make deploy", "Say where"),
        ("aws stepfunctions start-executions --name x", "no start-executions"),
        ("aws stepfunctions start-execution --title x", "has no {'title'}"),
        (".venv/bin/nothing", "is not there"),
        ("payments repay", "No such command 'repay'"),
        ("payments get x --yaml", "No such option"),
        ("frobnicate docs", "nothing here says"),
    ],
)
def test_a_mistake_in_a_command_is_found(command: str, complaint: str) -> None:
    assert complaint in (complain_of(command.split()) or "")


def test_commands_are_told_apart() -> None:
    text = "A=1 make up  # starts it\naws sqs receive-message --url <url of it> \\\n  --x 'a\nb' | sort && make down\n"
    assert list(Block("sh", None, 1, text).commands) == [
        ["A=1", "make", "up"],
        ["aws", "sqs", "receive-message", "--url", "PLACEHOLDER", "--x", "a\nb"],
        ["sort"],
        ["make", "down"],
    ]


@each_document
def test_every_link_has_a_target(page: Document) -> None:
    broken = []
    for link in page.links:
        path, _, anchor = link.partition("#")
        if "://" in path:
            continue
        target = page.path.parent / path if path else page.path
        if not target.exists() or (anchor and anchor not in Document(target).anchors):
            broken.append(link)
    assert broken == []


@each_document
def test_every_named_path_exists(page: Document) -> None:
    texts = page.code + [block.text for block in shell_blocks(page)]
    # A page of docs/extending/ adds things that don't exist yet.
    new = {block.file for block in page.blocks if block.file}
    paths = [path for text in texts for path in named_paths(text) if path not in new]
    assert [path for path in paths if not is_there(path) and not is_there(path, page.path.parent)] == []


@each_document
def test_every_name_in_code_font_exists(page: Document) -> None:
    shown_words = {
        word for block in page.blocks if block.file or block.language == "diff" for word in block.text.split()
    }
    names = {span for span in page.code if re.fullmatch(r"\w*[a-zA-Z]\w*", span)}
    added = {word for text in shown_words for word in re.findall(r"\w+", text)}
    assert names - known_words() - NOT_OURS - added == set()


@each_document
def test_every_shown_json_is_valid(page: Document) -> None:
    for block in page.blocks:
        if block.language == "json":
            json.loads(block.text)


def test_the_readme_links_every_document_and_a_document_shows_each_picture() -> None:
    linked = {link for link in README.links if link.startswith("docs/")}
    links = {f"docs/{link}" for page in PAGES if page.path.parent == ROOT / "docs" for link in page.links}
    pictures = {name for name in links if name.endswith((".png", ".svg"))}
    assert {name for name in tracked() if name.startswith("docs/")} - linked - pictures == set()


def test_the_runbook_says_of_each_function_what_its_errors_mean() -> None:
    named = [name for row in document("runbook").table("function-errors") for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(named) == sorted(path.parent.name for path in (ROOT / "functions").glob("*/handler.py"))


def test_the_manual_names_every_status() -> None:
    (row,) = (row for row in MANUAL.table("The API by example") if row[0] == "`GET /payments/{payment_id}`")
    assert set(get_args(Status)) | {"processing", "rejected"} <= set(re.findall(r"`(\w+)`", row[1]))


def test_the_manual_has_every_call_of_the_api() -> None:
    api = (ROOT / "terraform" / "api_gateway.tf").read_text()
    operations = re.findall(r"^ {4}(\w+) += \{ type = ", api, re.MULTILINE)
    starts = [f"POST /{path}" for path in re.findall(r"^ {6}(\w+) += \{ machine", api, re.MULTILINE)]
    reads = re.findall(r'item = "(\w+)", http_method = "(\w+)"', api)
    items = dict(re.findall(r'^ {4}(\w+) += "(\{\w+\})"', api, re.MULTILINE))
    assert {row[0].strip("`") for row in MANUAL.table("The API by example")} == {
        *starts,
        *(f"POST /payments/{{payment_id}}/{path}" for path in operations),
        *(f"{method} /{item}/{items[item]}" for item, method in reads if item in items),
        "GET /payments",
        "GET /payments/{payment_id}/operations/{operation_id}",
        "POST /keys",
        "GET /keys",
    }
