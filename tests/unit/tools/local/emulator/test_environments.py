"""Functions' processes are copies of one process, and yet know nothing of each other."""

import json
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tools.local.emulator.environments import ForkServers, Process, readable

SHARED = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "AWS_REGION": "us-east-1",
    "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
    "HOME": "/",
    "LAMBDA_RUNTIME_DIR": "/",
    "LANG": "en_US.UTF-8",
    "PATH": "/bin",
    "TMPDIR": "/",
    "TZ": ":UTC",
}
# Instead of AWS's runtime client. As there, what a handler prints is seen at once.
CLIENT = """
import importlib, json, os, sys
def main(arguments):
    _, handler = arguments
    print(json.dumps(importlib.import_module(handler).handler()), flush=True)
"""


@pytest.fixture
def servers() -> Iterator[ForkServers]:
    servers = ForkServers()
    yield servers
    servers.stop()


class Function:
    """A function whose module, and those of its layer, are these sources by their file's name."""

    def __init__(self, folder: Path, servers: ForkServers, code: dict[str, str], layer: dict[str, str]) -> None:
        self._servers, self._code, self._layer = servers, folder / "code", folder / "layer"
        client = {"awslambdaric/__init__.py": "", "awslambdaric/__main__.py": CLIENT}
        for place, sources in ((self._code, code), (self._layer, layer | client)):
            for name, source in sources.items():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                (place / name).write_text(source)

    def start(self, **variables: str) -> Process:
        path = os.pathsep.join(map(str, (self._code, self._layer)))
        environment = {**SHARED, "PYTHONPATH": path, "_HANDLER": "function", **variables}
        return self._servers.start(str(self._code), environment)

    def run(self, **variables: str) -> Any:
        started = self.start(**variables)
        answer = json.loads(started.stdout.readline())
        started.wait(10)
        return answer


def function(
    tmp_path: Path, servers: ForkServers, body: str, layer: dict[str, str] | None = None, **own: str
) -> Function:
    source = f"import os, random, signal, sys, time, uuid\ndef handler():\n    {body}\n"
    return Function(tmp_path, servers, {"function.py": source, **own}, layer or {})


def test_a_process_has_its_own_variables_and_no_others(tmp_path: Path, servers: ForkServers) -> None:
    it = function(tmp_path, servers, "return [dict(os.environ), os.getcwd(), sys.argv]")
    it.run(COLOUR="red", ONLY_RED="1")
    environment, folder, arguments = it.run(COLOUR="blue")
    assert environment["COLOUR"] == "blue"
    assert "ONLY_RED" not in environment
    assert Path(folder) == tmp_path / "code"
    assert arguments == ["awslambdaric", "function"]


def test_no_two_have_the_same_chance(tmp_path: Path, servers: ForkServers) -> None:
    it = function(tmp_path, servers, "return [random.random(), str(uuid.uuid4())]", {"requests.py": "import random"})
    first, second = it.run(), it.run()
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_a_package_is_imported_once_for_all(tmp_path: Path, servers: ForkServers) -> None:
    layer = {"requests.py": "import os\nIMPORTED_BY = os.getpid()"}
    it = function(tmp_path, servers, "import requests; return [requests.IMPORTED_BY, os.getpid()]", layer)
    (first_importer, first), (second_importer, second) = it.run(), it.run()
    assert first_importer == second_importer
    assert len({first_importer, first, second}) == 3


def test_boto3_s_session_is_there_before_the_function_and_has_its_credentials(
    tmp_path: Path, servers: ForkServers
) -> None:
    body = (
        "import boto3; made = boto3.DEFAULT_SESSION is not None; client = boto3.client('dynamodb'); "
        "return [made, client.meta.region_name, boto3.DEFAULT_SESSION.get_credentials().access_key]"
    )
    it = function(tmp_path, servers, body)
    path = os.pathsep.join(map(str, (tmp_path / "code", tmp_path / "layer", Path(boto3.__file__).parents[1])))
    for key in ("first", "second"):
        answer = it.run(PYTHONPATH=path, AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY="none")
        assert answer == [True, SHARED["AWS_DEFAULT_REGION"], key]


def test_a_module_of_the_function_s_own_comes_before_its_layer_s(tmp_path: Path, servers: ForkServers) -> None:
    layer = {"requests/__init__.py": "", "requests/whose.py": "NAME = 'layer'"}
    own = {"requests/__init__.py": "", "requests/whose.py": "NAME = 'own'"}
    it = function(tmp_path, servers, "import requests.whose; return requests.whose.NAME", layer, **own)
    assert it.run() == "own"


def test_a_process_that_sleeps_lives_until_it_is_ended(tmp_path: Path, servers: ForkServers) -> None:
    it = function(tmp_path, servers, "print('ready', flush=True); time.sleep(60)")
    started = it.start()
    assert started.stdout.readline() == b"ready\n"
    assert started.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        started.wait(0.01)
    started.terminate()
    assert started.wait(10) == started.poll() == 1
    assert started.stdout.read() == b""
    started.kill()  # nothing is left to be killed


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open files as hundreds of environments have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else 4096, hard))
    descriptors = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    yield
    for descriptor in descriptors:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_hundreds_more_can_run(tmp_path: Path, servers: ForkServers, many_files: None) -> None:
    started = function(tmp_path, servers, "print('ready', flush=True); time.sleep(60)").start()
    assert started.stdout.fileno() > 1023
    assert readable(started.stdout, 10)
    assert started.poll() is None
    started.kill()
    assert started.wait(10) == 1


def test_one_that_ignores_the_signal_is_killed(tmp_path: Path, servers: ForkServers) -> None:
    body = "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    started = function(tmp_path, servers, body).start()
    started.stdout.readline()
    started.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        started.wait(0.1)
    started.kill()
    assert started.wait(10) == 1


def test_a_function_may_start_programs_and_see_how_they_end(tmp_path: Path, servers: ForkServers) -> None:
    it = function(tmp_path, servers, "import subprocess; return subprocess.run(['sh', '-c', 'exit 7']).returncode")
    assert it.run() == 7


def test_without_its_server_a_process_lives_on_and_the_next_one_gets_another(
    tmp_path: Path, servers: ForkServers
) -> None:
    it = function(tmp_path, servers, "print(os.getppid(), flush=True); sys.stdin.read(); time.sleep(60)")
    first = it.start()
    server = int(first.stdout.readline())
    os.kill(server, signal.SIGKILL)
    os.waitid(os.P_PID, server, os.WEXITED | os.WNOWAIT)
    second = it.start()
    assert int(second.stdout.readline()) != server
    assert first.poll() is None
    for each in (first, second):
        each.kill()
        each.wait(10)
