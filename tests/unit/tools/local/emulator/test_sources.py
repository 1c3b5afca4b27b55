"""What calls a function, and what fills its queue, needs the permissions that it needs on AWS."""

import json
from typing import Any

import pytest

from tests.unit.tools.local.emulator.conftest import Emulator
from tools.deployment.polling import wait_for
from tools.local.emulator.sources import QUEUE_ACTIONS, STREAM_ACTIONS

TABLE, TAKE = "stream-table", "def handler(event, context):\n    return {}\n"


def allow(actions: tuple[str, ...], resource: str = "*") -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource}


@pytest.fixture(scope="module")
def stream(emulator: Emulator) -> str:
    created = emulator.client("dynamodb").create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
    )
    return str(created["TableDescription"]["LatestStreamArn"])


class TestStreams:
    @pytest.mark.parametrize("missing", [None, *STREAM_ACTIONS])
    def test_records_arrive_only_under_a_role_that_may_read_the_stream(
        self, emulator: Emulator, stream: str, missing: str | None
    ) -> None:
        actions = tuple(action for action in STREAM_ACTIONS if action != missing)
        function, client = emulator.function(TAKE), emulator.client("lambda")
        role = emulator.role("lambda.amazonaws.com", allow(actions))
        client.update_function_configuration(FunctionName=function, Role=role)
        mapping = client.create_event_source_mapping(
            EventSourceArn=stream, FunctionName=function, StartingPosition="LATEST"
        )
        try:
            emulator.client("dynamodb").put_item(TableName=TABLE, Item={"pk": {"S": missing or "all"}})

            def result() -> str:
                return str(client.get_event_source_mapping(UUID=mapping["UUID"]).get("LastProcessingResult", ""))

            expected = "OK - 1 records" if missing is None else ""
            processed = wait_for(result, 10 if missing is None else 2, until=lambda text: text.startswith("OK"))
            assert (processed if processed.startswith("OK") else "") == expected
        finally:
            client.delete_event_source_mapping(UUID=mapping["UUID"])


class TestRules:
    @pytest.mark.parametrize("allowed", ["the rule", "another rule", "nobody"])
    def test_a_rule_sends_only_to_a_queue_whose_policy_allows_it(self, emulator: Emulator, allowed: str) -> None:
        name = f"queue-for-{allowed.replace(' ', '-')}"
        sqs, events = emulator.client("sqs"), emulator.client("events")
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        rule = events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))["RuleArn"]
        if allowed != "nobody":
            statement = {
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": rule if allowed == "the rule" else f"{rule}-not"}},
            }
            policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn, "InputPath": "$.detail"}])
        events.put_events(Entries=[{"Source": name, "DetailType": "try", "Detail": '{"n": 1}'}])
        messages = sqs.receive_message(QueueUrl=url).get("Messages", [])
        assert [json.loads(message["Body"]) for message in messages] == ([{"n": 1}] if allowed == "the rule" else [])


def test_the_permissions_are_those_of_the_guides() -> None:
    assert QUEUE_ACTIONS == ("sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:DeleteMessage")
    assert {action.partition(":")[0] for action in STREAM_ACTIONS} == {"dynamodb"}
