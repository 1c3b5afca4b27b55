"""Who is notified of problems with the payments, and what the dashboard shows."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.stack.driver import Driver
from tests.stack.test_resolve import doubts
from tools.deployment.paths import ROOT
from tools.deployment.polling import wait_for
from tools.deployment.stack import Stack, new_payment_id
from tools.trials.events import FUNCTION_EVENTS
from tools.trials.invoke import Invocations

SECTIONS = re.findall(r"^## (.+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)

# The parts of "Dashboard Body Structure and Syntax" and "Metric Widget Structure and Syntax" (CloudWatch API reference)
# that we use. A metric is [namespace, name, dimension name, dimension value, …, {rendering}], or [{expression}].
RENDERING = {
    "type": "object",
    "properties": {
        "expression": {"type": "string"},
        "id": {"type": "string", "pattern": "^[a-z][A-Za-z0-9_]*$"},
        "label": {"type": "string"},
        "stat": {"type": "string"},
        "visible": {"type": "boolean"},
    },
    "additionalProperties": False,
}
METRIC = {
    "type": "array",
    "if": {"prefixItems": [{"type": "object"}]},
    "then": {"items": RENDERING, "maxItems": 1},
    "else": {"items": {"anyOf": [{"type": "string", "minLength": 1}, RENDERING]}, "minItems": 2},
}
PROPERTIES = {
    "text": {"properties": {"markdown": {"type": "string"}}, "required": ["markdown"]},
    "alarm": {
        "properties": {
            "title": {"type": "string"},
            "sortBy": {"enum": ["default", "stateUpdatedTimestamp", "timestamp"]},
            "alarms": {"type": "array", "items": {"type": "string"}, "maxItems": 100},
        },
        "required": ["alarms"],
    },
    "metric": {
        "properties": {
            "title": {"type": "string"},
            "metrics": {"type": "array", "items": METRIC, "minItems": 1, "maxItems": 500},
            "region": {"type": "string"},
            "view": {"enum": ["timeSeries", "singleValue", "gauge", "bar", "pie", "table"]},
            "stacked": {"type": "boolean"},
            "stat": {"type": "string"},
            "period": {"type": "integer", "multipleOf": 60, "minimum": 60},
            "yAxis": {
                "properties": {"left": {"properties": {"min": {"type": "number"}, "max": {"type": "number"}}}},
                "additionalProperties": False,
            },
            "annotations": {
                "properties": {
                    "horizontal": {
                        "items": {
                            "properties": {"value": {"type": "number"}, "label": {"type": "string"}},
                            "required": ["value"],
                            "additionalProperties": False,
                        }
                    }
                },
                "additionalProperties": False,
            },
        },
        "required": ["metrics", "region"],
    },
}
DASHBOARD_BODY = {
    "type": "object",
    "properties": {
        "widgets": {
            "type": "array",
            "maxItems": 500,
            "items": {
                "type": "object",
                "properties": {
                    "type": {"enum": list(PROPERTIES)},
                    "x": {"type": "integer", "minimum": 0, "maximum": 23},
                    "y": {"type": "integer", "minimum": 0},
                    "width": {"type": "integer", "minimum": 1, "maximum": 24},
                    "height": {"type": "integer", "minimum": 1, "maximum": 1000},
                    "properties": {"type": "object"},
                },
                "required": ["type", "x", "y", "width", "height", "properties"],
                "additionalProperties": False,
                "allOf": [
                    {
                        "if": {"properties": {"type": {"const": kind}}},
                        "then": {"properties": {"properties": schema | {"additionalProperties": False}}},
                    }
                    for kind, schema in PROPERTIES.items()
                ],
            },
        }
    },
    "required": ["widgets"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def alarms(stack: Stack) -> dict[str, dict[str, Any]]:
    """The deployed alarms by name, without the deployment's prefix."""
    pages = stack.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=stack.prefix)
    found = [alarm for page in pages for alarm in page["MetricAlarms"]]
    return {alarm["AlarmName"].removeprefix(f"{stack.prefix}-"): alarm for alarm in found}


@pytest.fixture(scope="module")
def widgets(stack: Stack) -> list[dict[str, Any]]:
    body = json.loads(stack.client("cloudwatch").get_dashboard(DashboardName=stack.prefix)["DashboardBody"])
    assert [error.message for error in Draft202012Validator(DASHBOARD_BODY).iter_errors(body)] == []
    return list(body["widgets"])


def test_every_alarm_has_a_section_in_the_runbook_and_every_section_an_alarm(alarms: dict[str, dict[str, Any]]) -> None:
    named = {name: alarm["AlarmDescription"].rpartition("docs/runbook.md#")[2] for name, alarm in alarms.items()}
    assert set(named.values()) == set(SECTIONS)
    assert len(set(SECTIONS)) == len(SECTIONS)
    assert [name for name, section in named.items() if not name.startswith(section)] == []


def test_every_section_says_what_the_alarm_means_and_what_to_do() -> None:
    _, *sections = re.split(r"^## ", (ROOT / "docs" / "runbook.md").read_text(), flags=re.MULTILINE)
    parts = ("**What it means.**", "**What to do.**")
    assert [section.splitlines()[0] for section in sections if not all(part in section for part in parts)] == []


def test_every_link_in_the_runbook_has_a_target() -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    links, headings = re.findall(r"\]\(#([^)]+)\)", runbook), re.findall(r"^##+ (.+)$", runbook, re.MULTILINE)
    assert links
    assert set(links) <= {heading.lower().replace(" ", "-") for heading in headings}


def test_every_function_has_its_alarms(stack: Stack, alarms: dict[str, dict[str, Any]]) -> None:
    functions = stack.client("lambda").list_functions()["Functions"]
    names = [function["FunctionName"].removeprefix(f"{stack.prefix}-") for function in functions]
    assert "doubts" in names
    expected = {f"function-{kind}-{name}" for kind in ("errors", "throttles") for name in names}
    assert {name for name in alarms if name.startswith("function-")} == expected


def metrics_of(alarms: dict[str, dict[str, Any]], widgets: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """The namespace and name of every metric that an alarm or a graph uses."""
    for alarm in alarms.values():
        for query in alarm["Metrics"]:
            if "MetricStat" in query:
                yield query["MetricStat"]["Metric"]["Namespace"], query["MetricStat"]["Metric"]["MetricName"]
    for widget in widgets:
        for metric in widget["properties"].get("metrics", []):
            if isinstance(metric[0], str):
                yield metric[0], metric[1]


def test_every_watched_metric_of_ours_is_sent_by_the_functions(
    stack: Stack, alarms: dict[str, dict[str, Any]], widgets: list[dict[str, Any]]
) -> None:
    source = "".join(file.read_text() for file in (ROOT / "functions").rglob("*.py"))
    looked_at = set(metrics_of(alarms, widgets))
    own_metrics = {name for namespace, name in looked_at if namespace == stack.prefix}
    assert {"PaymentsInDoubt", "GatewayErrors"} <= own_metrics
    assert {name for name in own_metrics if f'"{name}"' not in source} == set()
    assert {namespace for namespace, _ in looked_at} == {
        stack.prefix,
        "AWS/ApiGateway",
        "AWS/DynamoDB",
        "AWS/Events",
        "AWS/Lambda",
        "AWS/SQS",
        "AWS/States",
    }


def test_an_expression_uses_only_defined_metrics(alarms: dict[str, dict[str, Any]]) -> None:
    for alarm in alarms.values():
        (watched,) = (query for query in alarm["Metrics"] if query["ReturnData"])
        others = {query["Id"] for query in alarm["Metrics"]} - {watched["Id"]}
        assert set(re.findall(r"[a-z][a-z_0-9]*", watched.get("Expression", ""))) == others


def test_the_dashboard_fills_its_grid_row_by_row_and_shows_every_alarm(
    alarms: dict[str, dict[str, Any]], widgets: list[dict[str, Any]]
) -> None:
    cells = [
        (x, y)
        for widget in widgets
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]
    assert len(cells) == len(set(cells)), "two widgets lie on each other"
    assert set(cells) == {(x, y) for x in range(24) for y in range(max(y for _, y in cells) + 1)}, "there are gaps"
    (arns,) = (widget["properties"]["alarms"] for widget in widgets if widget["type"] == "alarm")
    assert set(arns) == {alarm["AlarmArn"] for alarm in alarms.values()}


@contextmanager
def subscribed(stack: Stack) -> Iterator[str]:
    """The URL of a queue that subscribes to the alarms' topic."""
    sqs, sns = stack.client("sqs"), stack.client("sns")
    (topic,) = (each["TopicArn"] for each in sns.list_topics()["Topics"] if "alarms" in each["TopicArn"])
    anybody = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [anybody]})
    url = sqs.create_queue(QueueName=f"told-{new_payment_id()}", Attributes={"Policy": policy})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True)
    try:
        yield url
    finally:
        sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
        sqs.delete_queue(QueueUrl=url)


def test_an_alarm_and_its_end_are_notified(stack: Stack, alarms: dict[str, dict[str, Any]]) -> None:
    alarm = alarms["payments-in-doubt"]
    with subscribed(stack) as queue_url:
        for state in ("ALARM", "OK"):
            stack.client("cloudwatch").set_alarm_state(
                AlarmName=alarm["AlarmName"], StateValue=state, StateReason="a test"
            )
        notices: list[dict[str, Any]] = []

        def receive() -> int:
            received = stack.client("sqs").receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10)
            for message in received.get("Messages", []):
                stack.client("sqs").delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
                notices.append(json.loads(json.loads(message["Body"])["Message"]))
            return len(notices)

        wait_for(receive, 20, until=lambda count: count >= 2)
    assert [notice["NewStateValue"] for notice in notices] == ["ALARM", "OK"]
    assert {notice["AlarmDescription"] for notice in notices} == {alarm["AlarmDescription"]}


def test_waiting_notifications_are_encrypted_with_our_own_key(stack: Stack) -> None:
    kms, sqs, sns = (stack.client(service) for service in ("kms", "sqs", "sns"))
    key = kms.describe_key(KeyId=f"alias/{stack.prefix}-data")["KeyMetadata"]["Arn"]
    queue = sqs.get_queue_url(QueueName=f"{stack.prefix}-dead-letters")["QueueUrl"]
    alias_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]["KmsMasterKeyId"]
    assert kms.describe_key(KeyId=alias_arn)["KeyMetadata"]["Arn"] == key
    (topic,) = (each["TopicArn"] for each in sns.list_topics()["Topics"] if "alarms" in each["TopicArn"])
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["KmsMasterKeyId"] == key


STARTED = {"payment-ended-badly": "resolve", "operation-ended-badly": "resolve", "reconcile": "reconcile"}


def test_events_that_eventbridge_cannot_deliver_wait_in_the_queue(stack: Stack) -> None:
    for rule, machine in STARTED.items():
        (target,) = stack.client("events").list_targets_by_rule(Rule=f"{stack.prefix}-{rule}")["Targets"]
        assert target["Arn"] == stack.live_arn(machine)
        assert target["DeadLetterConfig"]["Arn"].endswith(f":{stack.prefix}-dead-letters")


def test_the_day_before_is_reconciled_every_night(stack: Stack) -> None:
    events = stack.client("events")
    rule = events.describe_rule(Name=f"{stack.prefix}-reconcile")
    assert (rule["ScheduleExpression"], rule["State"]) == ("cron(0 2 * * ? *)", "ENABLED")
    (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    assert json.loads(target["Input"]) == {"day": None, "cursor": None}


def test_the_doubts_are_counted_every_five_minutes(stack: Stack) -> None:
    events = stack.client("events")
    rule = events.describe_rule(Name=f"{stack.prefix}-doubts")
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(5 minutes)", "ENABLED")
    (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    assert target["Arn"].endswith(f":function:{stack.prefix}-doubts:live")
    assert target["Input"] == "{}"


def test_a_payment_in_doubt_is_counted_in_a_metric(driver: Driver) -> None:
    payment_id = new_payment_id()
    for operation in ("charge", "find", "reverse"):
        driver.set_fault(payment_id, operation, "http_500", times=1000)
    driver.pay(payment_id)
    payment = driver.ended(payment_id)
    assert payment["status"] == "in_doubt"

    before = doubts(driver)
    counted = Invocations(driver.stack).invoke("doubts", FUNCTION_EVENTS / "doubts.json")
    after = doubts(driver)
    assert payment_id in before & after
    assert len(before & after) <= counted["count"] <= len(before | after)
    assert counted["oldest_since"] <= payment["updated_at"]

    metrics = last_metrics(driver.stack)
    assert metrics["PaymentsInDoubt"] == [counted["count"]]
    assert metrics["OldestDoubtSeconds"][0] > 0


def last_metrics(stack: Stack) -> dict[str, Any]:
    """Return the last metrics that `doubts` sent to CloudWatch in the embedded metric format, once its log has them."""
    logs, group = stack.client("logs"), f"{stack.log_group_prefix}doubts"
    events = wait_for(
        lambda: logs.filter_log_events(logGroupName=group, filterPattern="OldestDoubtSeconds")["events"], 20
    )
    assert events
    metrics: dict[str, Any] = json.loads(max(events, key=lambda event: event["timestamp"])["message"])
    (directive,) = metrics["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == (stack.prefix, [["service"]])
    return metrics
