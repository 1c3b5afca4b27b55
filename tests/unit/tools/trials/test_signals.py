"""The comparison of state transitions with CloudWatch's count, which no emulator has."""

from datetime import datetime
from typing import Any

import pytest

from tests.aws_facts import facts
from tools.estimates import footprint
from tools.trials.acceptance.run import Run, Unexpected
from tools.trials.acceptance.steps import signals


class CountedRun:
    """A run on AWS in which each payment counts this many state transitions."""

    def __init__(self, each: int) -> None:
        self.each, self.total, self.arguments = each, 7.0, dict[str, Any]()

    def require_aws(self, why: str) -> None:
        """Accept, since this stands for AWS."""

    def client(self, service: str) -> Any:
        return self

    def get_metric_statistics(self, **arguments: Any) -> dict[str, Any]:
        self.arguments = arguments
        return {"Datapoints": [{"Sum": self.total - 3.0}, {"Sum": 3.0}]}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Any:
    def counted(each: int) -> CountedRun:
        run = CountedRun(each)

        def pay(_: Run) -> None:
            run.total += run.each

        monkeypatch.setattr(signals, "pay", pay)
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        return run

    return counted


def test_a_payment_that_counts_as_it_is_priced_passes_and_is_looked_up_where_aws_counts_it(counted: Any) -> None:
    run = counted(len(footprint.happy_path()))
    signals.transitions_are_counted(run)
    documented = facts("state_transitions")
    assert (run.arguments["Namespace"], run.arguments["MetricName"]) == (documented["namespace"], documented["metric"])
    assert signals.as_dict(run.arguments["Dimensions"]) == documented["dimensions"]
    assert isinstance(run.arguments["StartTime"], datetime)


def test_a_start_and_an_end_that_count_too_are_reported(counted: Any) -> None:
    with pytest.raises(Unexpected, match="the state transitions of a payment is 7, not 5"):
        signals.transitions_are_counted(counted(len(footprint.happy_path()) + 2))
