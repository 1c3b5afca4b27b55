"""Starts Python functions' processes in half the time: forked from one that has imported their layers' packages.

An execution environment of SnapStart begins likewise on AWS, in a copy of a process that was started before.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import IO

from tools.local.emulator import fork_server

_SHARED_VARIABLES = (
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_REGION",
    "AWS_XRAY_CONTEXT_MISSING",
    "HOME",
    "LAMBDA_RUNTIME_DIR",
    "LANG",
    "PATH",
    "TMPDIR",
    "TZ",
)
"""The variables that don't depend on the function. The server has them, since some packages look at them once."""
_PID_LIMIT_BYTES = 16


class ForkServers:
    """One fork server for all functions with the same layers. MiniStack starts one process at a time."""

    def __init__(self) -> None:
        self._servers: dict[tuple[tuple[str, str], ...], _ForkServer] = {}

    def start(self, folder: str, environment: Mapping[str, str]) -> "Process":
        """Start the function whose code is in `folder`. Raises OSError."""
        shared = {name: environment[name] for name in _SHARED_VARIABLES}
        shared["PYTHONPATH"] = environment["PYTHONPATH"].removeprefix(folder + os.pathsep)
        key = tuple(shared.items())
        server = self._servers.get(key)
        if server is None or not server.running():
            server = self._servers[key] = _ForkServer(shared)
        return server.start(folder, environment)

    def stop(self) -> None:
        """End the servers; the processes that they have started live on."""
        for server in self._servers.values():
            server.stop()
        self._servers.clear()


class _ForkServer:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            # -S: the standard library without site-packages; -P: nor the script's folder. PYTHONPATH has the layers.
            command = [sys.executable, "-S", "-P", fork_server.__file__, str(theirs.fileno())]
            self._process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
            )

    def running(self) -> bool:
        return self._process.poll() is None

    def start(self, folder: str, environment: Mapping[str, str]) -> "Process":
        arguments = ["awslambdaric", environment["_HANDLER"]]
        request = {"arguments": arguments, "folder": folder, "environment": dict(environment)}
        message = json.dumps(request).encode() + b"\n"
        with ExitStack() as ours, ExitStack() as theirs:
            (output, its_output), (alive, its_alive) = os.pipe(), os.pipe()
            for stack, descriptors in (ours, (output, alive)), (theirs, (its_output, its_alive)):
                for descriptor in descriptors:
                    stack.callback(os.close, descriptor)
            sent = socket.send_fds(self._control, [message], [its_output, its_alive])
            self._control.sendall(message[sent:])
            if not (pid := self._control.recv(_PID_LIMIT_BYTES)):
                raise OSError("The process that starts Python functions has ended; the emulator's log says why.")
            ours.pop_all()
        return Process(int(pid), os.fdopen(output, "rb", buffering=0), os.fdopen(alive, "rb", buffering=0))

    def stop(self) -> None:
        self._control.close()
        self._process.wait()


class Process:
    """A function's process, with what MiniStack uses of `subprocess.Popen`. Its exit code is not known."""

    def __init__(self, pid: int, output: IO[bytes], alive: IO[bytes]) -> None:
        self.pid, self.stdout, self._alive = pid, output, alive
        self._exit_code: int | None = None

    def poll(self) -> int | None:
        """1 once the process has ended."""
        return self._ended(0)

    def wait(self, timeout: float) -> int:
        """Wait until it has ended. Raises subprocess.TimeoutExpired."""
        if ended := self._ended(timeout):
            return ended
        raise subprocess.TimeoutExpired("awslambdaric", timeout)

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _ended(self, timeout: float) -> int | None:
        """1 if the process ends within `timeout` seconds: then its end of the pipe closes."""
        if self._exit_code is None and readable(self._alive, timeout):
            self._exit_code = 1
        return self._exit_code


def readable(pipe: IO[bytes], timeout: float | None = None) -> bool:
    """Whether there is something to read, or the end of the stream, within `timeout` seconds.

    `select.select` takes no descriptor above 1023, and hundreds of environments have more.
    """
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    return bool(poll.poll(None if timeout is None else 1000 * timeout))
