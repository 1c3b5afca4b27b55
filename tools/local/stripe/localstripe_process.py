"""Runs localstripe on a free port of the loopback interface; `.venv-localstripe`'s Python runs this file.

It prints the port, and ends when its standard input does, so that it never outlives its parent. localstripe itself
would listen on every interface, and write all that it knows to a file in /tmp after each request.
"""

import os
import pickle  # nosec B403
import runpy
import socket
import sys
import threading
from typing import Any

from aiohttp import web

_run_app = web.run_app
_listener = socket.create_server(("127.0.0.1", 0))


def _serve(app: web.Application, **_: Any) -> None:
    print(_listener.getsockname()[1], flush=True)
    _run_app(app, sock=_listener, print=None, access_log=None)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


web.run_app = _serve  # type: ignore[assignment]
pickle.dump = lambda *_, **__: None
sys.argv = ["localstripe", "--port", "0", "--from-scratch"]
threading.Thread(target=_end_with_parent, daemon=True).start()
runpy.run_module("localstripe", run_name="__main__")
