"""Python functions under AWS's own runtime client, instead of MiniStack 1.5.33's worker script.

MiniStack runs Python handlers by a script of its own, which reports each exception as `Runtime.HandlerError`, runs in
the emulator's virtualenv and hands down its whole environment. On AWS ("Using the Lambda runtime API" and "Using Lambda
environment variables", Lambda developer guide) the managed Python runtime is `awslambdaric`, so an error carries the
exception's class name, message and stack trace, and a function sees its code, its layers and the documented variables.

A version's or an alias's FunctionArn ends in its name (GetFunction and ListVersionsByFunction, API reference);
MiniStack leaves it out where a function is published as it is made or changed.

MiniStack has a Runtime API for custom runtimes (`ProvidedWorker`). Here Python functions run on it: `bootstrap` starts
`awslambdaric`, which is read from the directory that the variable RUNTIME_CLIENT_DIR names (`pip install --target`).
"""

import functools
import io
import os
import select
import shlex
import sys
import tempfile
import threading
import zipfile
from http import HTTPStatus
from pathlib import Path
from typing import Any

from ministack.core import lambda_runtime
from ministack.core.responses import new_uuid
from ministack.services import lambda_svc

from tools.local.browsers import foreign
from tools.local.emulator import roles
from tools.local.emulator.search_path import search_path

RUNTIME_CLIENT_DIR = "RUNTIME_CLIENT_DIR"
_LOG_LIMIT_BYTES = 1024 * 1024


def install() -> None:
    """Send Python functions to the Runtime API worker."""
    if not Path(os.environ.get(RUNTIME_CLIENT_DIR, ""), "awslambdaric").is_dir():
        raise SystemExit(
            f"{RUNTIME_CLIENT_DIR} must name a directory that holds awslambdaric "
            "(pip install --target DIRECTORY awslambdaric)"
        )
    worker_class_for = lambda_runtime._worker_class_for
    worker_env = lambda_svc._provided_worker_env
    execute_warm = lambda_svc._execute_function_warm
    effective_record = lambda_svc._effective_func_record_for_qualifier
    list_versions = lambda_svc._list_versions

    def choose_worker_class(config: dict[str, Any]) -> Any:
        return PythonWorker if _is_python(config) else worker_class_for(config)

    def build_worker_env(config: dict[str, Any], code_dir: str, port: int) -> dict[str, str]:
        env: dict[str, str] = (python_environment if _is_python(config) else worker_env)(config, code_dir, port)
        return env

    def execute(function: dict[str, Any], event: object, request_id: str) -> Any:
        python = _is_python(function.get("config") or function)
        run = lambda_svc._execute_function_provided_warm if python else execute_warm
        return run(function, event, request_id)

    @functools.wraps(effective_record)
    def record_for(function: dict[str, Any] | None, qualifier: str | None) -> Any:
        record, config = effective_record(function, qualifier)
        if function and config and qualifier:
            config = config | {"FunctionArn": f"{function['config']['FunctionArn']}:{qualifier}"}
        return record, config

    @functools.wraps(list_versions)
    def versions(name: str, *rest: Any) -> Any:
        function = lambda_svc._functions.get(name) or {"versions": {}}
        for number, version in function["versions"].items():
            version["config"]["FunctionArn"] = f"{function['config']['FunctionArn']}:{number}"
        return list_versions(name, *rest)

    lambda_runtime.execution_credentials = lambda_svc.execution_credentials = roles.execution_credentials
    lambda_svc._effective_func_record_for_qualifier = record_for
    lambda_svc._list_versions = versions
    lambda_runtime._worker_class_for = choose_worker_class
    lambda_svc._provided_worker_env = build_worker_env
    lambda_svc._execute_function_warm = execute


def _is_python(config: dict[str, Any]) -> bool:
    return str(config.get("Runtime", "")).startswith("python")


def python_environment(config: dict[str, Any], code_dir: str, port: int) -> dict[str, str]:
    """The environment AWS gives a Python function, and nothing of the emulator's own.

    Paths are this machine's (no /var/task here), and AWS_ENDPOINT_URL is the emulator's own, or what it was started
    with, so that a proxy can stand in between.
    """
    name, version = config.get("FunctionName", ""), config.get("Version", "$LATEST")
    _, region = lambda_runtime._account_region_from_function_config(config)
    layers = _layer_directories(config)
    return {
        **lambda_svc._runtime_env_vars(config),
        **roles.execution_credentials(config),
        "_HANDLER": config.get("Handler", ""),
        "AWS_DEFAULT_REGION": region,
        "AWS_ENDPOINT_URL": os.environ.get("AWS_ENDPOINT_URL") or f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{config['Runtime']}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.get("MemorySize", 128)),
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": new_uuid(),
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
        "AWS_REGION": region,
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        # No home: a function must not find the developer's ~/.aws.
        "HOME": tempfile.gettempdir(),
        "LAMBDA_RUNTIME_DIR": os.environ[RUNTIME_CLIENT_DIR],
        "LAMBDA_TASK_ROOT": code_dir,
        "LANG": "en_US.UTF-8",
        "PATH": os.pathsep.join(["/usr/local/bin", "/usr/bin", "/bin", *(f"{layer}/bin" for layer in layers)]),
        "PYTHONPATH": search_path(code_dir, layers, os.environ[RUNTIME_CLIENT_DIR]),
        "TMPDIR": tempfile.gettempdir(),
        "TZ": ":UTC",
    }


def _layer_directories(config: dict[str, Any]) -> list[str]:
    """The function's layers, extracted once each, the one that takes precedence first."""
    zips = [lambda_svc._resolve_layer_zip(layer) for layer in config.get("Layers") or []]
    return [lambda_svc._docker_extracted_dir(data, "layer") for data in reversed(zips) if data]


@functools.lru_cache(maxsize=64)
def _with_bootstrap(code_zip: bytes) -> bytes:
    """The deployment package with the executable that a custom runtime starts by."""
    # -S: the standard library, but no site-packages; the function's own come by PYTHONPATH.
    script = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -S -m awslambdaric "$_HANDLER"\n'
    package = io.BytesIO(code_zip)
    with zipfile.ZipFile(package, "a") as archive:
        archive.writestr("bootstrap", script)
    return package.getvalue()


class PythonWorker(lambda_runtime.ProvidedWorker):  # type: ignore[misc]
    """One execution environment of a Python function."""

    def __init__(self, func_name: str, config: dict[str, Any], code_zip: bytes) -> None:
        super().__init__(func_name, config, _with_bootstrap(code_zip))
        self._log = bytearray()
        self._log_lock = threading.Lock()
        self._log_pipe: Any = None

    def invoke(self, event: object, request_id: str, **options: Any) -> dict[str, Any]:
        """As MiniStack's, but an environment that fails to start fails the call with its own error, and its log."""
        try:
            result: dict[str, Any] = super().invoke(event, request_id, **options)
            failure = result.get("error_payload")
            if isinstance(failure, dict) and failure.get("errorType") in ("Sandbox.Timedout", "Runtime.ExitError"):
                failure["errorMessage"] = f"RequestId: {request_id} Error: {failure['errorMessage']}"
                result["log"] = f"{result['log']}\n{failure['errorMessage']}".lstrip("\n")
        except (RuntimeError, OSError) as error:
            failure = (
                self._init_error
                if isinstance(self._init_error, dict)
                else {
                    "errorMessage": f"RequestId: {request_id} Error: {error}",
                    "errorType": getattr(error, "error_type", "Runtime.ExitError"),
                }
            )
            result = {
                "status": "error",
                "error": failure.get("errorMessage"),
                "error_payload": failure,
                "cold_start": True,
                "log": self._drain_stderr(),
            }
        return result

    def _build_handler_class(self, *arguments: Any) -> Any:
        handler = _for_the_runtime_alone(super()._build_handler_class(*arguments))
        # Headers and body in one packet, at once: else Nagle's algorithm holds the body back for up to 40 ms.
        handler.wbufsize = 64 * 1024
        handler.disable_nagle_algorithm = True
        return handler

    # The log. MiniStack reads it in a thread and, after each call, waits 50 ms for a first line. But what a function
    # wrote before it answered is in the pipe by then, so reading the pipe until it is empty is complete, and immediate.

    def _pump_output(self, stream: Any, log_queue: object) -> None:
        """Drain the pipe between calls and during long ones, so that a full pipe never blocks the function."""
        os.set_blocking(stream.fileno(), False)
        self._log_pipe = stream
        while select.select([stream], [], []) and self._read_log():
            pass
        with self._log_lock:
            stream.close()

    def _read_log(self) -> bool:
        """Move what the pipe holds into the buffer; False at its end."""
        pipe = self._log_pipe
        with self._log_lock:
            while pipe is not None and not pipe.closed:
                try:
                    chunk = os.read(pipe.fileno(), 64 * 1024)
                except BlockingIOError:
                    return True
                if not chunk:
                    return False
                self._log += chunk
                del self._log[:-_LOG_LIMIT_BYTES]
        return False

    def _drain_stderr(self) -> str:
        self._read_log()
        with self._log_lock:
            log, self._log = self._log, bytearray()
        return log.decode(errors="replace").rstrip("\n")

    def _drain_stderr_bounded(self, *_: float, **__: float) -> str:
        return self._drain_stderr()


def _for_the_runtime_alone(handler: Any) -> Any:
    """The Runtime API without web pages, which would take a function's events from it or answer in its place."""

    class Handler(handler):  # type: ignore[misc]
        def parse_request(self) -> bool:
            if not super().parse_request():
                return False
            if foreign(self.headers):
                self.send_error(HTTPStatus.FORBIDDEN)
                return False
            return True

    return Handler


def stop_workers() -> None:
    """End every function's process."""
    lambda_runtime.reset()
