"""Checks the state machine without running it."""

import importlib
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from functions.resolve.handler import MIN_RUN_TIME
from functions.shared import contracts
from functions.shared.domain import errors
from functions.shared.domain.errors import PaymentError, Rejection, Unavailable
from functions.shared.domain.operation import RESERVED_WITHIN_SECONDS
from tests.aws_facts import facts
from tests.workflow.definition import (
    DEFINITIONS,
    PAYMENT,
    STATES,
    TASKS,
    function_of,
    placeholders,
    successors,
)
from tools.deployment.definitions import MACHINES
from tools.deployment.paths import TERRAFORM

AWS_ERRORS = {
    "States.ALL",
    "States.Timeout",
    "Lambda.Unknown",
    "Sandbox.Timedout",
    "Runtime.ExitError",
    *facts("transient_lambda_errors"),
}

# No state machine sees these: a gateway sends its event again.
OUTSIDE_STATE_MACHINES = {"EventBusUnavailable", "QueueUnavailable"}

tasks = pytest.mark.parametrize("name", TASKS)
machines = pytest.mark.parametrize("machine", MACHINES)


def leaves(base: type[PaymentError]) -> set[str]:
    """The errors that are raised; their base classes only group them."""
    below = [error for error in base.__subclasses__() if error.__module__ == errors.__name__]
    return set().union(*map(leaves, below)) if below else {base.__name__}


def names(task: dict[str, Any], field: str) -> set[str]:
    return {error for way in task[field] for error in way["ErrorEquals"]}


def terraform(file: str) -> str:
    return (TERRAFORM / file).read_text()


def function_timeouts() -> dict[str, int]:
    """Timeouts in seconds by function, from the map in terraform/functions.tf."""
    timeouts = re.findall(r"^ {4}(\w+) = \{\n +timeout +?= (\d+)$", terraform("functions.tf"), re.MULTILINE)
    return {function: int(seconds) for function, seconds in timeouts}


def variable_default(name: str) -> float:
    """A number's default, from terraform/variables.tf."""
    block = re.search(rf'variable "{name}" {{(.*?)\n}}', terraform("variables.tf"), re.DOTALL)
    assert block
    default = re.search(r"default += ([\d.]+)", block[1])
    assert default
    return float(default[1])


class TestErrors:
    def test_every_custom_error_is_raised_somewhere_and_every_error_is_expected_somewhere(self) -> None:
        named = set().union(*(names(task, field) for task in TASKS.values() for field in ("Retry", "Catch")))
        assert {name for name in named if "." not in name} == leaves(PaymentError) - OUTSIDE_STATE_MACHINES
        assert {name for name in named if "." in name} == AWS_ERRORS

    @tasks
    def test_no_rejection_is_retried(self, name: str) -> None:
        assert not names(TASKS[name], "Retry") & leaves(Rejection)

    def test_every_temporary_error_is_retried_somewhere(self) -> None:
        assert leaves(Unavailable) - OUTSIDE_STATE_MACHINES <= set().union(
            *(names(task, "Retry") for task in TASKS.values())
        )

    @tasks
    def test_a_task_retries_what_is_transient_in_lambda_itself(self, name: str) -> None:
        assert names(TASKS[name], "Retry") >= set(facts("transient_lambda_errors"))

    @tasks
    def test_a_retry_names_its_errors_and_waits_longer_each_time_within_a_limit(self, name: str) -> None:
        for retry in TASKS[name]["Retry"]:
            assert "States.ALL" not in retry["ErrorEquals"]
            assert retry["BackoffRate"] > 1
            assert retry["IntervalSeconds"] <= retry["MaxDelaySeconds"]
            assert retry["MaxAttempts"] >= 1
            assert retry["JitterStrategy"] == "FULL"

    @tasks
    def test_no_error_is_named_by_two_retries_of_a_task(self, name: str) -> None:
        named = [error for retry in TASKS[name]["Retry"] for error in retry["ErrorEquals"]]
        assert len(named) == len(set(named))

    @tasks
    def test_a_task_ends_by_catching_everything_alone(self, name: str) -> None:
        assert TASKS[name]["Catch"][-1]["ErrorEquals"] == ["States.ALL"]
        assert all("States.ALL" not in catch["ErrorEquals"] for catch in TASKS[name]["Catch"][:-1])

    @tasks
    def test_what_is_caught_does_not_replace_the_payment(self, name: str) -> None:
        expected = "$.not_erased" if name == "Erase" else "$.error"  # what led to Erase is told at the end
        failures = [catch for catch in TASKS[name]["Catch"] if catch["ErrorEquals"] != ["CustomerActionRequired"]]
        assert {catch["ResultPath"] for catch in failures} == {expected}

    def test_what_the_customer_has_to_do_is_no_failure_and_stays_until_it_is_confirmed(self) -> None:
        (catcher,) = (way for way in TASKS["Charge"]["Catch"] if way["ErrorEquals"] == ["CustomerActionRequired"])
        assert (catcher["ResultPath"], catcher["Next"]) == ("$.action", "AwaitCustomer")
        for task in (TASKS["AwaitCustomer"]["Parameters"]["Payload"], TASKS["Confirm"]["Parameters"]):
            assert task["action.$"] == "$.action.Cause"

    def test_however_the_wait_for_the_customer_ends_the_gateway_is_asked(self) -> None:
        assert set(successors(TASKS["AwaitCustomer"])) == {"Confirm"}

    def test_a_customer_who_takes_too_long_is_not_waited_for_again(self) -> None:
        assert "States.Timeout" not in names(TASKS["AwaitCustomer"], "Retry")

    @pytest.mark.parametrize(
        ("name", "next"), [("Charge", "ChargeUnknown"), ("Confirm", "ChargeUnknown"), ("Persist", "Compensate")]
    )
    def test_once_money_may_have_moved_every_failure_is_compensated(self, name: str, next: str) -> None:
        assert {catch["Next"] for catch in TASKS[name]["Catch"]} - {"AwaitCustomer"} == {next}
        assert STATES["ChargeUnknown"]["Next"] == "Compensate"

    def test_a_compensation_that_fails_ends_in_doubt(self) -> None:
        assert {catch["Next"] for catch in TASKS["Compensate"]["Catch"]} == {"PaymentInDoubt"}


class TestShape:
    def test_no_two_states_have_one_name(self) -> None:
        assert len(STATES) == sum(len(definition["States"]) for definition in DEFINITIONS.values())

    @machines
    def test_every_state_is_reachable(self, machine: str) -> None:
        assert reachable(DEFINITIONS[machine]["StartAt"]) == set(DEFINITIONS[machine]["States"])

    @machines
    def test_every_state_has_a_path_to_an_end(self, machine: str) -> None:
        ends = {name for name, state in DEFINITIONS[machine]["States"].items() if not list(successors(state))}
        assert [name for name in DEFINITIONS[machine]["States"] if not reachable(name) & ends] == []

    def test_a_payments_path_has_no_loops(self) -> None:
        assert [
            name for name in PAYMENT["States"] if name in set().union(*map(reachable, successors(STATES[name])))
        ] == []

    def test_the_outcomes_are_named_as_such(self) -> None:
        assert set(outcomes("payment", "Succeed")) == {"PaymentRecorded"}
        failures = outcomes("payment", "Fail")
        assert set(failures) == {"PaymentRejected", "PaymentReversed", "PaymentInDoubt"}
        assert all(state["Error"] == name for name, state in failures.items())

    def test_an_operation_has_four_outcomes(self) -> None:
        assert set(outcomes("operation", "Succeed")) == {"OperationSucceeded"}
        failures = outcomes("operation", "Fail")
        assert set(failures) == {"OperationRejected", "OperationPending", "OperationInDoubt"}
        assert all(state["Error"] == name for name, state in failures.items())

    def test_once_an_operation_may_be_reserved_no_fault_rejects_it(self) -> None:
        for name in ("Reserve", "Settle"):
            assert TASKS[name]["Catch"][-1]["Next"] == "OperationInDoubt"
        assert {catch["Next"] for catch in TASKS["Perform"]["Catch"]} == {"OutcomeUnknown"}
        assert names({"Catch": TASKS["Reserve"]["Catch"][:-1]}, "Catch") == {"InvalidInput", "PaymentNotFound"}

    def test_a_doubt_is_never_given_up(self) -> None:
        assert set(outcomes("resolve", "Succeed")) == {"NoDoubt"}
        assert set(outcomes("resolve", "Fail")) == {"NothingToResolve"}
        assert "TimeoutSeconds" not in DEFINITIONS["resolve"]
        ways_out = {name for name, state in DEFINITIONS["resolve"]["States"].items() if "NoDoubt" in successors(state)}
        assert ways_out == {"Seen", "Resolved"}
        assert {catch["Next"] for catch in TASKS["Resolve"]["Catch"]} == {"AskAgain", "NothingToResolve"}

    def test_resolve_runs_for_as_long_as_an_execution_counts_as_attended(self) -> None:
        states = DEFINITIONS["resolve"]["States"]
        assert {catch["Next"] for catch in TASKS["Look"]["Catch"]} == {"Begin"}
        assert timedelta(seconds=states["WaitFiveMinutes"]["Seconds"]) >= MIN_RUN_TIME

    @pytest.mark.parametrize("name", STATES)
    def test_every_state_says_why_it_is_there(self, name: str) -> None:
        assert len(STATES[name]["Comment"]) > 20

    def test_a_choice_has_a_default(self) -> None:
        choices = {name: state for name, state in STATES.items() if state["Type"] == "Choice"}
        assert choices
        assert [name for name, state in choices.items() if "Default" not in state] == []

    @tasks
    def test_a_task_has_every_required_setting(self, name: str) -> None:
        assert {"Resource", "Parameters", "TimeoutSeconds", "Retry", "Catch"} <= set(TASKS[name])
        assert ("Next" in TASKS[name]) is not TASKS[name].get("End", False)

    @tasks
    def test_a_task_calls_the_function_of_its_name_with_what_its_contract_asks(self, name: str) -> None:
        function = function_of(TASKS[name])
        others = {
            "Look": "resolve",
            "Compare": "reconcile",
            "Deny": "persist",
            "Erase": "persist",
            "RecallCard": "keep",
            "AwaitCustomer": "await_customer",
        }
        assert function == others.get(name, name.removesuffix("Card").lower())
        assert callable(importlib.import_module(f"functions.{function}.handler").handler)
        parameters = TASKS[name]["Parameters"]
        fields = {field.removesuffix(".$") for field in parameters.get("Payload", parameters)}
        contract = contracts.load(function)
        ways = [set(contract["required"]) | set(way["required"]) for way in contract.get("oneOf", ())]
        assert fields in (ways or [set(contract["properties"])])

    @machines
    def test_terraform_fills_in_the_functions_that_the_machine_calls(self, machine: str) -> None:
        functions = re.search(rf"^    {machine} += \[(.*?)\]", terraform("step_functions.tf"), re.MULTILINE)
        assert functions
        called = {f"{name}_function_arn" for name in re.findall(r'"(\w+)"', functions[1])}
        assert called == placeholders(machine) - {"partition"}

    def test_the_card_is_handed_to_tokenize_and_encrypt_alone_and_leaves_the_state_with_tokenize(self) -> None:
        asking = {name for name, task in TASKS.items() if "request.$" in task["Parameters"]}
        assert asking == {"Tokenize", "Encrypt", "Reserve"}  # an operation's request has no card
        assert TASKS["Encrypt"]["Parameters"]["request.$"] == "$$.Execution.Input"
        to_store = {name: task["Parameters"].get("store_request.$") for name, task in TASKS.items()}
        assert to_store["EncryptCard"] == "$$.Execution.Input"
        assert {name for name, value in to_store.items() if value} == {
            "TokenizeCard",
            "ScreenCard",
            "EncryptCard",
            "Verify",
        }
        for name in ("Tokenize", "TokenizeCard"):
            assert "ResultPath" not in TASKS[name]  # its answer takes the place of the request
        # Of a card that comes a second time, sealed to a key that is deleted, the hash is compared.
        assert [name for name, task in TASKS.items() if "card_data" in str(task["Parameters"])] == ["RecallCard"]


def outcomes(machine: str, kind: str) -> dict[str, dict[str, Any]]:
    return {name: state for name, state in DEFINITIONS[machine]["States"].items() if state["Type"] == kind}


def reachable(name: str) -> set[str]:
    """The state and all states that may follow it."""
    reached: set[str] = set()
    waiting = {name}
    while waiting:
        reached.add(name := waiting.pop())
        waiting |= set(successors(STATES[name])) - reached
    return reached


def waits(retry: dict[str, Any]) -> Iterator[float]:
    """The longest wait before each retry, in seconds. Full jitter can only shorten it."""
    for attempt in range(retry["MaxAttempts"]):
        yield min(retry["IntervalSeconds"] * retry["BackoffRate"] ** attempt, retry["MaxDelaySeconds"])


def longest_seconds(name: str) -> float:
    """A state's duration if every attempt times out after the longest wait."""
    if name not in TASKS:
        return 0
    task = TASKS[name]
    retries = sum(retry["MaxAttempts"] for retry in task["Retry"])
    # What is retried of a wait is the function that it begins with.
    is_wait = task["Resource"].endswith(".waitForTaskToken")
    attempt_seconds = function_timeouts()[function_of(task)] if is_wait else task["TimeoutSeconds"]
    wait_seconds = sum(wait for retry in task["Retry"] for wait in waits(retry))
    return float(longest_attempt_seconds(name) + retries * attempt_seconds + wait_seconds)


def longest_attempt_seconds(name: str) -> float:
    longest = re.search(r"customer_timeout_minutes <= (\d+)", terraform("variables.tf"))
    assert longest
    return 60 * int(longest[1]) if name == "AwaitCustomer" else TASKS[name]["TimeoutSeconds"]


def longest_way_seconds(name: str) -> float:
    """The paths from a state to the end that pass no state twice."""
    return longest_seconds(name) + max((longest_way_seconds(way) for way in set(successors(STATES[name]))), default=0)


class TestTimeouts:
    @tasks
    def test_a_function_is_stopped_before_its_task_and_its_task_before_the_execution(self, name: str) -> None:
        function_seconds = function_timeouts()[function_of(TASKS[name])]
        execution_seconds = next(
            each.get("TimeoutSeconds", 3600) for each in DEFINITIONS.values() if name in each["States"]
        )
        assert function_seconds < TASKS[name]["TimeoutSeconds"] < execution_seconds

    def test_storing_a_card_ends_before_api_gateways_timeout(self) -> None:
        assert DEFINITIONS["store_card"]["TimeoutSeconds"] < facts("integration_timeout")["integration_timeout_seconds"]

    @pytest.mark.parametrize("function", ["charge", "confirm", "compensate", "perform", "resolve", "reconcile"])
    def test_three_gateway_timeouts_fit_into_the_functions_timeout(self, function: str) -> None:
        defaults = re.findall(
            r"(?:connect|read)_timeout_seconds += optional\(number, (\d+)\)", terraform("variables.tf")
        )
        connect_seconds, read_seconds = map(int, defaults)
        call_seconds = connect_seconds + read_seconds
        # Charge calls it twice, to charge and to look; Resolve may look, look again and reverse.
        assert 0 < 3 * call_seconds < function_timeouts()[function]

    def test_an_operation_is_reserved_for_longer_than_reserve_can_take(self) -> None:
        assert longest_seconds("Reserve") < RESERVED_WITHIN_SECONDS

    def test_the_longest_path_with_every_retry_ends_within_the_execution(self) -> None:
        assert longest_way_seconds(PAYMENT["StartAt"]) < PAYMENT["TimeoutSeconds"]
