"""A deployment is complete once aliases serve the requested versions, not when Terraform's apply ends."""

import io
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from rich.console import Console

from tests.aws_facts import facts
from tools.deployment.rollout import MAX_APPLIES, apply_until_live, roll_out
from tools.deployment.stack import StackError

MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:payments-test-payment"
CHARGE = "arn:aws:lambda:eu-west-1:123456789012:function:payments-test-charge"  # without an alias
STATUS = "arn:aws:lambda:eu-west-1:123456789012:function:payments-test-status"
ALIASES = {"payment": f"{MACHINE}:live", "status": f"{STATUS}:live"}

# Four webhooks make so many.
ALARMS = [f"payments-test-{number}" for number in range(101)]

Shares = list[dict[str, Any]]


@dataclass
class Aws:
    """Lambda, Step Functions and CloudWatch: the newest versions, the aliases' shares, and the alarms that fire."""

    firing: list[str] = field(default_factory=list)
    newest: dict[str, int] = field(default_factory=lambda: {MACHINE: 9, CHARGE: 9, STATUS: 9})
    shares: dict[str, Shares] = field(default_factory=dict)

    def list_state_machine_versions(self, stateMachineArn: str, maxResults: int) -> Any:  # noqa: N803
        version = f"{stateMachineArn}:{self.newest[stateMachineArn]}"
        return {"stateMachineVersions": [{"stateMachineVersionArn": version}]}

    def describe_state_machine_alias(self, stateMachineAliasArn: str) -> Any:  # noqa: N803
        routes = [
            {"stateMachineVersionArn": f"{MACHINE}:{share['version']}", "weight": share["percent"]}
            for share in self.shares[stateMachineAliasArn]
        ]
        return {"routingConfiguration": routes}

    def get_alias(self, FunctionName: str, Name: str) -> Any:  # noqa: N803
        first, *others = self.shares[f"{FunctionName}:{Name}"]
        weights = {share["version"]: share["percent"] / 100 for share in others}
        return {"FunctionVersion": first["version"], "RoutingConfig": {"AdditionalVersionWeights": weights}}

    def get_paginator(self, operation: str) -> Any:
        return {"list_versions_by_function": FunctionVersions(self), "describe_alarms": Alarms(self.firing)}[operation]


@dataclass
class FunctionVersions:
    aws: Aws

    def paginate(self, FunctionName: str) -> Any:  # noqa: N803
        newest = self.aws.newest[FunctionName]
        return [
            {"Versions": [{"Version": "$LATEST"}, {"Version": str(newest - 1)}]},
            {"Versions": [{"Version": str(newest)}]},
        ]


@dataclass
class Alarms:
    firing: list[str] = field(default_factory=list)

    def paginate(self, AlarmNames: list[str], StateValue: str) -> Any:  # noqa: N803
        assert len(AlarmNames) <= facts("cloudwatch_quotas")["names_described_at_most"]
        return [{"MetricAlarms": [{"AlarmName": name}]} for name in self.firing if name in AlarmNames]


@dataclass
class LaggingTerraform:
    """The first apply publishes a version of each. For `lag` applies, those in `late` still read as before."""

    late: frozenset[str] = frozenset()
    lag: int = 0
    aws: Aws = field(default_factory=Aws)
    applied: list[tuple[tuple[str, ...], bool]] = field(default_factory=list)
    state: dict[str, int] = field(default_factory=lambda: {MACHINE: 9, CHARGE: 9, STATUS: 9})

    def apply(self, *arguments: str, show: bool = False) -> None:
        if not self.applied:
            self.aws.newest = {arn: version + 1 for arn, version in self.aws.newest.items()}
        self.applied.append((arguments, show))
        lags = self.late if len(self.applied) <= self.lag else frozenset()
        self.state = {arn: version - (arn in lags) for arn, version in self.aws.newest.items()}
        rollout = json.loads(arguments[0].partition("=rollout=")[2]) if arguments else None
        self.live = {name: self._shares(arn, rollout) for name, arn in ALIASES.items()}
        for name, arn in ALIASES.items():
            if arn not in lags:
                self.aws.shares[arn] = self.live[name]

    def _shares(self, alias: str, rollout: dict[str, Any] | None) -> Shares:
        newest = self.state[alias.removesuffix(":live")]
        if rollout is None or newest == 9:
            return [{"version": str(newest), "percent": 100}]
        shares = [(9, 100 - rollout["percent"]), (newest, rollout["percent"])]
        return [{"version": str(version), "percent": percent} for version, percent in shares if percent]

    def outputs(self) -> dict[str, Any]:
        return {
            "region": "eu-west-1",
            "newest_version_arns": [f"{arn}:{version}" for arn, version in self.state.items()],
            "live_alias_arns": ALIASES,
            "live_versions": getattr(self, "live", {}),
            "stable_versions": {"payment": "9", "status": "9"},
            "alarm_names": ALARMS,
        }

    def client(self, service: str, region: str) -> Any:
        assert region == "eu-west-1"
        return self.aws

    def deploy(self) -> list[str]:
        """The progress messages."""
        messages: list[str] = []
        apply_until_live(self, messages.append)  # type: ignore[arg-type]
        return messages


NEWEST = [{"version": "10", "percent": 100}]


def test_where_nothing_lags_it_is_applied_once() -> None:
    terraform = LaggingTerraform()
    assert terraform.deploy() == []
    assert len(terraform.applied) == 1


@pytest.mark.parametrize(
    ("late", "name"),
    [
        (MACHINE, "payments-test-payment"),  # Terraform read the previous version, and so did the alias
        (STATUS, "payments-test-status"),
        (CHARGE, "payments-test-charge"),  # the state machine's definition calls the previous version
        (f"{MACHINE}:live", "payments-test-payment"),  # only the alias lags behind
        (f"{STATUS}:live", "payments-test-status"),
    ],
)
def test_what_lags_is_reported_and_applied_again(late: str, name: str) -> None:
    terraform = LaggingTerraform(frozenset({late}), lag=1)
    terraform.aws.shares = {arn: [{"version": "9", "percent": 100}] for arn in ALIASES.values()}
    assert terraform.deploy() == [f"Applying again, as {name} lagged behind the newest version."]
    assert len(terraform.applied) == 2
    assert terraform.aws.shares == dict.fromkeys(ALIASES.values(), NEWEST)


def test_what_goes_on_lagging_ends_the_deployment_with_an_error() -> None:
    terraform = LaggingTerraform(frozenset({MACHINE}), lag=99)
    with pytest.raises(StackError, match=f"payments-test-payment still lags .* after {MAX_APPLIES} applies"):
        terraform.deploy()
    assert len(terraform.applied) == MAX_APPLIES


def test_only_the_first_apply_asks_and_each_has_the_same_arguments() -> None:
    terraform = LaggingTerraform(frozenset({MACHINE}), lag=1)
    apply_until_live(terraform, print, "-var=rollout=null", confirm=True)  # type: ignore[arg-type]
    assert terraform.applied == [(("-var=rollout=null",), True), (("-var=rollout=null",), False)]


@pytest.mark.parametrize(
    "late", [set(), {MACHINE, STATUS}, set(ALIASES.values())], ids=["timely", "versions", "aliases"]
)
def test_a_roll_out_shares_as_it_was_asked_to_before_it_watches(late: set[str]) -> None:
    terraform = LaggingTerraform(frozenset(late), lag=1)
    terraform.aws.shares = {arn: [{"version": "9", "percent": 100}] for arn in ALIASES.values()}
    shared: list[Shares] = []

    class Watched(Alarms):
        def get_paginator(self, operation: str) -> Any:
            shared.append(terraform.aws.shares[ALIASES["payment"]])
            return self

    console = Console(file=io.StringIO())
    assert roll_out(terraform, Watched(), percent=10, seconds=0, console=console, confirm=False)  # type: ignore[arg-type]
    assert shared == [
        [{"version": "9", "percent": 100}],
        [{"version": "9", "percent": 90}, {"version": "10", "percent": 10}],
    ]
    assert terraform.aws.shares == dict.fromkeys(ALIASES.values(), NEWEST)


@pytest.mark.parametrize("firing", [ALARMS[0], ALARMS[-1]])
def test_while_any_of_the_alarms_fires_nothing_is_rolled_out(firing: str) -> None:
    terraform = LaggingTerraform(aws=Aws(firing=[firing, "another-deployment-s"]))
    with pytest.raises(StackError, match=f"^{firing}: an alarm that is already firing"):
        roll_out(terraform, terraform.aws, percent=10, seconds=0, console=Console(file=io.StringIO()), confirm=False)  # type: ignore[arg-type]
    assert terraform.applied == []
