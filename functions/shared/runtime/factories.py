"""The adapters that the environment asks for. Each is made once and kept for the invocations that follow.

An adapter and its packages are imported by its factory alone: a function imports only what it uses.
"""

import json
import os
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.metrics import MetricUnit

from functions.shared.runtime import frame
from functions.shared.runtime.clock import now

if TYPE_CHECKING:
    from functions.shared import ports


@cache
def _client(service: str) -> Any:
    """A client that gives up well within the functions' own timeouts: two attempts of at most 3 seconds each.

    It has a name of its own in CloudTrail. Botocore composes its default one anew for each request, which takes a
    quarter of what a call costs here.
    """
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=1,
        read_timeout=2,
        retries={"total_max_attempts": 2, "mode": "standard"},
        user_agent=f"payments Boto3/{boto3.__version__}",
    )
    return boto3.client(service, config=config)  # type: ignore[call-overload]


def minor_unit(currency: str) -> int | None:
    """The currency's decimals by ISO 4217 as it is today, or None."""
    from functions.shared.adapters import currencies

    return currencies.minor_unit(currency)


def decimals(currency: str) -> int | None:
    """The currency's decimals, or None. Currencies that ISO 4217 has dropped have theirs too."""
    from functions.shared.adapters import currencies

    return currencies.decimals(currency)


@cache
def card_cipher() -> "ports.CardCipher":
    from functions.shared.adapters.kms import KmsCardCipher

    return KmsCardCipher(_client("kms"), os.environ["KMS_KEY_ID"])


@cache
def card_opener() -> "ports.CardOpener":
    """It accepts static keys only if SEALING_KEY_IDS names any."""
    from functions.shared.adapters.jwe import SINGLE_USE, STATIC, ContentKeys, JweCardOpener, SingleUseKeys, StaticKeys

    kinds: dict[str, ContentKeys] = {SINGLE_USE: SingleUseKeys(sealing_keys(), now)}
    if static_keys := os.environ["SEALING_KEY_IDS"]:
        kinds[STATIC] = StaticKeys(_client("kms"), frozenset(static_keys.split(",")))
    return JweCardOpener(kinds)


@cache
def ephemeral_cipher() -> "ports.CardCipher":
    """Encrypts the single-use keys and the task tokens."""
    from functions.shared.adapters.kms import KmsCardCipher

    return KmsCardCipher(_client("kms"), os.environ["EPHEMERAL_KEY_ID"])


@cache
def sealing_keys() -> "ports.SealingKeys":
    from functions.shared.adapters.table.sealing_keys import DynamoDbSealingKeys

    return DynamoDbSealingKeys(_client("dynamodb"), os.environ["EPHEMERAL_TABLE"], ephemeral_cipher())


@cache
def held_cards() -> "ports.HeldCards":
    from functions.shared.adapters.table.held_cards import DynamoDbHeldCards

    return DynamoDbHeldCards(_client("dynamodb"), os.environ["EPHEMERAL_TABLE"])


@cache
def customer_waits() -> "ports.CustomerWaits":
    from functions.shared.adapters.table.customer_waits import DynamoDbCustomerWaits

    return DynamoDbCustomerWaits(_client("dynamodb"), os.environ["EPHEMERAL_TABLE"], ephemeral_cipher)


@cache
def token_mac() -> "ports.Mac":
    from functions.shared.adapters.kms import KmsMac

    return KmsMac(_client("kms"), os.environ["TOKEN_KEY_ID"])


@cache
def books_mac() -> "ports.Mac":
    from functions.shared.adapters.kms import KmsMac

    return KmsMac(_client("kms"), os.environ["BOOKS_KEY_ID"])


@cache
def ledger() -> "ports.Ledger":
    """A function that only reads needs DYNAMODB_TABLE alone; one that records also `uses` books_mac."""
    from functions.shared.adapters.table.ledger import DynamoDbLedger, sealed

    def seal(record: dict[str, Any]) -> dict[str, Any]:
        return sealed(record, books_mac(), now())

    return DynamoDbLedger(_client("dynamodb"), os.environ["DYNAMODB_TABLE"], seal, os.environ.get("CARDS_TABLE"))


@cache
def events() -> "ports.Events":
    from functions.shared.adapters.table.events import DynamoDbEvents

    return DynamoDbEvents(_client("dynamodb"), os.environ["DYNAMODB_TABLE"])


@cache
def event_bus() -> "ports.EventBus":
    from functions.shared.adapters.event_bus import EventBridgeBus

    return EventBridgeBus(_client("events"), os.environ["EVENT_BUS"])


@cache
def deliveries() -> "ports.Deliveries":
    from functions.shared.adapters.table.events import DynamoDbDeliveries

    return DynamoDbDeliveries(_client("dynamodb"), os.environ["COUNTERS_TABLE"])


@cache
def webhook_endpoints() -> "Mapping[str, ports.WebhookEndpoint]":
    """By the ARN of its queue, each endpoint of WEBHOOKS: a JSON object with `{"name", "url", "events", "secret_id",
    "queue_url"}`. No events are all events. The queue's dead letters are in the queue `<its name>-dead-letters`."""
    from functions.shared.adapters.secrets import SecretsManagerSecret, secrets_in
    from functions.shared.adapters.webhooks import SqsDeliveryQueue, StandardWebhook, WebhookEndpoint
    from functions.shared.domain.event import EVENT_TYPES

    def endpoint(webhook: dict[str, Any]) -> WebhookEndpoint:
        secret = SecretsManagerSecret(_client("secretsmanager"), webhook["secret_id"])
        return WebhookEndpoint(
            webhook["name"],
            frozenset(webhook["events"] or EVENT_TYPES),
            StandardWebhook(webhook["url"], lambda: secrets_in(secret())),
            SqsDeliveryQueue(_client("sqs"), webhook["queue_url"], f"{webhook['queue_url']}-dead-letters"),
        )

    configured: dict[str, dict[str, Any]] = json.loads(os.environ["WEBHOOKS"])
    return {arn: endpoint(webhook) for arn, webhook in configured.items()}


@cache
def payment_index() -> "ports.PaymentIndex":
    from functions.shared.adapters.table.index import DynamoDbPaymentIndex

    return DynamoDbPaymentIndex(_client("dynamodb"), os.environ["DYNAMODB_TABLE"])


@cache
def books() -> "ports.Books":
    from functions.shared.adapters.table.books import DynamoDbBooks

    return DynamoDbBooks(_client("dynamodb"), os.environ["DYNAMODB_TABLE"])


@cache
def breaks() -> "ports.Breaks":
    from functions.shared.adapters.table.books import DynamoDbBreaks

    return DynamoDbBreaks(_client("dynamodb"), os.environ["DYNAMODB_TABLE"])


@cache
def written() -> "ports.Written":
    from functions.shared.adapters.table.written import DynamoDbWritten

    return DynamoDbWritten(_client("dynamodb"), os.environ["DYNAMODB_TABLE"])


@cache
def anchors() -> "ports.Anchors":
    from functions.shared.adapters.anchors import S3Anchors

    return S3Anchors(_client("s3"), os.environ["ANCHORS_BUCKET"])


@cache
def card_vault() -> "ports.CardVault":
    from functions.shared.adapters.table.cards import DynamoDbCardVault

    return DynamoDbCardVault(_client("dynamodb"), os.environ["CARDS_TABLE"], os.environ.get("DYNAMODB_TABLE"))


@cache
def velocity_counter() -> "ports.VelocityCounter":
    from functions.shared.adapters.table.velocity import DynamoDbVelocityCounter

    return DynamoDbVelocityCounter(_client("dynamodb"), os.environ["COUNTERS_TABLE"])


@cache
def executions() -> "ports.Executions":
    from functions.shared.adapters.executions import StepFunctionsExecutions

    return StepFunctionsExecutions(_client("stepfunctions"), os.environ["STATE_MACHINE_ARN"])


@cache
def operation_executions() -> "ports.Executions":
    from functions.shared.adapters.executions import StepFunctionsExecutions

    return StepFunctionsExecutions(_client("stepfunctions"), os.environ["OPERATION_STATE_MACHINE_ARN"])


@cache
def resolve_machine() -> "ports.StateMachine":
    from functions.shared.adapters.executions import StepFunctionsStateMachine

    return StepFunctionsStateMachine(_client("stepfunctions"), os.environ["RESOLVE_STATE_MACHINE_ARN"])


@cache
def attendance() -> "ports.Attendance":
    from functions.shared.adapters.table.attendance import DynamoDbAttendance

    return DynamoDbAttendance(_client("dynamodb"), os.environ["COUNTERS_TABLE"])


@cache
def gateways() -> "ports.Gateways":
    """GATEWAYS is a JSON object: by name, each gateway's `{"url", "secret_id", "connect_timeout_seconds",
    "read_timeout_seconds", "settings"}`."""
    from functions.shared.adapters.gateways.registry import ConfiguredGateways

    configured = json.loads(os.environ["GATEWAYS"])
    return ConfiguredGateways(_connect(name, **gateway) for name, gateway in configured.items())


def _connect(name: str, *, url: str, secret_id: str, **configured: Any) -> "ports.PaymentGateway":
    from functions.shared.adapters.gateways.registry import adapter
    from functions.shared.adapters.secrets import SecretsManagerSecret

    gateway: ports.PaymentGateway = adapter(name).connect(
        url,
        SecretsManagerSecret(_client("secretsmanager"), secret_id),
        **configured,
        iso_minor_unit=decimals,
        now=now,
        observe=_measure_gateway_call,
    )
    return gateway


@cache
def event_readers() -> "Mapping[str, ports.EventReader]":
    """By name, the gateways from which this deployment accepts events."""
    from functions.shared.adapters.gateways.events import SignedEvents
    from functions.shared.adapters.secrets import SecretsManagerSecret

    secret_ids: dict[str, str] = json.loads(os.environ["GATEWAY_EVENT_SECRETS"])
    return {
        gateway: SignedEvents(gateway, SecretsManagerSecret(_client("secretsmanager"), secret_id))
        for gateway, secret_id in secret_ids.items()
    }


@cache
def event_queue() -> "ports.EventQueue":
    from functions.shared.adapters.event_queue import SqsEventQueue

    return SqsEventQueue(_client("sqs"), os.environ["EVENT_QUEUE_URL"])


def _measure_gateway_call(operation: str, seconds: float, succeeded: bool) -> None:
    frame.count("GatewayCalls")
    if not succeeded:
        frame.count("GatewayErrors")
    frame.metrics.add_metric("GatewayLatency", MetricUnit.Milliseconds, seconds * 1000)
