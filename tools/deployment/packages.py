"""Install packages at their locked versions, and report progress.

`make setup` runs this before any package is installed, so it imports only the standard library.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

Say = Callable[[str], object]


class PackagesError(Exception):
    """The packages could not be installed; pip has printed the reason on standard error."""


def install(requirements: Path, arguments: Iterable[str] = (), say: Say = lambda text: None) -> None:
    """Install a lock file's packages; `arguments` are passed to pip. Raises PackagesError."""
    total, fetched = len(re.findall(r"^[a-zA-Z0-9]", requirements.read_text(), re.MULTILINE)), 0
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar=off"]
    lock = ["--require-hashes", "--requirement", str(requirements)]
    with subprocess.Popen([*pip, *lock, *arguments], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            match line.split()[0:1]:
                case ["Ignoring"]:  # for other systems
                    total -= 1
                case ["Collecting"]:
                    fetched += 1
                    say(f"Fetching packages: {fetched} of {total}")
                case ["Installing"]:
                    say(f"Installing {total} packages")
    if process.returncode:
        raise PackagesError(f"The packages of {requirements.name} could not be installed: see above.")


def _show(text: str) -> None:
    """Show progress: one changing line in a terminal, an occasional line in a log."""
    if sys.stdout.isatty():
        print(f"\r\033[K{text}", end="", flush=True)
    elif not re.search(r": \d+ of", text) or re.search(r": \d*[05]0 of", text):
        print(text, flush=True)


if __name__ == "__main__":
    try:
        install(Path(sys.argv[1]), say=_show)
    except PackagesError as error:
        sys.exit(str(error))
    finally:
        _show("") if sys.stdout.isatty() else None
