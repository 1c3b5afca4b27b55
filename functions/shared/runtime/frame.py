"""The frame around every handler: its contract, its log lines, its metrics, and the errors that it may raise."""

import gc
import os
import traceback
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from functions.shared import redaction
from functions.shared.domain.errors import GatewayMismatch, InternalError, PaymentError, Rejection, Unavailable
from functions.shared.domain.shapes import canonical_id, is_id

Event = dict[str, Any]
UseCase = Callable[[Event], dict[str, Any]]
Handler = Callable[[Event, Any], dict[str, Any]]

logger = Logger(json_serializer=redaction.to_json)
metrics = Metrics()
redaction.install(own_logger=logger.name)


def count(metric: str, occurrences: int = 1) -> None:
    """Add occurrences to a counter, in the CloudWatch embedded metric format."""
    metrics.add_metric(metric, MetricUnit.Count, occurrences)


def duration(metric: str, seconds: float) -> None:
    """Record a duration, in the CloudWatch embedded metric format."""
    metrics.add_metric(metric, MetricUnit.Seconds, seconds)


def function(
    contract: str,
    *,
    uses: Sequence[Callable[[], object]] = (),
    payment_id: Callable[[Event], object] = lambda event: event.get("payment_id"),
    if_unavailable: dict[str, Any] | None = None,
) -> Callable[[UseCase], Handler]:
    """Make a Lambda handler of `call(event) -> answer`.

    `uses` are the factories whose adapters the calls need. On Lambda these are made before the first invocation, while
    Lambda lends the function more CPU than it has later, and so that a snapshot holds them; others are made on first
    use.

    The event is checked against `contracts/<contract>.json`. Every log line has the payment's id, provided that it is
    one, and no log line has the event. Every error that leaves the handler is a PaymentError with a message of ours and
    no cause or context; any other exception becomes an InternalError. Instead of an Unavailable, the handler answers
    `if_unavailable`, where that is given.
    """

    def decorate(call: UseCase) -> Handler:
        if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
            _prepare(contract)
            for make in uses:
                make()
            gc.freeze()  # so that the first call's collection need not search all of this either
            gc.enable()

        @wraps(call)
        def handler(event: Event, context: Any) -> dict[str, Any]:
            try:
                given_id = payment_id(event) if isinstance(event, dict) else None
                # A value that is no id might be a card number in some form, so it is not logged.
                logger.append_keys(payment_id=canonical_id(given_id) if is_id(given_id) else None)
                validate(contract, event)
                answer = call(event)
                logger.info(f"{contract} done")
                return answer
            except PaymentError as error:
                if if_unavailable and isinstance(error, Unavailable):
                    logger.warning("unavailable", reason=str(error))
                    return if_unavailable
                if isinstance(error, Rejection):
                    count("PaymentRejected")
                elif isinstance(error, GatewayMismatch):
                    count("GatewayMismatch")
                logger.warning(f"{contract} failed", error=type(error).__name__, reason=str(error))
                outgoing: PaymentError = error
            except Exception as error:
                locations = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
                logger.error(f"{contract} failed unexpectedly", error=type(error).__name__, where=locations)
                outgoing = InternalError(type(error).__name__)
            finally:
                if metrics.metric_set:
                    metrics.flush_metrics()
                logger.clear_state()
            # awslambdaric reports only the message, but the cause and the context may hold the card, and `from None`
            # would only hide the context.
            outgoing.args = tuple(map(redaction.redacted, outgoing.args))
            outgoing.__cause__ = outgoing.__context__ = None
            raise outgoing

        return handler

    return decorate


def validate(contract: str, instance: Any) -> None:
    """Raise InvalidInput if the instance violates `contracts/<contract>.json`."""
    from functions.shared.adapters import json_schema

    json_schema.validate(contract, instance)


def _prepare(contract: str) -> None:
    """Compile the contract's check before the first event arrives."""
    from functions.shared.adapters import json_schema

    json_schema.prepare(contract)
