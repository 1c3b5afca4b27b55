"""What operators see: metrics under the dimensions that the alarms use, logs, traces and the dashboard."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from tools.estimates import footprint
from tools.trials.acceptance.run import Run, Step, Unexpected, expect_equal, wait_for
from tools.trials.acceptance.steps.payments import pay

COUNTED_WITHIN_SECONDS = 900.0
"""ListMetrics may take fifteen minutes to list a new metric (see its page in the CloudWatch API reference)."""
LOGGED_WITHIN_SECONDS = 180.0
TRACED_WITHIN_SECONDS = 300.0

# The alarms' metrics that every run produces. `own` stands for the product's namespace.
REQUIRED_METRICS = (
    ("AWS/ApiGateway", "Count"),
    ("AWS/Lambda", "Invocations"),
    ("AWS/Lambda", "Errors"),
    ("AWS/States", "ExecutionsStarted"),
    ("AWS/States", "ExecutionsFailed"),
    ("own", "GatewayCalls"),
    ("own", "PaymentsInDoubt"),
)
# The account's use of its quota of state transitions ("Step Functions metrics for CloudWatch", developer guide).
TRANSITIONS = {
    "Namespace": "AWS/States",
    "MetricName": "ConsumedCapacity",
    "Dimensions": [{"Name": "ServiceMetric", "Value": "StateTransition"}],
    "Statistics": ["Sum"],
    "Period": 60,
}
PAYMENTS_COUNTED = 20
"""Enough payments that a few state transitions of other executions in the account don't distort the average."""
COUNTED_COMPLETELY_SECONDS = 120.0

STEPS_OF_A_PAYMENT = ("tokenize", "screen", "encrypt", "charge", "persist")
_NO_METRICS = "The emulator counts nothing."

Dimensions = dict[str, str]


def alarms(run: Run) -> list[dict[str, Any]]:
    pages = run.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{run.stack.prefix}-")
    return [alarm for page in pages for alarm in page["MetricAlarms"]]


def alarm_metrics(run: Run) -> Iterator[tuple[str, str, Dimensions]]:
    """Yield the namespace, name and dimensions of each metric that an alarm uses."""
    for alarm in alarms(run):
        queried = [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", ()) if "MetricStat" in query]
        for metric in queried or [alarm]:
            yield metric["Namespace"], metric["MetricName"], as_dict(metric["Dimensions"])


def published_dimensions(run: Run, namespace: str, name: str) -> list[Dimensions]:
    """The sets of dimensions under which this deployment publishes a metric."""
    pages = run.client("cloudwatch").get_paginator("list_metrics").paginate(Namespace=namespace, MetricName=name)
    found = (as_dict(metric["Dimensions"]) for page in pages for metric in page["Metrics"])
    return [
        each
        for each in found
        if namespace == run.stack.prefix or any(run.stack.prefix in value for value in each.values())
    ]


def as_dict(dimensions: list[dict[str, str]]) -> Dimensions:
    return {each["Name"]: each["Value"] for each in dimensions}


def is_published(source: str, name: str) -> Callable[[Run], None]:
    """Create a check that this metric gets data under exactly the dimensions that an alarm uses."""

    def check(run: Run) -> None:
        run.require_aws(_NO_METRICS)
        namespace = run.stack.prefix if source == "own" else source
        alarm_dimensions = [dimensions for *metric, dimensions in alarm_metrics(run) if metric == [namespace, name]]
        expect_equal(f"whether an alarm looks at {namespace} {name}", bool(alarm_dimensions), True)
        wait_for(
            f"{namespace} {name} under {alarm_dimensions}",
            lambda: [each for each in published_dimensions(run, namespace, name) if each in alarm_dimensions],
            timeout_seconds=COUNTED_WITHIN_SECONDS,
        )

    return check


def under_no_other_dimensions(run: Run) -> None:
    """Check the dimensions of all alarms; an alarm with wrong dimensions would get no data and never fire."""
    run.require_aws(_NO_METRICS)
    wrong = []
    for namespace, name, dimensions in alarm_metrics(run):
        kinds = [set(each) for each in published_dimensions(run, namespace, name)]
        if kinds and set(dimensions) not in kinds:
            wrong.append(f"{namespace} {name} is watched under {set(dimensions)}, and counted under {kinds}")
    expect_equal("what is watched in vain", wrong, [])


def transitions_are_counted(run: Run) -> None:
    """Compare the state transitions of captured payments with what CloudWatch counts in the account meanwhile.

    If the start or the end of an execution counts as well, it shows here.
    """
    run.require_aws(_NO_METRICS)
    begin = datetime.now(UTC).replace(second=0, microsecond=0)
    before = transitions_since(run, begin)
    for _ in range(PAYMENTS_COUNTED):
        pay(run)
    expected = PAYMENTS_COUNTED * len(footprint.happy_path())
    wait_for(
        f"{expected} state transitions in CloudWatch",
        lambda: transitions_since(run, begin) - before >= 0.9 * expected,
        timeout_seconds=COUNTED_WITHIN_SECONDS,
    )
    time.sleep(COUNTED_COMPLETELY_SECONDS)
    counted = transitions_since(run, begin) - before
    expect_equal("the state transitions of a payment", round(counted / PAYMENTS_COUNTED), len(footprint.happy_path()))


def transitions_since(run: Run, begin: datetime) -> float:
    query = TRANSITIONS | {"StartTime": begin, "EndTime": datetime.now(UTC) + timedelta(minutes=1)}
    return float(sum(point["Sum"] for point in run.client("cloudwatch").get_metric_statistics(**query)["Datapoints"]))


def functions_log(run: Run) -> None:
    payment_id = pay(run)["payment_id"]
    for function in STEPS_OF_A_PAYMENT:
        expect_logged(run, run.stack.log_group_prefix + function, f'"{payment_id}"')


def state_machine_logs(run: Run) -> None:
    run.require_aws("The emulator's Step Functions write no logs.")
    payment_id = pay(run)["payment_id"]
    expect_logged(run, f"/aws/vendedlogs/states/{run.stack.prefix}-payment", f'"{payment_id}"')


def api_logs(run: Run) -> None:
    run.require_aws("The emulator's API Gateway writes no access log.")
    answer = run.call("GET", "/keys")
    expect_logged(run, f"/aws/apigateway/{run.stack.prefix}", f'"{answer.headers["x-amzn-requestid"]}"')


def expect_logged(run: Run, group: str, pattern: str) -> None:
    logs = run.client("logs")
    wait_for(
        f"{pattern} in {group}",
        lambda: logs.filter_log_events(logGroupName=group, filterPattern=pattern)["events"],
        timeout_seconds=LOGGED_WITHIN_SECONDS,
    )


def traced(run: Run) -> None:
    run.require_aws("The emulator has no X-Ray.")
    begin = datetime.now(UTC)
    pay(run)
    xray = run.client("xray")

    def traced_names() -> set[str]:
        pages = xray.get_paginator("get_trace_summaries").paginate(
            StartTime=begin - timedelta(minutes=1), EndTime=datetime.now(UTC)
        )
        services = (service for page in pages for trace in page["TraceSummaries"] for service in trace["ServiceIds"])
        return {name for service in services for name in service.get("Names", ()) if run.stack.prefix in name}

    wait_for("a trace", lambda: traced_names() or None, timeout_seconds=TRACED_WITHIN_SECONDS)


def widgets(run: Run) -> list[dict[str, Any]]:
    body = run.client("cloudwatch").get_dashboard(DashboardName=run.stack.prefix)["DashboardBody"]
    return list(json.loads(body)["widgets"])


def dashboard_has_every_alarm(run: Run) -> None:
    [alarm_arns] = (widget["properties"]["alarms"] for widget in widgets(run) if widget["type"] == "alarm")
    expect_equal("the alarms shown", sorted(alarm_arns), sorted(alarm["AlarmArn"] for alarm in alarms(run)))


def dashboard_is_drawn(run: Run) -> None:
    """Let CloudWatch render each graph of the dashboard, and keep the images."""
    run.require_aws("The emulator draws no graphs.")
    cloudwatch = run.client("cloudwatch")
    for widget in widgets(run):
        if widget["type"] != "metric":
            continue
        graph = {name: value for name, value in widget["properties"].items() if name != "region"}
        image = cloudwatch.get_metric_widget_image(MetricWidget=json.dumps(graph))["MetricWidgetImage"]
        if not image.startswith(b"\x89PNG"):
            raise Unexpected(f"{graph['title']} is not an image: {base64.b64encode(image[:16])!r}")
        run.recorder.write(f"{graph['title']}.png", image)


STEPS = [
    *(
        Step("signals", f"{name} is counted where an alarm looks for it", is_published(source, name))
        for source, name in REQUIRED_METRICS
    ),
    Step("signals", "no alarm looks under other dimensions than those that are counted", under_no_other_dimensions),
    Step("signals", "CloudWatch counts the state transitions that a payment is priced with", transitions_are_counted),
    Step("signals", "the functions log a payment", functions_log),
    Step("signals", "the state machine logs a payment", state_machine_logs),
    Step("signals", "the API logs a call", api_logs),
    Step("signals", "a payment is traced", traced),
    Step("signals", "the dashboard shows every alarm", dashboard_has_every_alarm),
    Step("signals", "the dashboard's graphs are drawn", dashboard_is_drawn),
]
