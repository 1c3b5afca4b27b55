"""DescribeAlarms returns alarms as created, in every protocol. Alarms are evaluated by CloudWatch's user guide."""

import time
import uuid
from typing import Any

import boto3
import pytest

from tests.aws_facts import facts
from tests.unit.tools.local.emulator.conftest import OPERATOR_KEYS, REGION, Emulator
from tools.local.emulator.alarms import state
from tools.local.emulator.metric_math import Interpretation

CALLS = {
    "MetricStat": {
        "Metric": {
            "Namespace": "payments",
            "MetricName": "GatewayCalls",
            "Dimensions": [{"Name": "service", "Value": "payments"}],
        },
        "Period": 300,
        "Stat": "Sum",
    }
}
ALARM: dict[str, Any] = {
    "AlarmDescription": 'Too many "errors" & <nothing> else',
    "ActionsEnabled": True,
    "AlarmActions": ["arn:aws:sns:us-east-1:000000000000:alarms"],
    "OKActions": ["arn:aws:sns:us-east-1:000000000000:alarms"],
    "ComparisonOperator": "GreaterThanThreshold",
    "EvaluationPeriods": 2,
    "Threshold": 0.5,
    "TreatMissingData": "breaching",
}
OF_MATH = ALARM | {
    "Metrics": [
        {"Id": "calls", "ReturnData": False} | CALLS,
        {"Id": "value", "Label": "share", "Expression": "calls / 2", "ReturnData": True},
    ]
}
OF_ONE_METRIC = ALARM | {"MetricName": "GatewayCalls", "Namespace": "payments", "Statistic": "Sum", "Period": 60}


def client(emulator: Emulator, protocol: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A CloudWatch client with this protocol. boto3 uses JSON, Terraform the query protocol."""
    from botocore.model import ServiceModel

    monkeypatch.setattr(ServiceModel, "resolved_protocol", protocol)
    return boto3.client("cloudwatch", endpoint_url=emulator.url, region_name=REGION, **OPERATOR_KEYS)


@pytest.mark.parametrize("asked_by", ["query", "json"])
@pytest.mark.parametrize("made_by", ["query", "json"])
@pytest.mark.parametrize("alarm", [OF_MATH, OF_ONE_METRIC], ids=["of_math", "of_one_metric"])
def test_an_alarm_is_described_as_it_was_made(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, alarm: dict[str, Any], made_by: str, asked_by: str
) -> None:
    name = uuid.uuid4().hex
    client(emulator, made_by, monkeypatch).put_metric_alarm(AlarmName=name, **alarm)
    (described,) = client(emulator, asked_by, monkeypatch).describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert alarm.items() <= described.items()
    assert ("Metrics" in described) != ("MetricName" in described)
    assert described["StateUpdatedTimestamp"].year > 2000


@pytest.mark.parametrize("treatment", ["missing", "ignore", "breaching", "notBreaching"])
@pytest.mark.parametrize("row", facts("alarms")["missing_data"], ids=lambda row: row["points"])
def test_missing_data_are_treated_as_the_guide_s_tables_say(row: dict[str, Any], treatment: str) -> None:
    alarm = ALARM | {
        "Metrics": [{"Id": "calls", "ReturnData": True} | CALLS],
        "EvaluationPeriods": 3,
        "DatapointsToAlarm": row["datapoints_to_alarm"],
        "TreatMissingData": treatment,
        "StateValue": "retain",
    }
    points = {period: float(point == "X") for period, point in enumerate(row["points"]) if point != "-"}
    assert state(alarm, {"calls": points}, Interpretation(periods_beyond=2)) == row[treatment]


class Throttled:
    """An alarm on throttles of an index with periods of a second, and its notifications."""

    def __init__(self, emulator: Emulator, expression: str) -> None:
        self.client = emulator.client("cloudwatch")
        self.name = uuid.uuid4().hex
        self.ids = {"reads": ("AWS/DynamoDB", "ReadThrottleEvents"), "doubts": (self.name, "PaymentsInDoubt")}
        queries = [
            {
                "Id": query,
                "ReturnData": False,
                "MetricStat": {"Metric": self.metric(query), "Period": 1, "Stat": "Maximum"},
            }
            for query in self.ids
        ]
        value = {"Id": "value", "Expression": expression, "ReturnData": True}
        settings = ALARM | {"EvaluationPeriods": 1, "Threshold": 0, "TreatMissingData": "notBreaching"}
        self.client.put_metric_alarm(AlarmName=self.name, Metrics=[*queries, value], **settings)

    def metric(self, query: str) -> dict[str, Any]:
        namespace, name = self.ids[query]
        return {"Namespace": namespace, "MetricName": name, "Dimensions": [{"Name": "Table", "Value": self.name}]}

    def state_with(self, query: str, value: int) -> str:
        """The alarm's state, once a metric has a value."""
        metric = self.metric(query)
        self.client.put_metric_data(Namespace=metric.pop("Namespace"), MetricData=[metric | {"Value": value}])
        (described,) = self.client.describe_alarms(AlarmNames=[self.name])["MetricAlarms"]
        return str(described["StateValue"])


def test_an_alarm_on_dynamodb_alone_stays_without_data_whatever_it_says_of_missing_data(
    emulator: Emulator,
) -> None:
    stuck = Throttled(emulator, "FILL(reads, 0)")
    moved = Throttled(emulator, "SUM([FILL(reads, 0), IF(doubts < 0, 1, 0)])")
    assert stuck.state_with("doubts", 0) == "INSUFFICIENT_DATA"
    assert [alarm.state_with("reads", 2) for alarm in (stuck, moved)] == ["ALARM", "ALARM"]
    time.sleep(1.1)  # the evaluated period
    assert [alarm.state_with("doubts", 0) for alarm in (stuck, moved)] == ["ALARM", "OK"]


def test_the_metrics_that_are_sent_by_themselves_have_dimensions_that_aws_s_have(emulator: Emulator) -> None:
    function = emulator.function("def handler(event, context):\n    return 1")
    emulator.client("lambda").invoke(FunctionName=function)
    name = {"Name": "FunctionName", "Value": function.rpartition(":")[2]}
    sent = emulator.client("cloudwatch").list_metrics(Namespace="AWS/Lambda", Dimensions=[name])["Metrics"]
    # IteratorAge is only of functions that a stream calls.
    assert {metric["MetricName"] for metric in sent} == set(facts("metrics")["AWS/Lambda"]) - {"IteratorAge"}
    for metric in sent:
        assert [each["Name"] for each in metric["Dimensions"]] in facts("metrics")["AWS/Lambda"][metric["MetricName"]]
