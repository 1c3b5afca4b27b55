"""Alarms fire and return to OK by themselves under every interpretation of AWS's documentation.

An alarm that stays in ALARM would block every gradual deployment."""

import itertools
from typing import Any

import pytest

from tests.aws_facts import facts
from tests.mocked_terraform import Mocked
from tools.local.emulator.alarms import evaluated_periods, state
from tools.local.emulator.metric_math import Interpretation, Series

OPEN: dict[str, list[Any]] = facts("alarms")["readings"]
INTERPRETATIONS = [
    Interpretation(**dict(zip(OPEN, values, strict=True))) for values in itertools.product(*OPEN.values())
]
STRICTEST = Interpretation(dynamodb_missing="ignored_in_each_metric")


def described(deployed: Mocked, name: str) -> dict[str, Any]:
    """An alarm in the form of DescribeAlarms."""
    values = deployed.resources[f'aws_cloudwatch_metric_alarm.this["{name}"]']
    queries = []
    for query in values["metric_query"]:
        looks_at: dict[str, Any] = {"Expression": query["expression"]}
        for metric in query["metric"]:
            names = {"Namespace": metric["namespace"], "MetricName": metric["metric_name"]}
            looks_at = {"MetricStat": {"Metric": names}}
        queries.append({"Id": query["id"], "ReturnData": query["return_data"]} | looks_at)
    return {
        "Metrics": queries,
        "ComparisonOperator": values["comparison_operator"],
        "EvaluationPeriods": values["evaluation_periods"],
        "Threshold": values["threshold"],
        "TreatMissingData": values["treat_missing_data"],
        "StateValue": "INSUFFICIENT_DATA",
    }


def history(alarm: dict[str, Any], interpretation: Interpretation, datapoints: list[dict[str, float]]) -> list[str]:
    """The alarm's state after each period, given the metrics' values in that period."""
    states, looked_at = [], evaluated_periods(alarm, interpretation)
    for now in range(1, len(datapoints) + 1):
        latest = datapoints[max(0, now - len(looked_at)) : now]
        offset = len(looked_at) - len(latest)
        series: dict[str, Series] = {
            query["Id"]: {
                offset + period: values[query["Id"]] for period, values in enumerate(latest) if query["Id"] in values
            }
            for query in alarm["Metrics"]
            if "MetricStat" in query
        }
        alarm["StateValue"] = state(alarm, series, interpretation)
        states.append(alarm["StateValue"])
    return states


def throttled(deployed: Mocked) -> list[str]:
    alarms = deployed.of_type("aws_cloudwatch_metric_alarm")
    names = [address.partition('"')[2].partition('"')[0] for address in alarms]
    return [name for name in names if name.startswith("ledger-throttled")]


QUIET = {"doubts": 0.0}


@pytest.mark.parametrize("interpretation", INTERPRETATIONS, ids=str)
def test_a_throttle_fires_and_returns_to_ok_once_throttling_ends(
    deployed: Mocked, interpretation: Interpretation
) -> None:
    datapoints = [QUIET, QUIET | {"throttled": 3.0}, QUIET, QUIET, QUIET]
    for name in throttled(deployed):
        assert history(described(deployed, name), interpretation, datapoints) == ["OK", "ALARM", "OK", "OK", "OK"]


@pytest.mark.parametrize("interpretation", [*INTERPRETATIONS, STRICTEST], ids=str)
def test_it_fires_whether_or_not_doubts_are_counted(deployed: Mocked, interpretation: Interpretation) -> None:
    for name in throttled(deployed):
        for doubts in ({}, {"doubts": 0.0}, {"doubts": 7.0}):
            assert history(described(deployed, name), interpretation, [doubts | {"throttled": 1.0}]) == ["ALARM"]


@pytest.mark.parametrize("interpretation", INTERPRETATIONS, ids=str)
def test_doubts_alone_do_not_fire_it(deployed: Mocked, interpretation: Interpretation) -> None:
    for name in throttled(deployed):
        assert history(described(deployed, name), interpretation, [{"doubts": 7.0}]) == ["OK"]


def test_without_a_metric_that_is_always_sent_it_would_never_return_to_ok_under_one_interpretation(
    deployed: Mocked,
) -> None:
    def last_state(interpretation: Interpretation) -> str:
        alarm = described(deployed, throttled(deployed)[0])
        for query in alarm["Metrics"]:
            if "Expression" in query:
                query["Expression"] = "FILL(throttled, 0)"
        return history(alarm, interpretation, [{"throttled": 3.0}, *[QUIET] * 10])[-1]

    assert {last_state(interpretation) for interpretation in INTERPRETATIONS} == {"OK", "ALARM"}
    assert last_state(Interpretation()) == "ALARM"


def test_reads_and_writes_of_the_table_and_of_each_index_have_an_alarm_of_their_own(deployed: Mocked) -> None:
    names = ["ledger", "cards", "ephemeral", "counters"]
    tables = {name: deployed.resources[f"aws_dynamodb_table.{name}"] for name in names}
    indexes = [index["name"] for table in tables.values() for index in table.get("global_secondary_index") or ()]
    places = ["table", *names[1:], *indexes]
    assert {"by_account", "waiting"} < set(indexes)
    expected = {f"ledger-throttled-{place}-{what}" for place in places for what in ("reads", "writes")}
    assert {*throttled(deployed)} == expected


@pytest.mark.parametrize("interpretation", INTERPRETATIONS, ids=str)
def test_every_alarm_on_events_returns_to_ok_when_nothing_happens(
    deployed: Mocked, interpretation: Interpretation
) -> None:
    """Except for states: the age of a doubt and a day's breaks last until a new value is sent."""
    lasting = {"payments-in-doubt", "oldest-doubt", "reconciliation-breaks"}
    addresses = deployed.of_type("aws_cloudwatch_metric_alarm")
    names = {address.partition('"')[2].partition('"')[0] for address in addresses}
    assert lasting < names
    for name in names - lasting:
        alarm = described(deployed, name)
        everything = {query["Id"]: 1e6 for query in alarm["Metrics"]} | QUIET | {"asked": 20.0, "denied": 0.0}
        datapoints = [everything] * alarm["EvaluationPeriods"] + [QUIET] * 10
        states = history(alarm, interpretation, datapoints)
        assert (states[alarm["EvaluationPeriods"] - 1], states[-1]) == ("ALARM", "OK"), name


@pytest.mark.parametrize("interpretation", INTERPRETATIONS, ids=str)
def test_a_denial_by_a_rule_is_no_error_of_screen_but_other_failures_are(
    deployed: Mocked, interpretation: Interpretation
) -> None:
    alarm = described(deployed, "function-errors-screen")
    periods = alarm["EvaluationPeriods"]
    metrics = {"asked": 20.0, "denied": 12.0}
    assert history(alarm, interpretation, [metrics | {"failed": 12.0}] * periods)[-1] == "OK"
    assert history(alarm, interpretation, [metrics | {"failed": 18.0}] * periods)[-1] == "ALARM"
    assert history(alarm, interpretation, [{"asked": 20.0, "failed": 6.0}] * periods)[-1] == "ALARM"
