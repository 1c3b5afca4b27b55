"""Responses for API Gateway's Lambda proxy integration, in the API's format."""

import json
from typing import Any


def answer(status: int, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """A response that no cache may store: the next response may differ, and the content is confidential."""
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json", "Cache-Control": "no-store"},
        "body": "" if body is None else json.dumps(body),
    }


def error(status: int, code: str, message: str) -> dict[str, Any]:
    return answer(status, {"error": {"code": code, "message": message}})


UNAVAILABLE = error(503, "service_unavailable", "Nothing is known right now. Ask again in a moment.")
"""The response if a service that the function depends on is unavailable."""
