"""Answers for API Gateway's Lambda proxy integration, in the API's shapes."""

import json
from typing import Any


def answer(status: int, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Nobody keeps it on the way: the next may be another, and it is none of their business."""
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json", "Cache-Control": "no-store"},
        "body": "" if body is None else json.dumps(body),
    }


def error(status: int, code: str, message: str) -> dict[str, Any]:
    return answer(status, {"error": {"code": code, "message": message}})
