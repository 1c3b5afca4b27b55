"""The dashboard is one that CloudWatch takes, and shows every alarm."""

import json

from tests.aws_facts import facts
from tests.mocked_terraform import Mocked

ALARMS_AT_MOST = facts("cloudwatch_quotas")["alarms_in_a_widget_at_most"]


def test_every_alarm_is_shown_in_widgets_beside_which_there_is_nothing(deployments: dict[str, Mocked]) -> None:
    deployed = deployments["otherwise"]
    [dashboard] = deployed.of_type("aws_cloudwatch_dashboard").values()
    widgets = json.loads(dashboard["dashboard_body"])["widgets"]
    shown = [widget["properties"]["alarms"] for widget in widgets if widget["type"] == "alarm"]
    assert [len(alarms) <= ALARMS_AT_MOST for alarms in shown] == [True, True]
    alarms = {values["arn"] for values in deployed.of_type("aws_cloudwatch_metric_alarm").values()}
    assert len(alarms) > ALARMS_AT_MOST
    assert {arn for alarms in shown for arn in alarms} == alarms
    cells = [
        (column, row)
        for widget in widgets
        for column in range(widget["x"], widget["x"] + widget["width"])
        for row in range(widget["y"], widget["y"] + widget["height"])
    ]
    assert len(cells) == len(set(cells))
