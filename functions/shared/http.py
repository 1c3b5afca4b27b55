"""Answers for API Gateway's Lambda proxy integration, in the API's shapes."""

import json
from typing import Any


def answer(status: int, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """An answer that no cache on the way may keep: the next one may differ, and it is nobody else's business."""
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json", "Cache-Control": "no-store"},
        "body": "" if body is None else json.dumps(body),
    }


def error(status: int, code: str, message: str) -> dict[str, Any]:
    return answer(status, {"error": {"code": code, "message": message}})


UNAVAILABLE = error(503, "service_unavailable", "Nothing is known right now. Ask again in a moment.")
"""The answer when a service that has to be asked does not answer."""
