"""What a state says to a later one by an error of its own, whose message is JSON."""

import json
from typing import Any


def message(cause: str) -> dict[str, Any]:
    """The message of an error that Step Functions caught, whose cause is JSON (`tests/aws_facts/lambda_errors.yaml`).

    Raises ValueError, KeyError or TypeError for the cause of any other error.
    """
    content: dict[str, Any] = json.loads(json.loads(cause)["errorMessage"])
    return content
