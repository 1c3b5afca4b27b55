"""The command's reference, docs/command.md, made from the command itself."""

import html
import subprocess
import sys

from tools.deployment.paths import ROOT

REFERENCE = ROOT / "docs" / "command.md"
_NOTE = "<!-- Made by `make reference`. -->\n\n"


def reference_text() -> str:
    """The reference in Markdown, as Typer writes it of a command."""
    docs = [sys.executable, "-m", "typer", "tools.cli.__main__", "utils", "docs", "--name", "payments"]
    done = subprocess.run(docs, cwd=ROOT, check=True, capture_output=True, text=True)
    return _NOTE + html.unescape(done.stdout).strip() + "\n"
