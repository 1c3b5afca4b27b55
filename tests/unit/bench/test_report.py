import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from bench import report
from bench.measure import Chart, Count, Curve, Row, Samples, Section, Target

FAST = Row("tokenize", "ms", Samples((1.0, 1.2, 1.1)), Samples((1.0,)), Target("ratio", 1.15))
SLOW = Row("screen", "ms", Samples((2.0,)), Samples((1.0,)), Target("ratio", 1.15))
CHART = Chart(
    "growth", "Growth", "payments", "ms", [Curve("ours", [1, 10], [2.0, 3.0]), Curve("floor", [1, 10], [1, 1])]
)


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=160)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_section_is_shown_with_its_floor(console: Console) -> None:
    section = Section("Start", "a bare process", [FAST, SLOW], [Count("calls", 3, 2, "two are needed")], ["Warm."])
    report.show(section, console)
    output = written(console)
    for part in ("Start, against a bare process", "≤ 1.15 ×", "1.10", "✓", "missed", "two are needed", "Warm."):
        assert part in output


def test_the_verdict_names_what_was_missed_and_fails_only_on_a_wrong_count(console: Console) -> None:
    assert report.verdict([Section("Start", "", [FAST, SLOW])], console)
    assert "1 of 2 targets were met." in written(console)
    assert "missed Start: screen is 2.00, target ≤ 1.15 ×" in written(console)
    assert not report.verdict([Section("Calls", "", counts=[Count("kms", 3, 2)])], console)
    assert "wrong Calls: kms is 3, not 2" in written(console)


def test_all_samples_are_kept(tmp_path: Path) -> None:
    report.save([Section("Start", "a bare process", [FAST])], {"cores": 2}, tmp_path / "bench.json")
    saved = json.loads((tmp_path / "bench.json").read_text())
    [row] = saved["sections"][0]["rows"]
    assert saved["machine"] == {"cores": 2}
    assert row["measured"] == {"median": 1.1, "min": 1.0, "max": 1.2, "samples": [1.0, 1.2, 1.1]}
    assert (row["figure"], row["holds"], row["floor"]["median"]) == (1.1, True, 1.0)


@pytest.mark.parametrize("log_x", [False, True])
def test_curves_are_drawn_deterministically(tmp_path: Path, log_x: bool) -> None:
    chart = Chart(CHART.file, CHART.title, CHART.x, CHART.y, CHART.curves, log_x)
    svg = report.draw(chart, tmp_path).read_text()
    assert (tmp_path / "growth.svg").read_text() == svg == report.draw(chart, tmp_path).read_text()
    assert svg.count('<g id="line2d_') > len(CHART.curves)


def test_the_machine_is_described() -> None:
    machine_info = report.describe_machine()
    assert machine_info["cores"] >= 1
    assert machine_info["python"].startswith("3.")
    assert machine_info["versions"]["botocore"]
