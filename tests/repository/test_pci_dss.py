"""docs/pci-dss.md names only tests and files that exist."""

import re
from pathlib import Path

import pytest

from tools.deployment.paths import ROOT

DOCUMENT = (ROOT / "docs" / "pci-dss.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in DOCUMENT.splitlines() if re.match(r"\| \d", line)
]
EVIDENCE = sorted({named for row in ROWS for named in re.findall(r"`([^`]+)`", row[2])})


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_every_test_and_file_that_is_named_exists(evidence: str) -> None:
    path, _, test = evidence.partition("::")
    file = ROOT / path
    assert file.is_file()
    assert not test or re.search(rf"def {test}\b", file.read_text())


def test_every_row_states_the_measure_its_evidence_and_the_deployers_part() -> None:
    assert [row for row in ROWS if len(row) != 4 or not all(row)] == []
    assert [row[0] for row in ROWS if not re.search(r"`[^`]+`", row[2])] == []


@pytest.mark.parametrize(
    "requirement",
    [
        "3.2",
        "3.3",
        "3.4",
        "3.5",
        "3.6",
        "3.7",
        "4.2",
        "6.2",
        "6.3",
        "6.4",
        "6.5",
        "7.2",
        "7.3",
        "8.2",
        "8.3",
        "8.6",
        "10.2",
        "10.3",
        "10.5",
        "10.7",
        "11.3",
        "3.4.2",
        "11.4",
        "11.5",
        "12.3.3",
        "12.5.2",
        "12.10.7",
    ],
)
def test_the_requirement_has_a_row(requirement: str) -> None:
    assert any(re.search(rf"(^|[^\d.]){re.escape(requirement)}(\.|\b)", row[0]) for row in ROWS)


def test_every_file_that_the_text_names_exists() -> None:
    named = re.findall(r"`((?:docs|functions|terraform|tests|examples|cli|requirements)/[^`:*]+)`", DOCUMENT)
    assert [path for path in named if not Path(ROOT, path).exists()] == []


def test_every_key_is_in_the_inventory_of_cryptography() -> None:
    keys = re.findall(
        r'(\w+)(?:-\$\{generation\}")? =>? \{\n +description .*\n +usage .*\n +spec += "(\w+)"',
        (ROOT / "terraform" / "kms.tf").read_text(),
    )
    assert len(keys) == (ROOT / "terraform" / "kms.tf").read_text().count(" spec ")
    listed = DOCUMENT.partition("## Cryptography in use")[2].partition("\n## ")[0].splitlines()
    for name, spec in keys:
        assert [row for row in listed if row.startswith(f"| {name} key |") and f"`{spec}`" in row], name
