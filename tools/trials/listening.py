"""Listens to the events of a local stack, as its webhook endpoint received them, and forwards them as it got them."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import requests
from standardwebhooks import Webhook

from tools.deployment.stack import HTTP_TIMEOUT_SECONDS, Stack, StackError

_WAIT_SECONDS = 20


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event with its signature, as it was received: the CloudEvent is the body's JSON."""

    headers: Mapping[str, str]
    body: str

    @property
    def cloud_event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event


def listen(stack: Stack) -> Iterator[ReceivedEvent]:
    """Yield each event that arrives from now on, verified by its signature. Raises StackError."""
    if stack.listener is None:
        raise StackError(
            "Only a local stack has a listener. On AWS, add a webhook (docs/webhooks.md), or a rule to the bus "
            "(examples/consumer)."
        )
    verifier = Webhook(stack.listener.secret)
    last = stack.listener.events()["last"]
    while True:
        answer = stack.listener.events(last, _WAIT_SECONDS)
        last = answer["last"]
        for event in answer["events"]:
            verifier.verify(event["body"], event["headers"], json_parse=False)
            yield ReceivedEvent(event["headers"], event["body"])


def forward(event: ReceivedEvent, url: str) -> int | None:
    """Post the event to the URL as the deployment does. Returns the answer's status, or None without an answer."""
    headers = {"Content-Type": "application/cloudevents+json", **event.headers}
    with suppress(requests.RequestException):
        return requests.post(
            url, event.body.encode(), headers=headers, timeout=HTTP_TIMEOUT_SECONDS, allow_redirects=False
        ).status_code
    return None
