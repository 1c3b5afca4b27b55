"""The events of the gateways that send us any, read by each adapter's own `read_event`."""

from collections.abc import Callable, Mapping
from importlib import import_module

from functions.shared.adapters.secrets import secrets_in
from functions.shared.domain.gateway_event import GatewayEvent


class SignedEvents:
    """`EventReader` by `<gateway>/events.py`. The secret is a JSON list of the signing secrets in use."""

    def __init__(self, gateway: str, secret: Callable[[], str]) -> None:
        self._read_event = import_module(f"functions.shared.adapters.gateways.{gateway}.events").read_event
        self._secret = secret

    def read(self, headers: Mapping[str, str], body: bytes, now: str) -> GatewayEvent | None:
        event: GatewayEvent | None = self._read_event(headers, body, secrets_in(self._secret()), now)
        return event
