"""Every fact about AWS names its source, and some test uses it."""

import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.deployment.paths import ROOT

FOLDER = ROOT / "tests" / "aws_facts"
FILES = sorted(FOLDER.glob("*.yaml"))
KINDS = {"documentation", "recorded answer", "source"}


def read(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return document


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_fact_has_sources_with_a_quotation_and_a_date(file: Path) -> None:
    document = read(file)
    assert set(document) == {"topic", "sources", "facts"}
    assert document["facts"]
    assert document["sources"]
    for source in document["sources"]:
        assert set(source) == {"kind", "title", "says", "seen"}, source
        assert source["kind"] in KINDS, source
        assert isinstance(source["seen"], datetime.date) or source["seen"] == "not opened: from memory", source


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_fact_is_used_by_a_test(file: Path) -> None:
    tests = [test for test in (ROOT / "tests").rglob("*.py") if test.parent != FOLDER and test != Path(__file__)]
    assert any(f'facts("{file.stem}")' in test.read_text(encoding="utf-8") for test in tests)
