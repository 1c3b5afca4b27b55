"""`make bench` by itself, with a machine and parts that do nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner, Result

import bench.__main__ as command
from bench.__main__ import Part
from bench.measure import Section
from tools.local.machine import Machine
from tools.output import ExitCode


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What was done, in order."""
    done: list[str] = []
    monkeypatch.setattr(command, "BUILD", tmp_path)
    monkeypatch.setattr(Machine, "up", lambda *_: done.append("up"))
    monkeypatch.setattr(Machine, "down", lambda _: done.append("down"))
    return done


def run(*arguments: str) -> Result:
    app = Typer()
    app.command()(command.main)
    return CliRunner().invoke(app, arguments)


def part(name: str) -> Callable[[], Section]:
    return lambda: Section(name, "its floor")


def test_a_part_that_is_not_known_is_refused_before_anything_starts(steps: list[str]) -> None:
    refused = run("cold", "wram")
    assert refused.exit_code == ExitCode.USAGE
    assert all(name in refused.stderr for name in ("wram", *Part))
    assert steps == []


def test_after_ctrl_c_what_was_measured_is_written(
    steps: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted() -> Section:
        raise KeyboardInterrupt

    parts = {Part.SIZE: part("Size"), Part.COLD: interrupted, Part.WARM: part("Warm")}
    monkeypatch.setattr(command, "sections", lambda stack, sizes: parts)
    assert run().exit_code == ExitCode.INTERRUPTED
    assert [each["name"] for each in json.loads((tmp_path / "bench.json").read_text())["sections"]] == ["Size"]
    assert steps == ["down", "up", "down"]
