"""Webhook endpoints: each has a queue, and gets its events over HTTPS, signed by Standard Webhooks."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import requests
from requests_hardened import Config, HTTPSession
from standardwebhooks import Webhook as Signature

from functions.shared.adapters.aws_errors import raised_as
from functions.shared.domain.errors import QueueUnavailable, SecretUnavailable
from functions.shared.domain.event import EndpointGone, Event, NotDelivered

TIMEOUTS_SECONDS = (3.0, 10.0)
"""To connect, and for each piece of the answer."""


class StandardWebhook:
    """`Webhook` by Standard Webhooks 1.0.0. `secrets` returns the signing secrets in use, each of which signs every
    event.

    The address is looked up once per request, and must be public: a URL must not make this function call what only
    the deployment's network can reach. Redirects are not followed, for the same reason. An http URL, which Terraform
    accepts only for this machine, may lead to it. The answer's body is not read.
    """

    def __init__(self, url: str, secrets: Callable[[], list[str]]) -> None:
        self._url = url
        self._secrets = secrets
        self._session = HTTPSession(
            Config(
                ip_filter_enable=True,
                ip_filter_allow_loopback_ips=url.startswith("http://"),
                never_redirect=True,
                default_timeout=TIMEOUTS_SECONDS,
                user_agent_override="payments-webhooks/1",
            )
        )
        self._session.trust_env = False  # neither proxies nor passwords

    def post(self, event: Event, now: str) -> None:
        body = event.to_cloud_event()
        headers = {"Content-Type": "application/cloudevents+json", **self._signed(event.event_id, body, now)}
        try:
            with self._session.post(self._url, data=body.encode(), headers=headers, stream=True) as answer:
                status = answer.status_code
        except requests.RequestException as error:
            raise NotDelivered(f"The endpoint did not answer: {type(error).__name__}.") from None
        if status == requests.codes.gone:
            raise EndpointGone("The endpoint answered 410.")
        if not requests.codes.ok <= status < requests.codes.multiple_choices:
            raise NotDelivered(f"The endpoint answered {status}.")

    def _signed(self, event_id: str, body: str, now: str) -> dict[str, str]:
        moment = datetime.fromisoformat(now)
        try:
            signatures = [Signature(secret).sign(event_id, moment, body) for secret in self._secrets()]
        except Exception as error:
            # The library raises whatever the decoding of a malformed secret raises, and no message may quote it.
            raise SecretUnavailable(f"A webhook's secret can't be used: {type(error).__name__}") from None
        return {
            "webhook-id": event_id,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": " ".join(signatures),
        }


class SqsDeliveryQueue:
    """`DeliveryQueue` by its URL and that of its dead letters."""

    def __init__(self, client: Any, url: str, dead_letters_url: str) -> None:
        self._client = client
        self._url = url
        self._dead_letters_url = dead_letters_url

    def postpone(self, receipt: str, seconds: int) -> None:
        with raised_as(QueueUnavailable, "SQS"):
            self._client.change_message_visibility(QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=seconds)

    def set_aside(self, message: str) -> None:
        with raised_as(QueueUnavailable, "SQS"):
            self._client.send_message(QueueUrl=self._dead_letters_url, MessageBody=message)


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """An endpoint of this deployment, by its name in Terraform, with the types of the events that it wants."""

    name: str
    types: frozenset[str]
    webhook: StandardWebhook
    queue: SqsDeliveryQueue
