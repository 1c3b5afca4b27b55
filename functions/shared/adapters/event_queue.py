"""Events from gateways on their way through Amazon SQS."""

import json
from dataclasses import asdict
from typing import Any

from functions.shared.adapters.aws_errors import raised_as
from functions.shared.domain.errors import QueueUnavailable
from functions.shared.domain.gateway_event import GatewayEvent


class SqsEventQueue:
    """`EventQueue`. A message is `{"gateway", "event"}`, the event as its fields.

    The queue delays its messages. An event of an old charge is not delayed: a customer may wait for it.
    """

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url

    def send(self, gateway: str, event: GatewayEvent) -> None:
        message = json.dumps({"gateway": gateway, "event": asdict(event)})
        delay = {"DelaySeconds": 0} if event.of_old_charge else {}
        with raised_as(QueueUnavailable, "SQS"):
            self._client.send_message(QueueUrl=self._url, MessageBody=message, **delay)
