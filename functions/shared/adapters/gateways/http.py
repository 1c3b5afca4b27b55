"""What all gateways' adapters over HTTP have in common: one session, its timeouts, and the measuring of calls."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import requests

from functions.shared.domain.errors import GatewayOutcomeUnknown

Outcome = TypeVar("Outcome")
CallObserver = Callable[[str, float, bool], None]


class Transport:
    """Calls of one gateway's API.

    `observe` receives each call's operation, its duration in seconds, and whether it had an outcome; a decline is an
    outcome.
    """

    def __init__(
        self,
        gateway: str,
        url: str,
        *,
        connect_timeout_seconds: float,
        read_timeout_seconds: float,
        observe: CallObserver,
    ) -> None:
        self._gateway = gateway
        self._url = url.rstrip("/")
        self._timeouts = (connect_timeout_seconds, read_timeout_seconds)
        self._observe = observe
        self._session = requests.Session()

    def send(
        self, operation: str, read: Callable[[requests.Response], Outcome], method: str, path: str, **request: Any
    ) -> Outcome:
        """The outcome that `read` finds in the answer. Raises GatewayOutcomeUnknown without an answer."""
        started, succeeded = time.perf_counter(), False
        try:
            outcome = read(self._answer(method, path, **request))
            succeeded = True
            return outcome
        finally:
            self._observe(operation, time.perf_counter() - started, succeeded)

    def _answer(self, method: str, path: str, **request: Any) -> requests.Response:
        try:
            return self._session.request(
                method, self._url + path, timeout=self._timeouts, allow_redirects=False, **request
            )
        except requests.RequestException as error:
            # `from None`, because the exception holds the request, which contains the card.
            raise GatewayOutcomeUnknown(f"{self._gateway} did not answer: {type(error).__name__}.") from None
