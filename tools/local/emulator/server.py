"""Runs MiniStack 1.5.33 (PyPI, MIT) in the foreground, with patches for what it lacks."""

import importlib.metadata
import os
import resource
import signal
import sys
import tempfile
from pathlib import Path

from tools.local.emulator.http_server import http_server

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
        queues,
        runtime,
        sources,
        trail,
    )

    patches = (
        runtime,
        packages,
        apigateway,
        encryption,
        executions,
        callbacks,
        iam,
        sources,
        queues,
        alarms,
        account,
        memory,
        trail,
    )
    for patch in patches:
        patch.install()
    access.install(access.Operator(*operator))
    hypercorn_compat.install()
    # Uvicorn stops at a signal, and then sends it to itself again.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit())
    try:
        http_server(access.guard_application(app.app), port).run()
    finally:
        runtime.stop_workers()


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
