"""Where the functions meet the world: adapters from the environment, logging, metrics, and the handlers' common frame.

Everything is made once and kept for the invocations that follow. On Lambda what a function `uses` is made before the
first of them, while Lambda lends it more CPU than it has later; the rest is made on first use.
"""

import os
import random
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, TypeVar

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from functions.shared import redaction
from functions.shared.domain.errors import GatewayMismatch, InternalError, LedgerConflict, PaymentError, Rejection
from functions.shared.domain.shapes import canonical_id, is_id

if TYPE_CHECKING:
    from functions.shared import ports

Event = dict[str, Any]
UseCase = Callable[[Event], dict[str, Any]]
Handler = Callable[[Event, Any], dict[str, Any]]
Result = TypeVar("Result")

logger = Logger(json_serializer=redaction.to_json)
metrics = Metrics()
_dice = random.SystemRandom()
redaction.install(own=logger.name)


def now() -> str:
    """The time in UTC as ISO 8601 with milliseconds, `2026-11-23T09:00:00.000Z`."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def sleep(seconds: float) -> None:
    time.sleep(seconds)


CONFLICT_PAUSES_SECONDS = (0.02, 0.04, 0.08, 0.16, 0.32)


def after_conflicts(call: Callable[[], Result]) -> Result:
    """Call, and call again after a moment where somebody else wrote the same record meanwhile.

    A Retry of the state machine's waits for a second at least, and those who came at once would wait for many. Raises
    LedgerConflict where it goes on.
    """
    for pause in CONFLICT_PAUSES_SECONDS:
        with suppress(LedgerConflict):
            return call()
        sleep(pause * _dice.uniform(0.5, 1.5))
    return call()


def count(metric: str, occurrences: int = 1) -> None:
    """Count, as a CloudWatch embedded metric."""
    metrics.add_metric(metric, MetricUnit.Count, occurrences)


def duration(metric: str, seconds: float) -> None:
    """Tell how long something took or lasts, as a CloudWatch embedded metric in seconds."""
    metrics.add_metric(metric, MetricUnit.Seconds, seconds)


def function(
    contract: str,
    *,
    uses: Sequence[Callable[[], object]] = (),
    payment_id: Callable[[Event], object] = lambda event: event.get("payment_id"),
) -> Callable[[UseCase], Handler]:
    """Make a Lambda handler of `call(event) -> answer`, whose calls need what the factories in `uses` make.

    The event is checked against `contracts/<contract>.json`. Every log line has the payment's id, if it is one, and
    none the event.
    What leaves is a PaymentError, with a message of ours and nothing behind it; anything else becomes InternalError.
    """

    def decorate(call: UseCase) -> Handler:
        if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
            prepare(contract)
            for make in uses:
                make()

        @wraps(call)
        def handler(event: Event, context: Any) -> dict[str, Any]:
            try:
                known_as = payment_id(event) if isinstance(event, dict) else None
                # Anything else might be a card's number, in whatever form.
                logger.append_keys(payment_id=canonical_id(known_as) if is_id(known_as) else None)
                validate(contract, event)
                answer = call(event)
                logger.info(f"{contract} done")
                return answer
            except PaymentError as error:
                if isinstance(error, Rejection):
                    count("PaymentRejected")
                elif isinstance(error, GatewayMismatch):
                    count("GatewayMismatch")
                logger.warning(f"{contract} failed", error=type(error).__name__, reason=str(error))
                left: PaymentError = error
            except Exception as error:
                where = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
                logger.error(f"{contract} failed unexpectedly", error=type(error).__name__, where=where)
                left = InternalError(type(error).__name__)
            finally:
                if metrics.metric_set:
                    metrics.flush_metrics()
                logger.clear_state()
            # awslambdaric reports the message alone. What is behind it, `from None` or not, may hold the card.
            left.args = tuple(map(redaction.redacted, left.args))
            left.__cause__ = left.__context__ = None
            raise left

        return handler

    return decorate


@cache
def _session() -> Any:
    # botocore's own: boto3 is a layer on top, which takes a tenth of a cold start and has nothing that is used here.
    import botocore.session

    return botocore.session.get_session()


@cache
def _client(service: str) -> Any:
    """A client that gives up well within the functions' own timeouts: two attempts of at most 3 seconds each."""
    from botocore.config import Config

    config = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 2, "mode": "standard"})
    return _session().create_client(service, config=config)


def minor_unit(currency: str) -> int | None:
    """The currency's decimals by ISO 4217 as it is, or None."""
    from functions.shared.adapters import currencies

    return currencies.minor_unit(currency)


def decimals(currency: str) -> int | None:
    """The currency's decimals, also of one that ISO 4217 has dropped, or None."""
    from functions.shared.adapters import currencies

    return currencies.decimals(currency)


@cache
def card_cipher() -> "ports.CardCipher":
    from functions.shared.adapters.kms import KmsCardCipher

    return KmsCardCipher(_client("kms"), os.environ["KMS_KEY_ID"])


@cache
def card_opener() -> "ports.CardOpener":
    from functions.shared.adapters.jwe import KmsCardOpener

    return KmsCardOpener(_client("kms"), frozenset(os.environ["SEALING_KEY_IDS"].split(",")))


def validate(contract: str, instance: Any) -> None:
    """Raise InvalidInput where the instance breaks `contracts/<contract>.json`."""
    from functions.shared.adapters import json_schema

    json_schema.validate(contract, instance)


def prepare(contract: str) -> None:
    """Read the contract before the first event is checked against it."""
    from functions.shared.adapters import json_schema

    json_schema.prepare(contract)


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
    """To read, with DYNAMODB_TABLE alone; who records uses `books_mac` too."""
    from functions.shared.adapters.dynamodb import DynamoDbLedger, sealed

    def seal(record: dict[str, Any]) -> dict[str, Any]:
        return sealed(record, books_mac(), now())

    return DynamoDbLedger(_client("dynamodb"), os.environ["DYNAMODB_TABLE"], seal, os.environ.get("CARDS_TABLE"))


@cache
def books() -> "ports.Books":
    from functions.shared.adapters.books import DynamoDbBooks

    return DynamoDbBooks(_client("dynamodb"), os.environ["DYNAMODB_TABLE"])


@cache
def breaks() -> "ports.Breaks":
    from functions.shared.adapters.books import DynamoDbBreaks

    return DynamoDbBreaks(_client("dynamodb"), os.environ["DYNAMODB_TABLE"])


@cache
def written() -> "ports.Written":
    from functions.shared.adapters.anchors import DynamoDbWritten

    return DynamoDbWritten(_client("dynamodb"), os.environ["DYNAMODB_TABLE"])


@cache
def anchors() -> "ports.Anchors":
    from functions.shared.adapters.anchors import S3Anchors

    return S3Anchors(_client("s3"), os.environ["ANCHORS_BUCKET"])


@cache
def card_vault() -> "ports.CardVault":
    from functions.shared.adapters.dynamodb import DynamoDbCardVault

    return DynamoDbCardVault(_client("dynamodb"), os.environ["CARDS_TABLE"])


def saves_cards() -> bool:
    """Whether a payment's card is kept where the request does not say."""
    return os.environ["SAVE_CARDS"] == "true"


def accepted_brands() -> frozenset[str]:
    """The brands whose cards this deployment takes."""
    return frozenset(os.environ["ACCEPTED_BRANDS"].split(","))


def accepts_test_cards() -> bool:
    """Whether this deployment takes published test cards."""
    return os.environ["TEST_CARDS_ACCEPTED"] == "true"


def kept_until(used_at: str) -> str:
    """Until when a card is kept that was used then (ISO 8601)."""
    return (datetime.fromisoformat(used_at) + timedelta(days=int(os.environ["CARD_RETENTION_DAYS"]))).isoformat()


@cache
def velocity_counter() -> "ports.VelocityCounter":
    from functions.shared.adapters.velocity import DynamoDbVelocityCounter

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
    from functions.shared.adapters.attendance import DynamoDbAttendance

    return DynamoDbAttendance(_client("dynamodb"), os.environ["COUNTERS_TABLE"])


@cache
def gateway() -> "ports.PaymentGateway":
    from functions.shared.adapters.secrets import SecretsManagerSecret
    from functions.shared.adapters.sparkle import Sparkle

    return Sparkle(
        os.environ["GATEWAY_URL"],
        SecretsManagerSecret(_client("secretsmanager"), os.environ["GATEWAY_SECRET_ID"]),
        connect_timeout_seconds=float(os.environ["GATEWAY_CONNECT_TIMEOUT_SECONDS"]),
        read_timeout_seconds=float(os.environ["GATEWAY_READ_TIMEOUT_SECONDS"]),
        iso_minor_unit=decimals,
        observe=_gateway_call,
    )


def _gateway_call(operation: str, seconds: float, succeeded: bool) -> None:
    count("GatewayCalls")
    if not succeeded:
        count("GatewayErrors")
    metrics.add_metric("GatewayLatency", MetricUnit.Milliseconds, seconds * 1000)
