"""Files that hold keys or payments, for their owner's eyes alone."""

import os
from pathlib import Path
from typing import TextIO

PRIVATE_UMASK = 0o077
"""For processes that write such files."""


def open_private(file: Path) -> TextIO:
    """The file, empty and to be written, which nobody else may read, whoever could before."""
    opened = open(file, "w", opener=lambda path, flags: os.open(path, flags, 0o600))  # noqa: SIM115
    os.fchmod(opened.fileno(), 0o600)
    return opened


def write_private(file: Path, text: str) -> None:
    with open_private(file) as opened:
        opened.write(text)


def private_folder(folder: Path) -> None:
    """A folder that nobody else may look into, made where it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
