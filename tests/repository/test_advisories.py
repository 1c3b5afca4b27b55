"""`make advisories`, on answers like OSV's (https://google.github.io/osv.dev/post-v1-query/)."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from tools.deployment.paths import ROOT

ADVISORY = {
    "id": "GHSA-test-test-test",
    "summary": "Reads what it should not",
    "affected": [
        {
            "package": {"name": "urllib3", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}],
        }
    ],
}


@contextmanager
def osv(advisories: dict[str, Any]) -> Iterator[tuple[str, set[str]]]:
    """A service with these advisories by package. Yields its URL, and the packages that were queried."""
    queried = set[str]()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = query["package"]["name"]
            queried.add(name)
            body = json.dumps({"vulns": [advisories[name]]} if name in advisories else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query", queried
        server.shutdown()


def advisories(url: str) -> subprocess.CompletedProcess[str]:
    # This test runs in the environment, so nothing needs to be set up.
    command = ["make", "--old-file", ".venv/requirements.sha", "advisories", f"OSV_URL={url}"]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_PROXY": "127.0.0.1"}, capture_output=True, text=True
    )


def test_without_an_advisory_it_succeeds_and_has_queried_every_locked_package() -> None:
    with osv({}) as (url, queried):
        process = advisories(url)
    assert process.returncode == 0, process.stderr
    assert queried >= {"botocore", "cryptography", "pytest", "checkov"}


def test_an_advisory_is_named_and_fails() -> None:
    with osv({"urllib3": ADVISORY}) as (url, _):
        process = advisories(url)
    assert process.returncode != 0
    assert "GHSA-test-test-test" in process.stdout
    assert "An advisory is open" in process.stderr


def test_it_fails_if_the_service_does_not_answer() -> None:
    with osv({}) as (url, _):
        pass
    process = advisories(url)
    assert process.returncode != 0
    assert "did not answer" in process.stderr
