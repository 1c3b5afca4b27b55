"""Presents the results: in the terminal, as JSON, and as pictures."""

import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn
from rich.table import Table

from bench.measure import Chart, Row, Samples, Section
from tools.deployment.paths import ROOT

_VERSIONS = ("boto3", "botocore", "cryptography", "fastjsonschema", "jsonschema", "requests", "ministack")
_COLOURS = ("#1f5fa8", "#c4572a", "#3d8a4e", "#7a5aa6")
_MARKERS = "osD^"
# Matplotlib can't draw in CSS variables: these colours stand for them, and become the page's ink and background.
_INK, _BACKGROUND = "#000001", "#fffffe"
_STYLE = """<style>
svg { --ink: #1b2230; --ground: #ffffff; --c0: #1f5fa8; --c1: #b3541e; --c2: #2f7a42; --c3: #6a4a96 }
@media (prefers-color-scheme: dark) {
svg { --ink: #dfe4ec; --ground: #181d26; --c0: #82b1ff; --c1: #f0955e; --c2: #6fd08c; --c3: #c3a8f0 }
}
</style>"""


def describe_machine() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _output("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        "system": platform.platform(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load": [round(load, 1) for load in os.getloadavg()],
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _VERSIONS},
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor()


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


# -- In the terminal


def show_machine(machine: dict[str, Any], console: Console) -> None:
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    console.print(
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load'][0]}; {machine['system']}\n"
        f"Python {machine['python']}; {versions}; commit {machine['commit']}",
        highlight=False,
    )


@contextmanager
def progress(console: Console) -> Iterator[Callable[[str], None]]:
    """Show what is being measured, and for how long. Call the yielded function with the name of each part."""
    with Progress(SpinnerColumn(), "{task.description}", TimeElapsedColumn(), console=console, transient=True) as bar:

        def begin(name: str) -> None:
            for task in bar.task_ids:
                bar.remove_task(task)
            bar.add_task(name, total=None)

        yield begin


def show(section: Section, console: Console) -> None:
    console.print(f"\n[bold]{section.name}[/bold], against {section.against}", highlight=False)
    if section.rows:
        console.print(_rows(section.rows))
    if section.counts:
        table = Table("", "counted", "expected", "", "why")
        for count in section.counts:
            table.add_row(count.what, f"{count.counted:g}", f"{count.expected:g}", _mark(count.holds), count.why)
        console.print(table)
    for note in section.notes:
        console.print(f"[dim]{note}[/dim]", highlight=False)


def _rows(rows: Sequence[Row]) -> Table:
    table = Table("", "n")
    for name in ("median", "min", "max", "floor's median", "min", "max", "figure", "target"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for row in rows:
        figure = "" if row.figure is None else _number(row.figure)
        table.add_row(
            f"{row.what}, {row.unit}",
            str(len(row.measured.values)),
            *_median_and_range(row.measured),
            *(_median_and_range(row.floor) if row.floor else ("", "", "")),
            figure,
            str(row.target or ""),
            _mark(row.holds),
        )
    return table


def _median_and_range(samples: Samples) -> tuple[str, str, str]:
    return _number(samples.median), _number(samples.minimum), _number(samples.maximum)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _mark(holds: bool | None) -> str:
    return {True: "[green]✓[/green]", False: "[red]missed[/red]", None: ""}[holds]


def verdict(sections: Sequence[Section], console: Console) -> bool:
    """Print the missed targets and the wrong counts, and return whether all counts are right."""
    rows = [(section, row) for section in sections for row in section.rows if row.holds is False]
    counts = [(section, count) for section in sections for count in section.counts if not count.holds]
    targets = sum(row.target is not None for section in sections for row in section.rows)
    console.print(f"\n{targets - len(rows)} of {targets} targets were met.", highlight=False)
    for section, row in rows:
        figure = _number(row.figure or 0)
        console.print(f"[red]missed[/red] {section.name}: {row.what} is {figure}, target {row.target}", highlight=False)
    for section, count in counts:
        console.print(
            f"[red]wrong[/red] {section.name}: {count.what} is {count.counted:g}, not {count.expected:g}",
            highlight=False,
        )
    return not counts


# -- In files


def save(sections: Sequence[Section], machine: dict[str, Any], file: Path) -> None:
    document = {"machine": machine, "sections": [section.to_dict() for section in sections]}
    file.write_text(json.dumps(document, indent=1) + "\n")


def draw(chart: Chart, folder: Path) -> Path:
    """Write the picture, in light and dark, and return its file."""
    import matplotlib as mpl  # imported late: it takes half a second
    from matplotlib.figure import Figure

    # Equal curves must give equal bytes, and text must stay text.
    mpl.rcParams |= {"svg.hashsalt": chart.file, "svg.fonttype": "none", "font.size": 11}
    mpl.rcParams |= dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK
    )
    figure = Figure(figsize=(9, 4.6), layout="constrained", facecolor=_BACKGROUND)
    axes = figure.add_subplot(facecolor="none")
    for curve, colour, marker in zip(chart.curves, _COLOURS, _MARKERS, strict=False):
        axes.plot(curve.x, curve.y, marker=marker, color=colour, label=curve.name)
    if chart.log_x:
        ticks = sorted({x for curve in chart.curves for x in curve.x})
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
        axes.minorticks_off()
    axes.set_title(chart.title, loc="left", fontweight="bold")
    axes.set(xlabel=f"{chart.x}{', log scale' * chart.log_x} →", ylabel=f"{chart.y} →")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.2, color=_INK)
    axes.spines[["top", "right"]].set_visible(False)
    if len(chart.curves) > 1:
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), title="What is measured", alignment="left")
    file = folder / f"{chart.file}.svg"
    figure.savefig(file, metadata={"Date": None}, facecolor=_BACKGROUND)
    text = file.read_text()
    for number, colour in enumerate(_COLOURS):
        text = text.replace(colour, f"var(--c{number})")
    text = (
        text.replace(_INK, "var(--ink)").replace(_BACKGROUND, "var(--ground)").replace("<defs>", f"{_STYLE}<defs>", 1)
    )
    file.write_text("".join(f"{line.rstrip()}\n" for line in text.splitlines()))  # as git wants them
    return file
