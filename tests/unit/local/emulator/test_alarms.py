"""Alarms are described as they were made, whichever protocol asks."""

import uuid
from typing import Any

import pytest

from tests.unit.local.emulator.conftest import Emulator

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
    """CloudWatch by a protocol of its model; boto3 takes JSON, Terraform the query protocol."""
    from botocore.model import ServiceModel

    monkeypatch.setattr(ServiceModel, "resolved_protocol", protocol)
    return emulator.client("cloudwatch")


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
