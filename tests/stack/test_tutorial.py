"""The documents' own commands, run on the stack as a reader would."""

import os
import re
import subprocess
from typing import Any

import pytest

from client import PaymentsClient, seal
from tests.documents import MANUAL, README, Block, document
from tests.stack.driver import CARD_DATA
from tools.deployment.paths import ROOT
from tools.deployment.stack import Stack, new_payment_id
from tools.local.machine import Machine

DONE_BY_FIXTURES = {"make up\n", "make down\n"}
SETUP_IS_DONE = 'make() { command make --no-print-directory --old-file .venv/requirements.sha "$@"; }'
# This checkout's command, whichever is installed.
COMMAND = 'payments() { .venv/bin/python -m tools.cli "$@"; }'
MARK = "=== block "


def run(script: str, machine: Machine, **environment: str) -> str:
    """Return what a shell prints for this in the project's folder, with the tests' stack as the default stack."""
    adapted = script.replace("build/stack.", f"{machine.stack_file.with_suffix('')}.")
    script = f"set -euo pipefail\n{SETUP_IS_DONE}\n{COMMAND}\n{adapted}"
    shell = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    shell |= {"STACK": str(machine.stack_file), "TERM": "dumb", **environment}
    command = ["bash", "-c", script]
    process = subprocess.run(command, cwd=ROOT, env=shell, capture_output=True, text=True, timeout=300)  # noqa: S603
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def pattern(expected: str) -> re.Pattern[str]:
    """Matches the output that a document shows: its lines in order, with anything for each `…`, any width of gaps and
    tables, and anything in between."""
    lines = [line for line in expected.splitlines() if line.strip() not in ("", "…")]
    parts = [re.escape(" ".join(re.sub("[─━╶╴]+", "", line).split())).replace("…", ".*?") for line in lines]
    return re.compile(".*?".join(part.replace(r"\ ", r"\s*") for part in parts), re.DOTALL)


def shows(output: str, expected: str) -> bool:
    return pattern(expected).search(" ".join(output.split())) is not None


def pairs(blocks: list[Block]) -> list[tuple[Block, str | None]]:
    """Each block of commands, with the output that follows it."""
    return [
        (block, after.text if after is not None and after.language == "text" else None)
        for block, after in zip(blocks, [*blocks[1:], None], strict=True)
        if block.language == "sh" and block.text not in DONE_BY_FIXTURES
    ]


def test_the_tutorials_commands_print_what_it_shows(stack: Stack, machine: Machine) -> None:
    documented = pairs(document("tutorial").blocks)
    output = run("\n".join(f"echo '{MARK}{block.line}'\n{block.text}" for block, _ in documented), machine)
    printed = dict(re.findall(rf"{MARK}(\d+)\n(.*?)(?={MARK}|\Z)", output, re.DOTALL))
    assert len(documented) > 10
    for block, expected in documented:
        actual = printed[str(block.line)]
        assert expected is None or shows(actual, expected), f"line {block.line}: expected\n{expected}\nbut\n{actual}"


@pytest.mark.parametrize(
    ("expected", "matches"),
    [
        ('{"id": "…", "status": "done"}\n', True),
        ("│ ✓ │ Charge │ … s │ │\n│ ✓ │ Persist │ … s │ │\n", True),
        ('…\n"status": "done"\n…\n│ ✓ │ Persist', True),
        ("│ ✓ │ Persist │ … s │ │\n│ ✓ │ Charge │ … s │ │\n", False),
        ('{"id": "…", "status": "undone"}\n', False),
    ],
)
def test_output_is_compared_line_by_line(expected: str, matches: bool) -> None:
    output = '{"id": "7f3e", "status": "done"}\n│ ✓ │ Charge  │ 0.1 s │    │\n│ ✓ │ Persist │ 0.2 s │    │\n'
    assert shows(output, expected) is matches


def example(heading: str, language: str) -> Block:
    """The first block in a language below a heading of the manual."""
    return next(block for block in MANUAL.blocks_of(heading) if block.language == language)


def credentials(stack: Stack) -> dict[str, str]:
    assert stack.access_key_id
    assert stack.secret_access_key
    return {"AWS_ACCESS_KEY_ID": stack.access_key_id, "AWS_SECRET_ACCESS_KEY": stack.secret_access_key}


def test_the_manuals_calls_are_answered_as_shown(stack: Stack, machine: Machine) -> None:
    block, key = example("The API by example", "sh"), new_payment_id()
    output = run(block.text, machine, API=stack.api_url, KEY=key)
    accepted, payment = output.replace("}{", "}\n{").splitlines()
    expected = [line.removeprefix("# ") for line in block.text.splitlines() if line.startswith("# ")]
    assert shows(f"202 {accepted}", expected[0])
    assert '"payment_id"' in payment
    assert stack.follow(key, timeout_seconds=60)["status"] == "captured"
    assert '"status": "captured"' in expected[1]


def test_the_readmes_payment_is_captured(stack: Stack, machine: Machine) -> None:
    block, key = README.blocks_of("Try it")[-1], new_payment_id()
    assert '"payment_id"' in run(block.text, machine, API=stack.api_url, KEY=key)
    assert stack.follow(key, timeout_seconds=60)["status"] == "captured"


def test_the_manuals_python_pays_and_refunds(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in credentials(stack).items():
        monkeypatch.setenv(name, value)
    payment_id = new_payment_id()
    own_key = stack.call("POST", "/keys", headers={"Idempotency-Key": payment_id}).json()
    sealed = seal(CARD_DATA, payment_id, own_key)
    names: dict[str, Any] = {
        "PaymentsClient": PaymentsClient,
        "api_url": stack.api_url,
        "region": stack.region,
        "payment_id": payment_id,
        "sealed": sealed,
    }
    exec(compile(example("A shop's checkout", "python").text, str(MANUAL), "exec"), names)  # noqa: S102
    assert names["payment"].status == "captured"
    ended = names["payments"].wait_for_operation(payment_id, names["refund"].operation_id)
    assert (ended.status, ended.amount_minor) == ("succeeded", 500)
