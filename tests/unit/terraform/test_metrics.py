"""Every metric of an alarm or the dashboard is published with exactly the same dimensions."""

import json
from collections.abc import Iterator
from typing import Any

from tests.aws_facts import facts
from tests.mocked_terraform import Mocked
from tools.estimates.cost import METRICS_IN_ALARMS

PREFIX = "payments-test"
Metric = tuple[str, str, frozenset[str]]


def of_alarms(deployed: Mocked) -> Iterator[tuple[str, dict[str, Any]]]:
    for alarm in deployed.of_type("aws_cloudwatch_metric_alarm").values():
        for query in alarm["metric_query"]:
            for metric in query["metric"]:
                yield alarm["alarm_name"], metric


def looked_at(deployed: Mocked) -> set[Metric]:
    metrics = {
        (metric["namespace"], metric["metric_name"], frozenset(metric["dimensions"]))
        for _, metric in of_alarms(deployed)
    }
    body = json.loads(deployed.resources["aws_cloudwatch_dashboard.this"]["dashboard_body"])
    for widget in body["widgets"]:
        for metric in widget["properties"].get("metrics", []):
            if isinstance(metric[0], str):
                namespace, name, *dimensions = [part for part in metric if isinstance(part, str)]
                metrics.add((namespace, name, frozenset(dimensions[::2])))
    return metrics


def sent(namespace: str, name: str) -> list[list[str]]:
    documented = facts("metrics")
    return documented["Powertools"] if namespace == PREFIX else documented.get(namespace, {}).get(name, [])  # type: ignore[no-any-return]


def test_every_metric_is_sent_with_exactly_these_dimensions(deployed: Mocked) -> None:
    metrics = looked_at(deployed)
    assert {namespace for namespace, _, _ in metrics} == {*facts("metrics"), PREFIX} - {"Powertools"}
    assert {
        (namespace, name, *sorted(dimensions))
        for namespace, name, dimensions in metrics
        if dimensions not in map(frozenset, sent(namespace, name))
    } == set()


def test_each_table_and_index_has_an_alarm_of_its_own_on_its_throttles(deployed: Mocked) -> None:
    tables = deployed.of_type("aws_dynamodb_table")
    assert len(tables) == 4
    for table in tables.values():
        places = {None, *(index["name"] for index in table["global_secondary_index"])}
        watched = {
            (metric["dimensions"].get("GlobalSecondaryIndexName"), metric["metric_name"])
            for _, metric in of_alarms(deployed)
            if metric["dimensions"].get("TableName") == table["name"]
        }
        assert watched == {(place, f"{way}ThrottleEvents") for place in places for way in ("Read", "Write")}


def test_no_alarm_has_more_metrics_than_an_expression_allows(deployed: Mocked) -> None:
    names = [name for name, _ in of_alarms(deployed)]
    assert max(names.count(name) for name in names) <= facts("alarms")["metrics_at_most"]


def test_each_metric_of_each_alarm_is_in_the_price_of_a_deployment(deployed: Mocked) -> None:
    assert len(list(of_alarms(deployed))) == METRICS_IN_ALARMS
