"""Alarms on metric math, and DescribeAlarms in XML, which MiniStack 1.5.33 lacks.

What AWS does (CloudWatch API reference, PutMetricAlarm and DescribeAlarms): an alarm has either a MetricName with its
Namespace, or `Metrics`, and is described with all that it was made of. MiniStack forgets `Metrics`, and of the rest
tells callers of the query protocol, such as Terraform, a third.

Nothing here evaluates `Metrics`: such an alarm changes its state by SetAlarmState alone.
"""

import functools
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

from botocore.model import ListShape, ServiceModel, Shape, StructureShape
from botocore.session import get_session
from ministack.services import cloudwatch

_OF_ONE_METRIC = ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Period", "Dimensions", "Unit")


def install() -> None:
    """Have MiniStack keep `Metrics`, and describe alarms in full."""
    put_metric_alarm = cloudwatch._put_metric_alarm
    describe_alarms = cloudwatch._describe_alarms

    @functools.wraps(put_metric_alarm)
    def put(params: dict[str, Any], data: dict[str, Any], is_cbor: bool, is_json: bool = False) -> Any:
        answer = put_metric_alarm(params, data, is_cbor, is_json)
        request = data if is_cbor or is_json else _read(_shapes("PutMetricAlarm").input_shape, params)
        if answer[0] == 200 and request.get("Metrics"):
            alarm = cloudwatch._alarms[request["AlarmName"]]
            for name in _OF_ONE_METRIC:
                del alarm[name]
            alarm["Metrics"] = request["Metrics"]
        return answer

    @functools.wraps(describe_alarms)
    def describe(params: dict[str, Any], data: dict[str, Any], is_cbor: bool, is_json: bool = False) -> Any:
        if is_cbor or is_json:
            return describe_alarms(params, data, is_cbor, is_json)
        operation = _shapes("DescribeAlarms")
        answer = describe_alarms(params, _read(operation.input_shape, params), False, True)
        if answer[0] != 200:
            return describe_alarms(params, data, is_cbor, is_json)
        result = _xml("DescribeAlarmsResult", operation.output_shape, json.loads(answer[2]))
        return cloudwatch._xml(200, "DescribeAlarmsResponse", result)

    cloudwatch._put_metric_alarm = put
    cloudwatch._describe_alarms = describe


@functools.cache
def _service() -> ServiceModel:
    return get_session().get_service_model("cloudwatch")


def _shapes(operation: str) -> Any:
    return _service().operation_model(operation)


def _read(shape: Shape, params: Mapping[str, Any], name: str = "") -> Any:
    """A value from the query protocol's flat parameters, `Metrics.member.1.Id=…`; None if it is not there."""
    if isinstance(shape, StructureShape):
        fields = {
            field: _read(inner, params, f"{name}.{field}" if name else field) for field, inner in shape.members.items()
        }
        return {field: value for field, value in fields.items() if value is not None} or None
    if isinstance(shape, ListShape):
        values: list[Any] = []
        while (value := _read(shape.member, params, f"{name}.member.{len(values) + 1}")) is not None:
            values.append(value)
        return values or None
    if name not in params:
        return None
    text = cloudwatch._p(params, name)
    match shape.type_name:
        case "boolean":
            return text == "true"
        case "integer":
            return int(text)
        case "double":
            return float(text)
    return text


def _xml(tag: str, shape: Shape, value: Any) -> str:
    """The value as an XML element; what the shape doesn't know is left out."""
    match value:
        case dict():
            assert isinstance(shape, StructureShape)
            members = [(name, inner, value.get(name)) for name, inner in shape.members.items()]
            text = "".join(_xml(name, inner, field) for name, inner, field in members if field is not None)
        case list():
            assert isinstance(shape, ListShape)
            text = "".join(_xml("member", shape.member, item) for item in value)
        case bool():
            text = str(value).lower()
        case int() if shape.type_name == "timestamp":
            text = datetime.fromtimestamp(value, UTC).isoformat()
        case _:
            text = escape(str(value))
    return f"<{tag}>{text}</{tag}>"
