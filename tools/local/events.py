"""Sends a sandbox's events to a deployment, signed as gateways sign them, in the background and until they arrive."""

import hmac
import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import requests

from functions.shared.adapters.gateways.signatures import signature

# Real gateways try for days.
PAUSES_SECONDS = (0.5, 2, 10, 60, 300)
_TIMEOUT_SECONDS = 30
_SENDERS = 2


def signing_secret(api_key: str) -> str:
    """The secret with which the events of a local service are signed that has this API key."""
    return "whsec_" + hmac.digest(api_key.encode(), b"events", "sha256").hex()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where events go, and the secret that signs them."""

    url: str
    secret: str


class EventSender:
    """Sends JSON events to one endpoint, once there is one. They may arrive in any order, and more than once.

    `header` is the name of the header with the signature.
    """

    def __init__(self, header: str) -> None:
        self._endpoint: Endpoint | None = None
        self._header = header
        self._waiting: SimpleQueue[tuple[Endpoint, bytes, int]] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    @property
    def endpoint(self) -> Endpoint | None:
        return self._endpoint

    def send_to(self, endpoint: Endpoint | None) -> None:
        """Send future events there; with None, nowhere."""
        self._endpoint = endpoint
        while endpoint and len(self._threads) < _SENDERS:
            self._threads.append(threading.Thread(target=self._send_all, daemon=True))
            self._threads[-1].start()

    def send(self, event: dict[str, Any]) -> None:
        """Send the event, unless there is no endpoint."""
        if self._endpoint:
            self._waiting.put((self._endpoint, json.dumps(event).encode(), 0))

    def _send_all(self) -> None:
        while True:
            endpoint, body, attempt = self._waiting.get()
            if not self._arrives(endpoint, body) and attempt < len(PAUSES_SECONDS) and endpoint == self._endpoint:
                again = threading.Timer(PAUSES_SECONDS[attempt], self._waiting.put, [(endpoint, body, attempt + 1)])
                again.daemon = True
                again.start()

    def _arrives(self, endpoint: Endpoint, body: bytes) -> bool:
        at = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            self._header: f"t={at},v1={signature(endpoint.secret, at, body)}",
        }
        with suppress(requests.RequestException):
            return requests.post(endpoint.url, body, headers=headers, timeout=_TIMEOUT_SECONDS).ok
        return False
