"""Runs MiniStack 1.5.33 (PyPI, MIT) in the foreground, with patches for what it lacks."""

import asyncio
import importlib.metadata
import os
import resource
import signal
import tempfile
from pathlib import Path
from weakref import WeakKeyDictionary

import h11

MINISTACK_VERSION = "1.5.33"


def serve(port: int, data_dir: Path, operator: tuple[str, str]) -> None:
    """Serve on 127.0.0.1 until SIGTERM or SIGINT, with signatures checked and IAM policies enforced.

    `operator` is the operator's access key: its id and its secret. MiniStack's temporary files go below `data_dir`.
    Raises SystemExit if the patches were written for another version of MiniStack.
    """
    _check_version()
    _configure(port, data_dir)
    # Import only now, since MiniStack reads its configuration on import.
    from ministack import app
    from ministack.core import hypercorn_compat

    from tools.local.emulator import (
        access,
        account,
        alarms,
        apigateway,
        callbacks,
        encryption,
        executions,
        iam,
        memory,
        packages,
        runtime,
        sources,
    )

    patches = (runtime, packages, apigateway, encryption, executions, callbacks, iam, sources, alarms, account, memory)
    for patch in patches:
        patch.install()
    access.install(access.Operator(*operator))
    hypercorn_compat.install()
    try:
        asyncio.run(_run(access.guard_application(app.app), port))
    finally:
        runtime.stop_workers()


async def _run(application: object, port: int) -> None:
    from hypercorn.asyncio import serve as serve_asgi
    from hypercorn.asyncio.tcp_server import TCPServer
    from hypercorn.config import Config

    read_data = TCPServer._read_data

    async def read_until_closed(server: TCPServer) -> None:
        await read_data(server)
        # Otherwise a connection that the client closed stays, with all its tasks, until the keep-alive timeout.
        await server.idle_task.stop()

    TCPServer._read_data = read_until_closed  # type: ignore[assignment, method-assign]
    send_heads_with_data()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 1
    config.h11_pass_raw_headers = True  # keeps the spelling of header names
    await serve_asgi(application, config, shutdown_trigger=stopped.wait)  # type: ignore[arg-type]


def send_heads_with_data() -> None:
    """Delay a response's head until its first data or its end, so that both go out in one write.

    Hypercorn writes the head separately. As soon as Go's HTTP client has read it, the AWS SDK closes the request's
    body; if Go has not yet noticed that the body was sent, it closes the connection. A response body that arrives later
    is lost, and the SDK repeats a request that was already carried out: the resource exists. Data that arrive together
    with the head are always read.
    """
    send, heads = h11.Connection.send, WeakKeyDictionary[h11.Connection, bytes]()

    def send_head_with_data(connection: h11.Connection, event: h11.Event) -> bytes | None:
        data = send(connection, event)
        if isinstance(event, h11.Response):
            heads[connection] = data or b""
            return b""
        return heads.pop(connection, b"") + (data or b"")

    h11.Connection.send = send_head_with_data  # type: ignore[assignment, method-assign]


def _check_version() -> None:
    installed = importlib.metadata.version("ministack")
    if installed != MINISTACK_VERSION:
        raise SystemExit(
            f"ministack {installed} is installed, but the patches in local/emulator were written for "
            f"{MINISTACK_VERSION}. Check each against the new version, then change MINISTACK_VERSION."
        )


def _configure(port: int, data_dir: Path) -> None:
    temporary = data_dir.resolve() / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    os.environ.update(
        {
            "AUTH": "true",
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "IOT_MTLS_ENABLED": "0",
            "S3_DATA_DIR": str(data_dir.resolve() / "s3"),
            "SFTP_ENABLED": "0",
            "TMPDIR": str(temporary),
        }
    )
    tempfile.tempdir = str(temporary)
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
