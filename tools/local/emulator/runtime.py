"""Python functions under AWS's own runtime client, instead of MiniStack 1.5.33's worker script.

MiniStack runs Python handlers with its own script, which reports every exception as `Runtime.HandlerError`, runs in the
emulator's virtualenv, and passes on its whole environment. On AWS ("Using the Lambda runtime API" and "Using Lambda
environment variables", Lambda developer guide) the managed Python runtime is `awslambdaric`. There an error carries the
exception's class name, message and stack trace, and a function sees only its code, its layers and the documented
variables.

A state machine learns of a throttled function by the error `Lambda.TooManyRequestsException` ("Handle transient Lambda
service exceptions", Step Functions developer guide); with MiniStack it is `Lambda.Unknown`.

The FunctionArn of a version or an alias ends in its name (GetFunction and ListVersionsByFunction, API reference);
MiniStack omits it if a function is published while it is created or updated.

MiniStack has a Runtime API for custom runtimes (`ProvidedWorker`). Here Python functions run on it: environments.py
starts `awslambdaric` from the directory in the variable RUNTIME_CLIENT_DIR (`pip install --target`).

On AWS a call whose function has no free execution environment gets a new one at once. Here a new one takes a fifth of a
second of a core that all the others share, so a call first waits a while for one to become free. If one is just being
started, the call waits for that, too: a burst of short calls then needs few.

On AWS an environment may start before the first call needs it ("Understanding the Lambda execution environment
lifecycle", Lambda developer guide). Here one starts as soon as a function is published by its creation: Terraform then
waits for other resources, and the cores idle.
"""

import functools
import io
import os
import queue
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ministack.core import lambda_runtime
from ministack.core.responses import new_uuid
from ministack.services import lambda_svc

from tools.local.browsers import foreign
from tools.local.emulator import roles
from tools.local.emulator.environments import ForkServers, readable
from tools.local.emulator.search_path import search_path

RUNTIME_CLIENT_DIR = "RUNTIME_CLIENT_DIR"
_LOG_LIMIT_BYTES = 1024 * 1024
_PATIENCE_SECONDS = 1.0
# The longest that AWS lets an environment start ("Understanding the Lambda execution environment lifecycle").
_INIT_SECONDS = 10.0
_LOOKS_EVERY_SECONDS = 0.05
_LONG_POLL_SECONDS = 5.0

_fork_servers = ForkServers()


def install() -> None:
    """Run Python functions in the Runtime API worker."""
    if not Path(os.environ.get(RUNTIME_CLIENT_DIR, ""), "awslambdaric").is_dir():
        raise SystemExit(
            f"{RUNTIME_CLIENT_DIR} must name a directory that holds awslambdaric "
            "(pip install --target DIRECTORY awslambdaric)"
        )
    create_function = lambda_svc._create_function
    worker_class_for = lambda_runtime._worker_class_for
    worker_env = lambda_svc._provided_worker_env
    execute_warm = lambda_svc._execute_function_warm
    effective_record = lambda_svc._effective_func_record_for_qualifier
    list_versions = lambda_svc._list_versions
    throttle_response = lambda_svc._throttle_response

    def choose_worker_class(config: dict[str, Any]) -> Any:
        return PythonWorker if _is_python(config) else worker_class_for(config)

    def build_worker_env(config: dict[str, Any], code_dir: str, port: int) -> dict[str, str]:
        env: dict[str, str] = (python_environment if _is_python(config) else worker_env)(config, code_dir, port)
        return env

    def execute(function: dict[str, Any], event: object, request_id: str) -> Any:
        python = _is_python(function.get("config") or function)
        run = lambda_svc._execute_function_provided_warm if python else execute_warm
        return run(function, event, request_id)

    @functools.wraps(create_function)
    def create(request: dict[str, Any]) -> Any:
        answer = create_function(request)
        if answer[0] == HTTPStatus.CREATED and _is_python(request):
            for version in lambda_svc._functions[request["FunctionName"]]["versions"].values():
                threading.Thread(target=copy_context().run, args=(_initialize, version), daemon=True).start()
        return answer

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

    @functools.wraps(throttle_response)
    def throttled(*arguments: Any, **options: Any) -> dict[str, Any]:
        answer: dict[str, Any] = throttle_response(*arguments, **options)
        answer["body"] |= {"errorType": "Lambda.TooManyRequestsException", "errorMessage": answer["body"]["message"]}
        return answer

    def popen(command: list[str], **options: Any) -> Any:
        if options.get("env", {}).get("AWS_EXECUTION_ENV", "").startswith("AWS_Lambda_python"):
            return _fork_servers.start(options["cwd"], options["env"])
        return subprocess.Popen(command, **options)

    lambda_runtime.socketserver = SimpleNamespace(**{**vars(socketserver), "ThreadingTCPServer": _SleepingServer})
    lambda_runtime.subprocess = SimpleNamespace(**{**vars(subprocess), "Popen": popen})
    lambda_svc._create_function = create
    lambda_svc._throttle_response = throttled
    lambda_runtime.execution_credentials = lambda_svc.execution_credentials = roles.execution_credentials
    lambda_svc._effective_func_record_for_qualifier = record_for
    lambda_svc._list_versions = versions
    lambda_runtime._worker_class_for = choose_worker_class
    lambda_svc.acquire_worker, lambda_svc.release_worker = _patient(
        lambda_svc.acquire_worker, lambda_svc.release_worker
    )
    lambda_svc._provided_worker_env = build_worker_env
    lambda_svc._execute_function_warm = execute


def _initialize(version: dict[str, Any]) -> None:
    """Start an environment for the version's first call. If that fails, the call will start one, and tell why."""
    config = version["config"]
    environment, _ = lambda_svc.acquire_worker(
        config["FunctionName"], config, version["code_zip"], qualifier=config["Version"]
    )
    try:
        with suppress(RuntimeError, OSError):
            lambda_runtime.ensure_spawned(environment)
    finally:
        lambda_svc.release_worker(environment)


def _patient(
    acquire: Callable[..., Any], release: Callable[[Any], None]
) -> tuple[Callable[..., Any], Callable[..., None]]:
    """Let `acquire` wait up to `_PATIENCE_SECONDS` for an environment in use, and for one that is starting, before it
    starts another."""
    released = threading.Condition()

    @functools.wraps(acquire)
    def acquire_patiently(
        function: str, config: dict[str, Any], code_zip: bytes, qualifier: str = "$LATEST", **options: Any
    ) -> Any:
        key = lambda_runtime._worker_key(function, config, qualifier)

        def may_have_one() -> bool:
            environments = lambda_runtime._workers.get(key)
            return not environments or not all(environment.in_use for environment in environments)

        def one_is_starting() -> bool:
            environments = lambda_runtime._workers.get(key) or ()
            return any(isinstance(each, PythonWorker) and not each._init_settled.is_set() for each in environments)

        with released:
            may_start_at = time.monotonic() + _PATIENCE_SECONDS
            must_start_at = may_start_at + _INIT_SECONDS
            while not may_have_one() and time.monotonic() < (must_start_at if one_is_starting() else may_start_at):
                released.wait(_LOOKS_EVERY_SECONDS)
            return acquire(function, config, code_zip, qualifier, **options)

    @functools.wraps(release)
    def release_and_tell(environment: Any) -> None:
        with released:
            release(environment)
            released.notify_all()

    return acquire_patiently, release_and_tell


def _is_python(config: dict[str, Any]) -> bool:
    return str(config.get("Runtime", "")).startswith("python")


def python_environment(config: dict[str, Any], code_dir: str, port: int) -> dict[str, str]:
    """Return the environment variables that AWS gives a Python function, without those of the emulator's process.

    Paths are this machine's (there is no /var/task). AWS_ENDPOINT_URL is the emulator's own URL or, so that a proxy can
    stand in between, the value with which the emulator was started.
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
        # Not the developer's home: a function must not find ~/.aws.
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
    """Extract each layer of the function once, and return the directories by descending precedence."""
    zips = [lambda_svc._resolve_layer_zip(layer) for layer in config.get("Layers") or []]
    return [lambda_svc._docker_extracted_dir(data, "layer") for data in reversed(zips) if data]


@functools.lru_cache(maxsize=64)
def _with_bootstrap(code_zip: bytes) -> bytes:
    """Add an executable, without which MiniStack starts no custom runtime, to the deployment package."""
    package = io.BytesIO(code_zip)
    with zipfile.ZipFile(package, "a") as archive:
        archive.writestr("bootstrap", "")
    return package.getvalue()


class PythonWorker(lambda_runtime.ProvidedWorker):  # type: ignore[misc]
    """One execution environment of a Python function."""

    def __init__(self, func_name: str, config: dict[str, Any], code_zip: bytes) -> None:
        super().__init__(func_name, config, _with_bootstrap(code_zip))
        self._log = bytearray()
        self._log_lock = threading.Lock()
        self._log_pipe: Any = None

    def invoke(self, event: object, request_id: str, **options: Any) -> dict[str, Any]:
        """Invoke the function. Unlike MiniStack, if its environment fails to start, return that error and the log."""
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

    def _build_handler_class(self, generation: int, events: "queue.Queue[Any]") -> Any:
        handler = _refusing_web_pages(super()._build_handler_class(generation, _LongPoll(events)))
        # Send headers and body in one packet at once; else Nagle's algorithm delays the body for up to 40 ms.
        handler.wbufsize = 64 * 1024
        handler.disable_nagle_algorithm = True
        return handler

    # The log. MiniStack reads it in a thread, and waits up to 50 ms after each call for a first line. But when a
    # function has answered, its log is already in the pipe. So reading the pipe until it is empty misses nothing, and
    # needs no wait.

    def _pump_output(self, stream: Any, log_queue: object) -> None:
        """Drain the pipe between calls and during long ones, so that a full pipe never blocks the function."""
        os.set_blocking(stream.fileno(), False)
        self._log_pipe = stream
        while readable(stream) and self._read_log():
            pass
        with self._log_lock:
            stream.close()

    def _read_log(self) -> bool:
        """Move the pipe's content into the buffer; return False at the end of the stream."""
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


class _SleepingServer(socketserver.ThreadingTCPServer):
    """An environment's Runtime API. MiniStack's looks ten times a second whether it is to stop."""

    def serve_forever(self, poll_interval: float = 0) -> None:
        with suppress(OSError):  # it was shut down
            while True:
                self.process_request(*self.socket.accept())

    def shutdown(self) -> None:
        with suppress(OSError):  # it was before
            self.socket.shutdown(socket.SHUT_RDWR)


class _LongPoll:
    """The queue of an environment's next event. MiniStack asks it ten times a second, which took a twentieth of the
    emulator's time with sixty environments."""

    def __init__(self, events: "queue.Queue[Any]") -> None:
        self._events = events

    def get(self, timeout: float) -> Any:
        return self._events.get(timeout=_LONG_POLL_SECONDS)


def _refusing_web_pages(handler: Any) -> Any:
    """Refuse web pages at the Runtime API, where they could take a function's events or answer in its place."""

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
    _fork_servers.stop()
