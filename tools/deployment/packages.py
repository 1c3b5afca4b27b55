"""Install packages at their locked versions, and report progress.

`make setup` runs this before any package is installed, so it imports only the standard library.
"""

import re
import shutil
import subprocess
import sys
import tempfile
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
                    say(f"Installing {total} package{'s' if total != 1 else ''}")
    if process.returncode:
        raise PackagesError(f"The packages of {requirements.name} could not be installed: see above.")


def set_up(requirements: Path, say: Say) -> None:
    """Install a lock file's packages in this interpreter's environment. Raises PackagesError.

    uv does so in a quarter of pip's time. Where it can't, pip does: uv doesn't read pip's configuration, which may name
    another index.
    """
    command = [_uv(requirements, say), "pip", "install", "--compile-bytecode", "--python", sys.prefix]
    lock = ["--require-hashes", "--requirement", str(requirements)]
    with subprocess.Popen([*command, *lock], stderr=subprocess.PIPE, text=True) as process:
        lines = list[str]()
        for line in process.stderr or ():
            lines.append(line)
            if re.match("(Downloading|Prepared|Installed) ", line):
                say(line.strip())
    if process.returncode:
        say(f"Trying pip, as uv failed:\n{''.join(lines)}")
        install(requirements, say=say)


def _uv(requirements: Path, say: Say) -> str:
    """The path of uv: this machine's, or else the locked one, installed in this interpreter's environment."""
    if path := shutil.which("uv"):
        return path
    [its_lock] = re.findall(r"^uv==(?:.*\\\n)*.*\n", requirements.read_text(), re.MULTILINE)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as only_uv:
        only_uv.write(its_lock)
        only_uv.flush()
        install(Path(only_uv.name), say=say)
    return str(Path(sys.executable).with_name("uv"))


def _show(text: str) -> None:
    """Show progress: one changing line in a terminal, an occasional line in a log."""
    if sys.stdout.isatty():
        print(f"\r\033[K{text}", end="", flush=True)
    elif not re.search(r": \d+ of", text) or re.search(r": \d*[05]0 of", text):
        print(text, flush=True)


if __name__ == "__main__":
    try:
        set_up(Path(sys.argv[1]), say=_show)
    except PackagesError as error:
        sys.exit(str(error))
    finally:
        _show("") if sys.stdout.isatty() else None
