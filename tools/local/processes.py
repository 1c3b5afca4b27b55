"""The processes of this machine: from /proc where the system has it, else from the program `ps`.

Slim Linux images lack `ps`, and macOS has no /proc.
"""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tools.deployment.polling import wait_for

_PROC = Path("/proc")
_PS = ("ps", "-axww", "-o", "pid=,ppid=,rss=,args=")
_STARTED_WITHIN_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Process:
    """A running process. `arguments` are separated by blanks, and `resident_mib` is its resident memory."""

    pid: int
    parent: int
    resident_mib: float
    arguments: str


def process(pid: int) -> Process | None:
    """The process with this id, or None. One that has ended has no arguments, while its parent has yet to notice."""
    return wait_for(
        lambda: next((each for each in processes(pid) if each.pid == pid), None),
        _STARTED_WITHIN_SECONDS,
        # For a moment after its start, a process has memory and no arguments yet.
        until=lambda found: found is None or found.arguments or not found.resident_mib,
    )


def processes(*pids: int) -> Iterator[Process]:
    """The running processes: all, or at least those with these ids."""
    if not (_PROC / "self" / "status").exists():
        ps = subprocess.run(_PS, capture_output=True, text=True, check=True)
        for line in ps.stdout.splitlines():
            number, parent, resident, *rest = line.split(None, 3)
            yield Process(int(number), int(parent), int(resident) / 1024, "".join(rest))
        return
    for folder in map(_PROC.joinpath, map(str, pids)) if pids else _PROC.glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            lines = (line.partition(":") for line in (folder / "status").read_text().splitlines())
            status = {name: text.split()[0] for name, _, text in lines if text.split()}
            arguments = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            yield Process(int(folder.name), int(status["PPid"]), int(status.get("VmRSS", 0)) / 1024, arguments)
