"""The emulator's process."""

import json
import os
import signal
import socket
import urllib.parse
from pathlib import Path

import pytest

from local.emulator import server
from tests.unit.local.emulator.conftest import Emulator, running_emulator


def test_another_version_of_ministack_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(server, "MINISTACK_VERSION", "9.9.9")
    with pytest.raises(SystemExit, match=r"written for 9\.9\.9"):
        server.serve(1, tmp_path, ("id", "secret"))


def test_sigterm_ends_the_emulator_and_its_functions(runtime_client_dir: str, tmp_path: Path) -> None:
    with running_emulator(runtime_client_dir, tmp_path) as emulator:
        function = emulator.function("import os\ndef handler(event, context):\n    return os.getpid()")
        worker = json.loads(emulator.client("lambda").invoke(FunctionName=function)["Payload"].read())
        os.kill(worker, 0)
        emulator.process.send_signal(signal.SIGTERM)
        assert emulator.process.wait(timeout=10) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_a_connection_that_the_client_has_ended_is_ended_at_once(emulator: Emulator) -> None:
    url = urllib.parse.urlsplit(emulator.url)
    with socket.create_connection((url.hostname, url.port), timeout=10) as connection:
        connection.sendall(b"GET /_ministack/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(1) == b"H"
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
