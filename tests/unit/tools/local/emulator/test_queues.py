"""A message is hidden for twelve hours at most, counted from when it was received."""

import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws_facts import facts
from tests.unit.tools.local.emulator.conftest import Emulator

FACTS = facts("visibility_timeout")
LONGEST_SECONDS = FACTS["at_most_seconds_since_receive"]


def test_the_time_since_the_receive_counts(emulator: Emulator) -> None:
    sqs = emulator.client("sqs")
    url = sqs.create_queue(QueueName=uuid.uuid4().hex)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="x")
    [message] = sqs.receive_message(QueueUrl=url)["Messages"]
    received: dict[str, Any] = {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]}
    sqs.change_message_visibility(**received, VisibilityTimeout=LONGEST_SECONDS - 600)
    with pytest.raises(ClientError) as refused:
        sqs.change_message_visibility(**received, VisibilityTimeout=LONGEST_SECONDS)
    error = refused.value.response["Error"]
    assert (error["Code"], error["Message"]) == (FACTS["code"], FACTS["message"].format(LONGEST_SECONDS))
