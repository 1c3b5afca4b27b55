"""Every value that the variables allow is accepted by the AWS provider and by AWS."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.aws_facts import facts
from tests.mocked_terraform import REQUIRED, Mocked, mocked, refused, refused_by_provider

RUNTIMES = facts("lambda_runtimes")
ALLOWED = sorted({*RUNTIMES["supported"]} & {*RUNTIMES["known_to_provider"]})
DEFAULT = str(REQUIRED["lambda_runtime"])
NEXT = ["python3.10", "python3.14", "python3.15"]
LONGEST = {
    "name": "p" * 24,
    "environment": "e" * 12,
    "api_firewall": {"rate_limit": 100},
    "webhooks": {"w" * 18: {"url": "https://shop.example"}},
}
SHORTEST = {"name": "pay", "environment": "qa", "sealing_keys": ["a"], "token_keys": ["A_-" * 10 + "zz"]}
FULL_OF_TAGS = {"tags": {f"{'k' * 123}:{number:04}": "välue _.:/=+-@" + "v" * 242 for number in range(46)}}
# API Gateway's documentation states no limit for an API's name.
WITHOUT_LIMIT = {"aws_api_gateway_rest_api"}

# A plan takes seconds. So those of the runtimes also cover other variables, and the default one has been deployed.
ACCEPTED: dict[str, dict[str, Any]] = {
    runtime: {"lambda_runtime": runtime, "snap_start_enabled": runtime in RUNTIMES["snap_start"]}
    for runtime in ALLOWED
    if runtime != DEFAULT
}
ACCEPTED["python3.11"] |= SHORTEST
ACCEPTED["python3.12"] |= LONGEST | FULL_OF_TAGS

JUST_ABOVE_A_LIMIT: dict[str, dict[str, Any]] = {
    "name": LONGEST | {"name": "p" * 25},
    "environment": LONGEST | {"environment": "e" * 13},
    "tags": {"tags": {str(number): "" for number in range(47)}},
    "tag": {"tags": {"k" * 129: ""}},
    "value": {"tags": {"k": "v" * 257}},
    "generation": {"token_keys": ["g" * 33]},
    "webhook": {"webhooks": {"w" * 19: {"url": "https://shop.example"}}},
}
REFUSED: dict[str, dict[str, Any]] = {
    **{runtime: {"lambda_runtime": runtime} for runtime in NEXT},
    **JUST_ABOVE_A_LIMIT,
    "logs_for_too_short": {"log_retention_days": 364},
}
SNAPSHOTS: dict[str, dict[str, Any]] = {
    f"snapshots_of_{runtime}": {"lambda_runtime": runtime, "snap_start_enabled": True} for runtime in ALLOWED
}


@pytest.fixture(scope="module")
def plans(provider: None, deployed: Mocked, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Mocked]:
    planned = mocked(tmp_path_factory.mktemp("plans"), ACCEPTED | {NEXT[-1]: REFUSED[NEXT[-1]]})
    return planned | {DEFAULT: deployed}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    return refused(tmp_path_factory.mktemp("refusals"), REFUSED | SNAPSHOTS)


def test_each_runtime_of_lambda_and_the_provider_is_accepted(plans: dict[str, Mocked]) -> None:
    assert ALLOWED
    assert {runtime: plans[runtime].errors for runtime in ALLOWED} == {runtime: [] for runtime in ALLOWED}
    for runtime in ALLOWED:
        functions = plans[runtime].of_type("aws_lambda_function").values()
        assert {function["runtime"] for function in functions} == {runtime}


@pytest.mark.parametrize("runtime", NEXT)
def test_another_runtime_is_refused(refusals: dict[str, list[str]], runtime: str) -> None:
    (error,) = refusals[runtime]
    assert f"The runtime must be {', '.join(ALLOWED[:-1])} or {ALLOWED[-1]}." in error


def test_a_runtime_is_refused_before_the_provider_sees_it(
    plans: dict[str, Mocked], refusals: dict[str, list[str]]
) -> None:
    assert NEXT[-1] not in RUNTIMES["known_to_provider"]
    assert plans[NEXT[-1]].errors == refusals[NEXT[-1]]


def test_snapshots_are_refused_only_for_runtimes_without_snap_start(refusals: dict[str, list[str]]) -> None:
    without, *others = ALLOWED
    assert [runtime for runtime in ALLOWED if runtime not in RUNTIMES["snap_start"]] == [without]
    (error,) = refusals[f"snapshots_of_{without}"]
    assert "SnapStart needs python3.12 or later." in error
    assert {runtime: refusals[f"snapshots_of_{runtime}"] for runtime in others} == {runtime: [] for runtime in others}


def test_the_provider_knows_the_pythons_that_the_facts_say(provider: None, tmp_path: Path) -> None:
    configuration = 'resource "aws_lambda_layer_version" "it" {\nlayer_name = "it"\ncompatible_runtimes = ["none"]\n}'
    (error,) = refused_by_provider(tmp_path, configuration)
    versions = set(re.findall(r"python[0-9.]+", error))
    assert versions == {*RUNTIMES["known_to_provider"]}


def test_log_retention_is_limited_to_the_providers_values(
    provider: None, refusals: dict[str, list[str]], tmp_path: Path
) -> None:
    (error,) = refusals["logs_for_too_short"]
    allowed = re.findall(r"\d+", error.partition("Logs are kept for")[2].partition(" days.")[0])
    assert len(allowed) > 10
    group = 'resource "aws_cloudwatch_log_group" "for_{0}" {{\nname = "it"\nretention_in_days = {0}\n}}\n'
    assert refused_by_provider(tmp_path, "".join(group.format(days) for days in allowed)) == []


def test_no_name_is_longer_than_aws_allows_or_of_other_characters(plans: dict[str, Mocked]) -> None:
    """With the longest values that the variables allow, and with the shortest."""
    for case in ("python3.11", "python3.12"):
        prefix = f"{ACCEPTED[case]['name']}-{ACCEPTED[case]['environment']}"
        named = set()
        for address, values in plans[case].resources.items():
            kind = address.split(".")[0]
            if rule := facts("names").get(kind):
                named.add(kind)
                name = values[rule["attribute"]]
                assert len(name) <= rule["at_most"], address
                assert re.fullmatch(rule["pattern"], name), address
            elif kind not in WITHOUT_LIMIT:
                assert prefix not in str(values.get("name")), f"the facts lack {kind}"
        assert {"aws_iam_role", "aws_lambda_function", "aws_cloudwatch_event_rule", "aws_sqs_queue"} <= named


def test_no_resource_has_more_or_longer_tags_than_aws_allows(plans: dict[str, Mocked]) -> None:
    tagged = [values["tags"] for values in plans["python3.12"].resources.values() if values.get("tags")]
    assert max(len(tags) for tags in tagged) == 50
    assert max(len(key) for tags in tagged for key in tags) == 128
    assert max(len(value) for tags in tagged for value in tags.values()) == 256


@pytest.mark.parametrize("case", JUST_ABOVE_A_LIMIT)
def test_values_just_above_the_limits_are_refused(refusals: dict[str, list[str]], case: str) -> None:
    (error,) = refusals[case]
    assert error.startswith("Invalid value for variable")
