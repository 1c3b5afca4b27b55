"""The sandbox's HTTP server, with threads, persistent connections, and connections that a fault breaks; and the command
that runs it."""

import argparse
import os
import signal
import socket
import struct
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from http import HTTPStatus
from io import BytesIO
from typing import Any

from flask import Flask
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.wrappers import Response

from tools.local.sandbox.performing import DROP

_HOST = "127.0.0.1"
_MAX_BODY_BYTES = 65_536
_MAX_REPORT_BYTES = 16_777_216


class _Handler(WSGIRequestHandler):
    """Keeps connections open, like a real gateway. Werkzeug's own handler closes each after one answer."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        length = self.headers.get("Content-Length", "0")
        limit = _MAX_REPORT_BYTES if self.path.startswith("/sandbox/settlements/") else _MAX_BODY_BYTES
        if "Transfer-Encoding" in self.headers:
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
        elif not (length.isascii() and length.isdecimal()):
            self.send_error(HTTPStatus.BAD_REQUEST)
        elif int(length) > limit:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            self._answer(int(length))

    def _answer(self, body_bytes: int) -> None:
        environ = self.make_environ()
        # Read the whole body, since the next request follows it on the connection.
        environ["wsgi.input"] = BytesIO(self.rfile.read(body_bytes))
        response = Response.from_app(self.server.app, environ, buffered=True)
        if mode := response.headers.get(DROP):
            self._drop(mode)
            return
        self.send_response(response.status_code)
        for name, value in response.headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.get_data())

    def _drop(self, mode: str) -> None:
        self.close_connection = True
        if mode == "reset":
            # Close it here: the server would shut the connection down first, which sends FIN instead of RST.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.close(self.connection.detach())

    def log(self, type: str, message: str, *args: Any) -> None:
        """Log nothing; `GET /sandbox/requests` has the log."""


class SandboxServer(ThreadedWSGIServer):
    """Serves a sandbox on the loopback interface. With port 0 it picks a free port; if the port is taken, it exits with
    a message.
    """

    def __init__(self, app: Flask, port: int = 0) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__(_HOST, port, app, _Handler)

    @property
    def url(self) -> str:
        """The server's URL, without a trailing slash."""
        return f"http://{_HOST}:{self.port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Stop listening, and shut down the persistent connections, which would otherwise still be served."""
        super().server_close()
        for connection in self._connections.copy():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def run(name: str, app_for: Callable[[str], AbstractContextManager[Flask]], title: str | None = None) -> None:
    """Serve the gateway's sandbox, or another service, until SIGTERM or Ctrl-C; `app_for` makes it for an API key.
    Prints the URL on a line.

    The key is in a variable such as SPARKLE_API_KEY: any user of the machine could read an argument.
    """
    title = title or f"The sandbox of {name.capitalize()}."
    parser = argparse.ArgumentParser(prog=f"python -m tools.local.{name}", description=title)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (the default)")
    arguments = parser.parse_args()
    variable = f"{name.upper()}_API_KEY"
    api_key = os.environ.pop(variable, "")
    if not api_key:
        parser.error(f"the variable {variable} must hold the bearer key that it accepts")

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), app_for(api_key) as app:
        server = SandboxServer(app, arguments.port)
        print(server.url, flush=True)
        server.serve_forever()
