"""The gateway's sandbox in this process, behind a real socket."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tools.local.sparkle.app import create_app
from tools.local.sparkle.server import SandboxServer


@contextmanager
def running_sandbox(api_key: str) -> Iterator[str]:
    """Run a new sandbox in a thread within the context, and yield its URL."""
    server = SandboxServer(create_app(api_key))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="sparkle", daemon=True)
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        thread.join()
