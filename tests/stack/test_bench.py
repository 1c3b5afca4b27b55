"""The benchmark measures a running stack: its counts are right, and it times the right things."""

import io
import json
import zipfile

import pytest
import requests

from bench import processes, workflow
from tools.deployment.polling import wait_for
from tools.deployment.stack import Stack


@pytest.fixture(scope="module", autouse=True)
def quiet(stack: Stack) -> None:
    """Wait until other tests' executions have ended, since calls are counted whoever makes them."""
    states, machines = stack.client("stepfunctions"), ("payment", "operation", "resolve")

    def running() -> bool:
        lists = (
            states.list_executions(stateMachineArn=stack.machine_arn(name), statusFilter="RUNNING") for name in machines
        )
        return any(answer["executions"] for answer in lists)

    wait_for(lambda: not running(), 60, pause_seconds=0.5)


@pytest.fixture(scope="module")
def runner(stack: Stack) -> processes.Processes:
    return processes.Processes(stack)


def test_a_captured_payment_makes_only_the_calls_that_it_needs(stack: Stack) -> None:
    section = workflow.counted_calls(workflow.Workflow(stack, stack.live_arn("payment")), 2)
    assert [f"{count.what}: {count.counted}, not {count.expected}" for count in section.counts if not count.holds] == []
    assert {count.what for count in section.counts} >= {"kms Decrypt", "dynamodb TransactWriteItems", "states entered"}


def test_a_wait_for_a_captured_payment_calls_step_functions_at_most_once(stack: Stack) -> None:
    section = workflow.answered(stack, 2)
    [calls] = [row for row in section.rows if row.unit == "calls"]
    assert calls.measured.maximum <= 1
    assert calls.floor is not None
    assert calls.floor.minimum >= 1  # so that the benchmark counts them


@pytest.mark.parametrize("function", ["charge", "status"])
def test_a_function_is_measured_beside_its_clients_and_calls(runner: processes.Processes, function: str) -> None:
    task = runner.task(function)
    cold = processes.cold_starts(runner, [function], 1)
    memory, warm = processes.memory(runner, {function: task}, 1), processes.warm_calls(runner, {function: task}, 3)
    for section in (cold, memory, warm):
        for row in section.rows:
            assert row.floor is not None
            assert row.measured.minimum > 0
            assert row.floor.minimum > 0


def test_a_failed_process_reports_its_error(runner: processes.Processes) -> None:
    with pytest.raises(RuntimeError, match=r"No module named 'functions\.nothing'"):
        runner.run(runner.environment("status"), "cold", "0", "function", "nothing")


def test_the_no_op_state_machine_takes_the_payment_s_path(stack: Stack) -> None:
    product = workflow.Workflow(stack, stack.live_arn("payment"))
    no_op = workflow.no_op_workflow(product)
    request, payment_id = workflow.PaymentRequests(stack).new()
    assert no_op.run(request, payment_id) > 0
    assert workflow.states_entered(no_op.events(payment_id))[-1] == "Persist"
    assert stack.payment(payment_id)["error"]["code"] == "payment_not_found"


def test_the_bare_functions_make_the_calls_of_each_function_on_the_payment_s_path(
    stack: Stack, runner: processes.Processes
) -> None:
    product = workflow.Workflow(stack, stack.live_arn("payment"))
    on_its_path = ("tokenize", "screen", "encrypt", "charge", "persist")
    # Await customer's card has no token.
    workflow.bare_workflow(product, {each: runner.task(each) for each in (*on_its_path, "await_customer")})
    functions = stack.client("lambda")
    for function in on_its_path:
        code = requests.get(
            functions.get_function(FunctionName=f"bench-bare-{function}")["Code"]["Location"], timeout=10
        )
        with zipfile.ZipFile(io.BytesIO(code.content)) as package:
            calls = json.loads(package.read("calls.json"))
        assert calls["function"] == function
        assert calls["calls"]
