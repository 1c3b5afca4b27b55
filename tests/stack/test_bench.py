"""The benchmark measures a running stack: its counts are right, and it times the right things."""

import pytest

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
        return any(found["executions"] for found in lists)

    wait_for(lambda: not running(), 60, pause_seconds=0.5)


@pytest.fixture(scope="module")
def alone(stack: Stack) -> processes.Processes:
    return processes.Processes(stack)


def test_a_captured_payment_makes_the_calls_that_it_needs_and_no_other(stack: Stack) -> None:
    section = workflow.counted_calls(workflow.Workflow(stack, stack.live_arn("payment")), 2)
    assert [f"{count.what}: {count.counted}, not {count.expected}" for count in section.counts if not count.holds] == []
    assert {count.what for count in section.counts} >= {"kms Decrypt", "dynamodb TransactWriteItems", "states entered"}


def test_a_captured_payment_that_is_waited_for_asks_step_functions_once_at_most(stack: Stack) -> None:
    section = workflow.answered(stack, 2)
    [calls] = [row for row in section.rows if row.unit == "calls"]
    assert calls.measured.most <= 1
    assert calls.floor is not None
    assert calls.floor.least >= 1  # so that the benchmark counts them


@pytest.mark.parametrize("function", ["charge", "status"])
def test_a_function_is_measured_beside_the_clients_and_calls_that_it_needs(
    alone: processes.Processes, function: str
) -> None:
    task = alone.task(function)
    cold = processes.cold_starts(alone, [function], 1)
    memory, warm = processes.memory(alone, {function: task}, 1), processes.warm_calls(alone, {function: task}, 3)
    for section in (cold, memory, warm):
        for row in section.rows:
            assert row.floor is not None
            assert row.measured.least > 0
            assert row.floor.least > 0


def test_what_a_process_fails_on_is_told(alone: processes.Processes) -> None:
    with pytest.raises(RuntimeError, match=r"No module named 'functions\.nothing'"):
        alone.run(alone.environment("status"), "cold", "0", "function", "nothing")


def test_the_state_machine_that_does_nothing_takes_the_payment_s_way(stack: Stack) -> None:
    product = workflow.Workflow(stack, stack.live_arn("payment"))
    nothing = workflow.do_nothing_workflow(product)
    request, payment_id = workflow.Till(stack).payment()
    assert nothing.run(request, payment_id) > 0
    assert workflow.states_entered(nothing.events(payment_id))[-1] == "Persist"
    assert stack.payment(payment_id)["error"]["code"] == "payment_not_found"
