"""A signing proxy for programs without SigV4. It has the same paths as the API."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

import requests

from client.transport import SigV4
from tools.deployment.stack import Stack

_PASSED_ON = ("Content-Type", "Idempotency-Key", "Accept")


@contextmanager
def signing_proxy(stack: Stack) -> Iterator[str]:
    """The API's URL at the proxy."""
    credentials = stack.session().get_credentials()
    assert credentials
    signature, api = SigV4(credentials, stack.region), urlsplit(stack.api_url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: self.headers[name] for name in _PASSED_ON if name in self.headers}
            url = f"{api.scheme}://{api.netloc}{self.path}"
            answer = requests.request(self.command, url, data=body, headers=headers, auth=signature, timeout=60)
            self.send_response(answer.status_code)
            for name in ("Content-Type", "Cache-Control", "Location"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.content)

        do_GET = do_POST = do_DELETE = _pass_on  # noqa: N815
        do_HEAD = do_PUT = do_PATCH = do_OPTIONS = do_TRACE = do_QUERY = _pass_on  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{api.path}"
    finally:
        server.shutdown()
        server.server_close()
