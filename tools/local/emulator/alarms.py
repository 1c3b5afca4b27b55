"""Alarms on metric math, and DescribeAlarms in XML, which MiniStack 1.5.33 lacks.

On AWS (CloudWatch API reference, PutMetricAlarm and DescribeAlarms) an alarm has either a MetricName with its
Namespace, or `Metrics`, and DescribeAlarms returns everything that the alarm was created with. MiniStack drops
`Metrics`, and returns only a third of the other fields to callers of the query protocol, such as Terraform.

An alarm on `Metrics` is evaluated here whenever metric data arrive; AWS evaluates it every minute. If its metrics never
had any data, it keeps its state, since nothing here sends the metrics that AWS's services send. For the effect of
missing data see "Configuring how CloudWatch alarms treat missing data", CloudWatch user guide.
"""

import functools
import json
import operator
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from botocore.model import ListShape, ServiceModel, Shape, StructureShape
from botocore.session import get_session
from ministack.services import cloudwatch

from tools.local.emulator.metric_math import WORST_CASE, Interpretation, Series, evaluate

_COMPARE = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
_SINGLE_METRIC_FIELDS = ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Period", "Dimensions", "Unit")


def install() -> None:
    """Make MiniStack keep and evaluate `Metrics`, and describe alarms in full."""
    evaluate_alarm = cloudwatch._evaluate_alarm
    put_metric_alarm = cloudwatch._put_metric_alarm
    describe_alarms = cloudwatch._describe_alarms

    @functools.wraps(put_metric_alarm)
    def put(params: dict[str, Any], data: dict[str, Any], is_cbor: bool, is_json: bool = False) -> Any:
        answer = put_metric_alarm(params, data, is_cbor, is_json)
        request = data if is_cbor or is_json else _read(_shapes("PutMetricAlarm").input_shape, params)
        if answer[0] == 200 and request.get("Metrics"):
            alarm = cloudwatch._alarms[request["AlarmName"]]
            for name in _SINGLE_METRIC_FIELDS:
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

    @functools.wraps(evaluate_alarm)
    def evaluate_either(alarm: dict[str, Any]) -> None:
        if "Metrics" in alarm:
            _evaluate(alarm, time.time())
        else:
            evaluate_alarm(alarm)

    cloudwatch._evaluate_alarm = evaluate_either
    cloudwatch._put_metric_alarm = put
    cloudwatch._describe_alarms = describe


def evaluated_periods(alarm: Mapping[str, Any], interpretation: Interpretation = WORST_CASE) -> range:
    """Return the numbers of the periods that the alarm evaluates, the latest last."""
    return range(alarm["EvaluationPeriods"] + interpretation.periods_beyond)


def state(alarm: Mapping[str, Any], series: Mapping[str, Series], interpretation: Interpretation = WORST_CASE) -> str:
    """Compute the state of an alarm on `Metrics` from the values of each metric, by id, in `evaluated_periods`.

    `alarm` is as DescribeAlarms returns it. Its `StateValue` is the state that it keeps if it ignores missing data.
    """
    periods, evaluation_periods = evaluated_periods(alarm, interpretation), alarm["EvaluationPeriods"]
    (alarm_query,) = (query for query in alarm["Metrics"] if query.get("ReturnData", True))
    values = (
        evaluate(alarm_query["Expression"], series, periods, interpretation)
        if "Expression" in alarm_query
        else series[alarm_query["Id"]]
    )
    breaches = _COMPARE[alarm["ComparisonOperator"]]
    points = [breaches(values[period], alarm["Threshold"]) if period in values else None for period in periods]
    treatment = alarm.get("TreatMissingData", "missing")
    dynamodb_metrics = [
        query["Id"]
        for query in alarm["Metrics"]
        if query.get("MetricStat", {}).get("Metric", {}).get("Namespace") == "AWS/DynamoDB"
    ]
    if dynamodb_metrics and interpretation.dynamodb_missing != "as_told":
        treatment = "ignore"
        if interpretation.dynamodb_missing == "ignored_in_each_metric":
            complete_periods = [
                period for period in periods if all(period in series[metric] for metric in dynamodb_metrics)
            ]
            points = [
                point if period in complete_periods else None for period, point in zip(periods, points, strict=True)
            ]
    return (
        _state(points, evaluation_periods, alarm.get("DatapointsToAlarm", evaluation_periods), treatment)
        or alarm["StateValue"]
    )


def _state(points: Sequence[bool | None], evaluation_periods: int, to_alarm: int, treatment: str) -> str | None:
    """Determine the state by the guide's tables, or None for no change. A point says whether it breaches; a missing
    point is None.
    """
    real = [point for point in points if point is not None]
    filled = {"breaching": [True], "notBreaching": [False]}.get(treatment, []) * max(evaluation_periods - len(real), 0)
    if (filled + real)[-evaluation_periods:].count(True) >= to_alarm:
        return "ALARM"
    if filled or not all(real) or len(real) >= evaluation_periods:
        return "OK"
    if treatment == "ignore":
        return None
    # "Avoiding premature transitions": alarm only if the breach is old enough, and no later point contradicts it.
    if not real:
        return "INSUFFICIENT_DATA"
    return "ALARM" if len(points) - points.index(True) >= to_alarm else None


def _evaluate(alarm: dict[str, Any], now: float) -> None:
    """Update an alarm's state, and run its actions if the state changed."""
    periods, series, has_data = evaluated_periods(alarm), {}, False
    for query in alarm["Metrics"]:
        if "MetricStat" not in query:
            continue
        statistic, metric = query["MetricStat"], query["MetricStat"]["Metric"]
        dimensions = cloudwatch._dims_key(cloudwatch._dims_from_list(metric.get("Dimensions") or []))
        points = cloudwatch._metrics.get((metric["Namespace"], metric["MetricName"], dimensions)) or []
        has_data = has_data or bool(points)
        by_period: dict[int, list[dict[str, Any]]] = {}
        for point in points:
            by_period.setdefault(periods[-1] - int((now - point["Timestamp"]) // statistic["Period"]), []).append(point)
        series[query["Id"]] = {
            period: cloudwatch._stat_value(cloudwatch._calc_stats(datapoints), statistic["Stat"], datapoints)
            for period, datapoints in by_period.items()
            if period in periods
        }
    before, after = alarm["StateValue"], state(alarm, series) if has_data else alarm["StateValue"]
    if before != after:
        reason = "The metrics' last values, or that there are none"
        alarm |= {"StateValue": after, "StateReason": reason, "StateUpdatedTimestamp": int(now)}
        cloudwatch._record_history(alarm["AlarmName"], before, after, reason)
        cloudwatch._dispatch_alarm_actions(alarm, before, after, reason)
        cloudwatch._evaluate_parent_alarms(alarm)


@functools.cache
def _service() -> ServiceModel:
    return get_session().get_service_model("cloudwatch")


def _shapes(operation: str) -> Any:
    return _service().operation_model(operation)


def _read(shape: Shape, params: Mapping[str, Any], name: str = "") -> Any:
    """Read a value from the query protocol's flat parameters, `Metrics.member.1.Id=…`; return None if it is absent."""
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
    """Write the value as an XML element, without members that the shape does not have."""
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
