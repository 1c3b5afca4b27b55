"""How long SQS hides a message, which MiniStack 1.5.33 does not limit.

It is twelve hours at most, counted from when the message was received ("Visibility timeout", SQS developer guide).
Whoever asks for more is refused (`tests/aws_facts/visibility_timeout.yaml`).
"""

import functools
import time
from typing import Any

from ministack.services import sqs

LONGEST_SECONDS = 43_200
TOO_LONG = (
    "Value {} for parameter VisibilityTimeout is invalid. "
    f"Reason: Total VisibilityTimeout for the message is beyond the limit [{LONGEST_SECONDS} seconds]"
)


def install() -> None:
    """Note when each message is received, and refuse to hide it for longer."""
    collect = sqs._collect_msgs
    change_visibility = sqs._HANDLERS["ChangeMessageVisibility"]

    @functools.wraps(collect)
    def receive(*arguments: Any) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = collect(*arguments)
        for message in messages:
            message["received_at"] = time.time()
        return messages

    @functools.wraps(change_visibility)
    def change(data: dict[str, Any], queue_url: str) -> Any:
        seconds = int(data["VisibilityTimeout"])
        for message in sqs._get_q(data.get("QueueUrl", queue_url), "sqs:ChangeMessageVisibility")["messages"]:
            is_received = message["receipt_handle"] and message["receipt_handle"] == data.get("ReceiptHandle")
            if is_received and time.time() + seconds > message["received_at"] + LONGEST_SECONDS:
                raise sqs._Err("InvalidParameterValue", TOO_LONG.format(seconds))
        return change_visibility(data, queue_url)

    sqs._collect_msgs = receive
    sqs._HANDLERS["ChangeMessageVisibility"] = change
