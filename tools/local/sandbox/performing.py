"""Carries out an operation as the fault allows, and answers as the fault demands.

For an answer that must not arrive it sets the header `DROP`, at which the server breaks the connection.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Response, jsonify
from werkzeug.exceptions import InternalServerError

from tools.local.sandbox.faults import Fault
from tools.local.sandbox.idempotency import Answer, IdempotencyKeys

DROP = "X-Sandbox-Drop"
"""Header of a response that must not be sent. It says what to do instead: `close` or `reset` the connection."""

REFUND_STATUSES = {"refund_pending": "pending", "refund_failed": "failed"}
ALTERED_RESULTS = ("partial_approval", *REFUND_STATUSES)
"""Faults with which a sandbox carries out and answers a request, but with a result that was not requested."""

_NO_ANSWER = 444


@dataclass(frozen=True, slots=True)
class Claim:
    """What makes a request with an idempotency key the same request again, and the charge's reference."""

    key: str
    path: str
    body: dict[str, Any]
    reference: str


def perform(
    action: Callable[[], Answer],
    fault: Fault | None,
    keys: IdempotencyKeys,
    claim: Claim | None,
    rate_limited: Exception,
) -> Response:
    """Carry out the operation as the fault allows; with a claim, only once per key.

    Raises `rate_limited` for the fault `http_429`, and the keys' own errors.
    """
    if fault and fault.fault not in ("late", "slow", "timeout_after", "garbage", *ALTERED_RESULTS):
        return _answer_without_action(fault, rate_limited)
    earlier = claim and keys.claim(claim.key, claim.path, claim.body, claim.reference)
    if fault and fault.fault == "late":
        time.sleep(fault.seconds or 0)
    try:
        answer = earlier or action()
    except Exception:
        if claim:
            keys.release(claim.key)
        raise
    if fault and fault.fault == "slow":
        time.sleep(fault.seconds or 0)
    if claim and not earlier:
        keys.record(claim.key, answer)
    if fault and fault.fault == "timeout_after":
        time.sleep(fault.seconds or 0)
    return _respond(answer) if fault is None or fault.fault in ("slow", *ALTERED_RESULTS) else _hide_result(fault)


def _respond(answer: Answer) -> Response:
    if isinstance(answer.body, bytes):
        response = Response(answer.body, mimetype="application/json")
    else:
        response = jsonify(answer.body)
    response.status_code = answer.status
    if answer.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def _answer_without_action(fault: Fault, rate_limited: Exception) -> Response:
    """Answer, or drop the connection, without carrying out the operation."""
    match fault.fault:
        case "http_429":
            raise rate_limited
        case "http_500":
            raise InternalServerError
        case "http_502_html":
            return Response("<html><body><h1>502 Bad Gateway</h1></body></html>\n", 502, mimetype="text/html")
        case "reset":
            return _drop("reset")
        case _:
            time.sleep(fault.seconds or 0)
            return _drop("close")


def _hide_result(fault: Fault) -> Response:
    """Hide that the operation was carried out: answer garbage, or drop the connection."""
    return Response("It works!\n", 200, mimetype="text/html") if fault.fault == "garbage" else _drop("close")


def _drop(how: str) -> Response:
    return Response(status=_NO_ANSWER, headers={DROP: how})
