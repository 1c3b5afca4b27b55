import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.deployment.polling import wait_for
from tools.local import processes
from tools.local.machine import Service
from tools.local.processes import Process, process

SERVICE = [sys.executable, "-c", "input()", "-m", "tools.local.sparkle", "--port", "4567"]


def service_of(pid: int) -> Service:
    return Service("tools.local.sparkle", pid, 4567, "/", {})


def test_a_process_is_found_without_any_program_until_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    started = subprocess.Popen(SERVICE, stdin=subprocess.PIPE)  # noqa: S603
    try:
        # Python's own memory is there a moment after its arguments.
        found = wait_for(lambda: process(started.pid), 10, until=lambda found: found and found.resident_mib > 1)
        assert found
        assert (found.pid, found.parent) == (started.pid, os.getpid())
        assert found.resident_mib > 1
        assert "-m tools.local.sparkle --port 4567 " in f"{found.arguments} "
        assert service_of(started.pid).owns_its_pid()
        assert not service_of(os.getpid()).owns_its_pid()
        assert {started.pid, os.getpid()} <= {each.pid for each in processes.processes()}
        started.kill()
        os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)  # a zombie
        assert not service_of(started.pid).owns_its_pid()
    finally:
        started.kill()
        started.communicate()
    assert process(started.pid) is None


def test_where_there_is_no_proc_ps_tells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    output = " 1 0 2048 /sbin/launchd\n   77     1    512 python -m tools.local.sparkle --port 4567\n   78     1  0\n"

    def ps(command: tuple[str, ...], **options: object) -> subprocess.CompletedProcess[str]:
        assert command[0] == "ps"
        return subprocess.CompletedProcess(command, 0, output, "")

    monkeypatch.setattr(processes, "_PROC", tmp_path)
    monkeypatch.setattr(subprocess, "run", ps)
    assert process(77) == Process(77, 1, 0.5, "python -m tools.local.sparkle --port 4567")
    assert [each.pid for each in processes.processes()] == [1, 77, 78]
    assert process(79) is None
