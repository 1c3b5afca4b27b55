"""Files that hold keys or payments, readable by their owner only."""

import os
from pathlib import Path
from typing import TextIO

PRIVATE_UMASK = 0o077
"""The umask for processes that write such files."""


def open_private(file: Path) -> TextIO:
    """Open a file for writing, emptied, with permissions for its owner only, whatever they were before."""
    opened = open(file, "w", opener=lambda path, flags: os.open(path, flags, 0o600))  # noqa: SIM115
    os.fchmod(opened.fileno(), 0o600)
    return opened


def write_private(file: Path, text: str) -> None:
    with open_private(file) as opened:
        opened.write(text)


def private_folder(folder: Path) -> None:
    """Create a folder that only its owner can read."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
