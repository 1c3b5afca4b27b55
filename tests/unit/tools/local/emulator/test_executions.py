"""Executions start, repeat and fail as on AWS."""

import json
import time
import uuid
from collections.abc import Iterator
from itertools import groupby
from typing import Any, Literal

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.aws_facts import facts
from tests.unit.tools.local.emulator.conftest import OPERATOR_KEYS, REGION, Emulator, running_emulator
from tools.deployment.polling import wait_for
from tools.local.emulator.executions import retry_delay_seconds

INVOKE = {"Action": "lambda:InvokeFunction"}


@pytest.fixture(scope="module")
def machine(emulator: Emulator) -> str:
    return emulator.state_machine({"Wait": {"Type": "Wait", "SecondsPath": "$.seconds", "End": True}})


def start(emulator: Emulator, machine: str, name: str, text: str) -> Any:
    return emulator.client("stepfunctions").start_execution(stateMachineArn=machine, name=name, input=text)


def refused(emulator: Emulator, machine: str, name: str, text: str = "{}") -> tuple[int, str, str]:
    with pytest.raises(ClientError) as caught:
        start(emulator, machine, name, text)
    error = caught.value.response
    return error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Code"], error["Error"]["Message"]


@pytest.mark.parametrize(
    "name",
    [
        "a" * 81,
        "a b",
        "a\tb",
        "a\nb",
        *(f"a{c}b" for c in '<>{}[]?*"#%\\^|~`$&,;:/'),
        "a\x00b",
        "a\x7fb",
        "a\x9fb",
    ],
)
def test_a_name_outside_the_rules_is_invalid(emulator: Emulator, machine: str, name: str) -> None:
    assert refused(emulator, machine, name) == (400, "InvalidName", f"Invalid Name: '{name}'")


@pytest.mark.parametrize("name", ["a", "A-Z_0.9+=@!'()é", "x" * 80])
def test_a_name_within_the_rules_starts(emulator: Emulator, machine: str, name: str) -> None:
    assert start(emulator, machine, name, '{"seconds": 0}')["executionArn"].endswith(f":{name}")


def test_the_same_name_and_input_while_it_runs_is_the_same_execution(emulator: Emulator, machine: str) -> None:
    name = uuid.uuid4().hex
    first, again = (start(emulator, machine, name, '{"seconds": 1}') for _ in range(2))
    assert (first["executionArn"], first["startDate"]) == (again["executionArn"], again["startDate"])


def test_another_input_or_an_ended_execution_is_a_conflict(emulator: Emulator, machine: str) -> None:
    name = uuid.uuid4().hex
    arn = start(emulator, machine, name, '{"seconds": 0.3}')["executionArn"]
    conflict = (400, "ExecutionAlreadyExists", f"Execution Already Exists: '{arn}'")
    assert refused(emulator, machine, name, '{"seconds": 0}') == conflict
    emulator.finished(arn)
    assert refused(emulator, machine, name, '{"seconds": 0.3}') == conflict


def run_synchronously(
    emulator: Emulator, states: dict[str, Any], kind: Literal["EXPRESS", "STANDARD"] = "EXPRESS", **more: Any
) -> Any:
    # Not to sync-127.0.0.1, which botocore would make of the address.
    as_it_is = Config(inject_host_prefix=False)
    client = boto3.client("stepfunctions", REGION, endpoint_url=emulator.url, config=as_it_is, **OPERATOR_KEYS)
    machine = client.create_state_machine(
        name=f"machine-{uuid.uuid4().hex[:12]}",
        type=kind,
        roleArn=emulator.role("states.amazonaws.com"),
        definition=json.dumps({"StartAt": next(iter(states)), "States": states}),
    )["stateMachineArn"]
    return client.start_sync_execution(stateMachineArn=machine, name="a-name-of-ours-1", input="{}", **more)


def test_a_synchronous_execution_answers_with_its_end_and_leaves_no_history(emulator: Emulator) -> None:
    documented = facts("synchronous_executions")
    ended = run_synchronously(emulator, {"End": {"Type": "Pass", "Result": {"a": 1}, "End": True}})
    assert (ended["status"], json.loads(ended["output"])) == ("SUCCEEDED", {"a": 1})
    failed = run_synchronously(emulator, {"End": {"Type": "Fail", "Error": "NoGood", "Cause": "why"}})
    assert failed["ResponseMetadata"]["HTTPStatusCode"] == documented["status_code_of_a_failed_execution"]
    assert (failed["status"], failed["error"], failed["cause"]) == ("FAILED", "NoGood", "why")
    with pytest.raises(ClientError, match="ExecutionDoesNotExist"):
        emulator.client("stepfunctions").describe_execution(executionArn=failed["executionArn"])


def test_only_express_state_machines_run_synchronously(emulator: Emulator) -> None:
    with pytest.raises(ClientError, match="StateMachineTypeNotSupported"):
        run_synchronously(emulator, {"End": {"Type": "Succeed"}}, "STANDARD")


def test_a_word_that_is_not_json_is_refused_and_quoted(emulator: Emulator, machine: str) -> None:
    documented = facts("execution_input")
    status, code, message = refused(emulator, machine, uuid.uuid4().hex, "card_number_in_description")
    assert (status, code) == (400, documented["type"].rpartition("#")[2])
    assert message.startswith(documented["begins"])
    assert ("'card_number_in_description'" in message) is documented["quotes_the_input"]


def test_input_that_is_not_json_is_refused_without_repeating_it(emulator: Emulator, machine: str) -> None:
    status, code, message = refused(emulator, machine, uuid.uuid4().hex, '{"card": 4242')
    assert (status, code, "4242" in message) == (400, "InvalidExecutionInput", False)


def test_input_is_limited_by_its_bytes(emulator: Emulator, machine: str) -> None:
    limit = 262_144
    text = json.dumps({"seconds": 0, "x": ""})
    fits = text.replace('""', f'"{"x" * (limit - len(text))}"')
    assert start(emulator, machine, uuid.uuid4().hex, fits)["executionArn"]
    too_long = text.replace('""', f'"{"é" * (limit // 2)}"')
    assert refused(emulator, machine, uuid.uuid4().hex, too_long)[:2] == (400, "ValidationException")


def test_an_execution_starts_at_once(emulator: Emulator) -> None:
    machine = emulator.state_machine({"Done": {"Type": "Succeed"}})
    description = emulator.run(machine)
    assert (description["stopDate"] - description["startDate"]).total_seconds() < 0.1


@pytest.mark.parametrize(("retries_made", "delay"), [(0, 1), (1, 2), (2, 4), (3, 5), (9, 5)])
def test_a_retry_waits_longer_each_time_up_to_its_maximum(retries_made: int, delay: float) -> None:
    retrier = {"IntervalSeconds": 1, "BackoffRate": 2, "MaxDelaySeconds": 5}
    assert retry_delay_seconds(retrier, retries_made) == delay


def test_full_jitter_waits_between_nothing_and_the_delay() -> None:
    delays = [retry_delay_seconds({"IntervalSeconds": 4, "JitterStrategy": "FULL"}, 0) for _ in range(50)]
    assert 0 <= min(delays) < max(delays) <= 4
    assert len(set(delays)) > 1


def test_retry_catch_and_fail_see_the_exceptions_class_and_the_context(emulator: Emulator) -> None:
    function = emulator.function("""
class GatewayUnavailable(Exception): pass
def handler(event, context):
    if event["retries"] < 2:
        raise GatewayUnavailable(event["name"])
    raise type("ChargeUnknown", (Exception,), {})("after " + str(event["retries"]))
""")
    machine = emulator.state_machine(
        {
            "Charge": {
                "Type": "Task",
                "Resource": function,
                "TimeoutSeconds": 5,
                "Parameters": {"name.$": "$$.Execution.Name", "retries.$": "$$.State.RetryCount"},
                "Retry": [
                    {
                        "ErrorEquals": ["GatewayUnavailable"],
                        "IntervalSeconds": 1,
                        "BackoffRate": 3,
                        "MaxAttempts": 4,
                        "MaxDelaySeconds": 1,
                        "JitterStrategy": "FULL",
                    }
                ],
                "Catch": [{"ErrorEquals": ["ChargeUnknown"], "ResultPath": "$.error", "Next": "Failed"}],
                "End": True,
            },
            "Failed": {"Type": "Fail", "ErrorPath": "$.error.Error", "CausePath": "$.error.Cause"},
        },
        {**INVOKE, "Resource": function},
    )
    description = emulator.run(machine, input="{}")
    assert (description["status"], description["error"]) == ("FAILED", "ChargeUnknown")
    assert json.loads(description["cause"])["errorMessage"] == "after 2"


def test_a_task_that_takes_too_long_is_a_states_timeout(emulator: Emulator) -> None:
    function = emulator.function("import time\ndef handler(event, context):\n    time.sleep(15)", Timeout=20)
    machine = emulator.state_machine(
        {"Slow": {"Type": "Task", "Resource": function, "TimeoutSeconds": 1, "End": True}}, INVOKE
    )
    assert emulator.run(machine)["error"] == "States.Timeout"


def test_a_throttled_function_is_a_too_many_requests_exception(emulator: Emulator) -> None:
    function = emulator.function("def handler(event, context):\n    return event")
    emulator.client("lambda").put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    machine = emulator.state_machine({"Call": {"Type": "Task", "Resource": function, "End": True}}, INVOKE)
    assert emulator.run(machine)["error"] == "Lambda.TooManyRequestsException"


@pytest.mark.parametrize("during", ["Scheduled", "Failed"], ids=["an attempt", "the wait before the next"])
def test_an_execution_that_was_stopped_retries_nothing_and_stays_stopped(emulator: Emulator, during: str) -> None:
    function = emulator.function("def handler(event, context):\n    raise RuntimeError")
    retry = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "BackoffRate": 1, "MaxAttempts": 9}
    machine = emulator.state_machine(
        {"Fail": {"Type": "Task", "Resource": function, "Retry": [retry], "End": True}}, INVOKE
    )
    states = emulator.client("stepfunctions")
    arn = states.start_execution(stateMachineArn=machine, input="{}")["executionArn"]

    def seen(what: str) -> int:
        events = states.get_execution_history(executionArn=arn)["events"]
        return sum(what in event["type"] for event in events)

    assert wait_for(lambda: seen(during), 20, pause_seconds=0.01)
    states.stop_execution(executionArn=arn)
    attempts = seen("Scheduled")
    time.sleep(1.5)
    assert seen("Scheduled") == attempts
    assert states.describe_execution(executionArn=arn)["status"] == "ABORTED"


# -- Versions and aliases


def saying(word: str, wait_seconds: int = 0) -> str:
    states = {
        "Wait": {"Type": "Wait", "Seconds": wait_seconds, "Next": "Say"},
        "Say": {"Type": "Pass", "Result": word, "End": True},
    }
    return json.dumps({"StartAt": "Wait", "States": states})


@pytest.fixture
def versions(emulator: Emulator) -> list[str]:
    """The versions of a state machine that returns "first", then "second", and now "third" after a wait."""
    states, arn = emulator.client("stepfunctions"), emulator.state_machine({"Pass": {"Type": "Pass", "End": True}})
    published = [
        states.update_state_machine(stateMachineArn=arn, definition=saying(word, wait), publish=True)
        for word, wait in (("first", 0), ("second", 1))
    ]
    states.update_state_machine(stateMachineArn=arn, definition=saying("third"))
    return [answer["stateMachineVersionArn"] for answer in published]


def alias(emulator: Emulator, **shares: int) -> str:
    arn: str = emulator.client("stepfunctions").create_state_machine_alias(
        name="live",
        routingConfiguration=[{"stateMachineVersionArn": arn, "weight": weight} for arn, weight in shares.items()],
    )["stateMachineAliasArn"]
    return arn


def test_a_version_runs_as_it_was_published(emulator: Emulator, versions: list[str]) -> None:
    execution = emulator.run(versions[0])
    assert json.loads(execution["output"]) == "first"
    assert (execution["stateMachineVersionArn"], execution.get("stateMachineAliasArn")) == (versions[0], None)
    unqualified = emulator.run(versions[0].rpartition(":")[0])
    assert json.loads(unqualified["output"]) == "third"
    assert "stateMachineVersionArn" not in unqualified


def test_an_alias_starts_its_versions_by_their_weights(emulator: Emulator, versions: list[str]) -> None:
    live = alias(emulator, **{versions[0]: 70, versions[1]: 30})
    runs = [emulator.client("stepfunctions").start_execution(stateMachineArn=live) for _ in range(200)]
    ended = [emulator.finished(run["executionArn"]) for run in runs]
    outputs = [json.loads(execution["output"]) for execution in ended]
    assert set(outputs) == {"first", "second"}
    assert 100 <= outputs.count("first") <= 180  # four and a half standard deviations
    assert {execution["stateMachineAliasArn"] for execution in ended} == {live}


def test_an_execution_ends_with_the_version_that_it_began_with(emulator: Emulator, versions: list[str]) -> None:
    states, live = emulator.client("stepfunctions"), alias(emulator, **{versions[1]: 100})
    began = states.start_execution(stateMachineArn=live)["executionArn"]
    states.update_state_machine_alias(
        stateMachineAliasArn=live, routingConfiguration=[{"stateMachineVersionArn": versions[0], "weight": 100}]
    )
    assert json.loads(emulator.run(live)["output"]) == "first"
    assert json.loads(emulator.finished(began)["output"]) == "second"


# -- Reads that are eventually consistent

LAG_SECONDS = 1.5


@pytest.fixture(scope="module")
def late(runtime_client_dir: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An emulator that shows executions as they were a moment ago."""
    data_dir = tmp_path_factory.mktemp("late")
    with running_emulator(runtime_client_dir, data_dir, SFN_SEEN_AFTER_SECONDS=str(LAG_SECONDS)) as running:
        yield running


def visible_status(emulator: Emulator, action: str, arn: str) -> str | None:
    """The execution's status by this API action, or None if the action doesn't show the execution yet."""
    states = emulator.client("stepfunctions")
    if action == "ListExecutions":
        machine, _, name = arn.replace(":execution:", ":stateMachine:").rpartition(":")
        listed = states.list_executions(stateMachineArn=machine)["executions"]
        return next((execution["status"] for execution in listed if execution["name"] == name), None)
    try:
        described: dict[str, Any] = states.describe_execution(executionArn=arn)
    except states.exceptions.ExecutionDoesNotExist:
        return None
    # The end becomes visible with all its attributes at once.
    assert ("output" in described, "stopDate" in described) == ((described["status"] != "RUNNING",) * 2)
    status: str = described["status"]
    return status


@pytest.mark.parametrize("action", facts("executions_seen_late")["eventually_consistent"])
def test_what_is_eventually_consistent_shows_an_executions_start_and_its_end_late(late: Emulator, action: str) -> None:
    machine = late.state_machine({"Wait": {"Type": "Wait", "Seconds": 1, "End": True}})
    arn = start(late, machine, uuid.uuid4().hex, "{}")["executionArn"]
    history = late.client("stepfunctions").get_execution_history(executionArn=arn)["events"]
    assert history[0]["type"] == "ExecutionStarted"
    seen: list[str | None] = []
    wait_for(lambda: seen.append(visible_status(late, action, arn)), 10, 0.02, until=lambda _: seen[-1] == "SUCCEEDED")
    assert [status for status, _ in groupby(seen)] == [None, "RUNNING", "SUCCEEDED"]


def test_a_list_has_the_latest_change_first_and_can_be_narrowed_to_a_status(emulator: Emulator) -> None:
    machine = emulator.state_machine({"Wait": {"Type": "Wait", "SecondsPath": "$.seconds", "End": True}})
    states = emulator.client("stepfunctions")
    long, short = (
        start(emulator, machine, name, json.dumps({"seconds": seconds}))["executionArn"]
        for name, seconds in (("long", 1), ("short", 0.2))
    )
    emulator.finished(long)
    ended = states.list_executions(stateMachineArn=machine, statusFilter="SUCCEEDED")["executions"]
    assert [execution["executionArn"] for execution in ended] == [long, short]
    assert states.list_executions(stateMachineArn=machine, statusFilter="FAILED")["executions"] == []
