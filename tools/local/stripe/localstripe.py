"""localstripe, a third-party stateful fake of Stripe's API, as a child process: https://github.com/adrienverge/localstripe.

It is GPL: nothing here imports it.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

_ROOT = Path(__file__).parents[3]
PYTHON = _ROOT / ".venv-localstripe" / "bin" / "python"
_KEY = "sk_test_localstripe"  # pragma: allowlist secret
_SECONDS = 10


class Refused(Exception):
    """localstripe answered with an error: `status` and its `error` object."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(f"localstripe answered {status}: {error}")
        self.status, self.error = status, error


class Localstripe:
    """localstripe's API over one connection; not safe to share between threads."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {_KEY}"

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """Get an object or a list. Raises Refused."""
        return self._send("GET", path, params=query)

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """Create, change or operate on an object. Raises Refused."""
        return self._send("POST", path, json=body)

    def _send(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        response = self._session.request(method, f"{self._url}/v1/{path}", timeout=_SECONDS, **more)
        answer: dict[str, Any] = response.json()
        if not response.ok:
            raise Refused(response.status_code, answer["error"])
        return answer


@contextmanager
def running_localstripe() -> Iterator[Localstripe]:
    """Run a new, empty localstripe within the context. Raises RuntimeError if its environment is missing."""
    if not PYTHON.exists():
        raise RuntimeError("localstripe is not installed; make up GATEWAY=stripe sets up its environment.")
    command = (PYTHON, "-I", Path(__file__).with_name("localstripe_process.py"))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            port = process.stdout.readline().strip()
            if not port:
                raise RuntimeError("localstripe did not start.")
            yield Localstripe(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
