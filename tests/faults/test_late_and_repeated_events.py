"""Late and repeated events don't change what is settled."""

import json
import time
from typing import Any

import pytest

from tests import invariants
from tests.faults.bench import Bench, Order, payment_to_operate_on
from tests.stack.driver import PAYMENT, Driver
from tools.deployment.stack import Stack

LANDS_AFTER_SECONDS = 6


@pytest.fixture
def driver(fault_stack: Stack) -> Driver:
    return Driver(fault_stack)


def test_a_charge_that_lands_after_its_reversal_is_refused(bench: Bench, driver: Driver) -> None:
    payment_id = payment_to_operate_on()
    driver.set_fault(payment_id, "charge", "late", seconds=LANDS_AFTER_SECONDS)
    bench.start(payment_id)
    bench.wait_for_end(payment_id)
    assert bench.status(payment_id) == "reversed"
    time.sleep(LANDS_AFTER_SECONDS)
    assert driver.charges(payment_id) == []
    assert list(invariants.broken(driver.stack, [payment_id])) == []


@pytest.mark.parametrize("state", ["Tokenize", "Screen", "Encrypt", "Charge", "Persist"])
def test_a_function_that_runs_again_after_a_payment_is_captured_changes_nothing(
    bench: Bench, driver: Driver, state: str
) -> None:
    payment_id = driver.paid()["payment_id"]
    bench.wait_for_end(payment_id)
    before = driver.payment_items(payment_id)
    answer = invoke(driver, state, bench.input(payment_id, state))
    # Encrypt holds no card for a payment that has ended.
    assert ("FunctionError" in answer) == (state == "Encrypt")
    assert driver.payment_items(payment_id) == before
    assert [charge["status"] for charge in driver.charges(payment_id)] == ["captured"]
    assert list(invariants.broken(driver.stack, [payment_id])) == []


def test_a_compensation_of_a_captured_payment_leaves_it_captured(bench: Bench, driver: Driver) -> None:
    payment_id = driver.paid()["payment_id"]
    bench.wait_for_end(payment_id)
    event = bench.input(payment_id, "Persist")
    late = {name: event[name] for name in ("payment_id", "started_at", "payment", "card", "charge", "flags")}
    late |= {"transaction_id": event["transaction_id"], "error": "States.Timeout"}
    late |= {"gateway": event["charge"]["gateway"]}
    answer = invoke(driver, "Compensate", late)
    assert json.loads(answer["Payload"].read())["status"] == "captured"
    assert list(invariants.broken(driver.stack, [payment_id])) == []


@pytest.mark.parametrize(("state", "error"), [("Charge", None), ("Persist", "LedgerConflict"), ("Compensate", None)])
def test_a_function_that_runs_again_after_a_payment_is_reversed_changes_nothing(
    bench: Bench, driver: Driver, state: str, error: str | None
) -> None:
    payment_id = payment_to_operate_on()
    bench.order(payment_id, Order("Persist", "crash_before"))
    bench.start(payment_id)
    bench.wait_for_end(payment_id)
    assert bench.status(payment_id) == "reversed"
    bench.cancel(payment_id)
    before = driver.payment_items(payment_id)
    answer = invoke(driver, state, bench.input(payment_id, state))
    # The idempotency key returns Charge's first answer again; the ledger knows that it is out of date.
    assert json.loads(answer["Payload"].read()).get("errorType") == error
    assert driver.payment_items(payment_id) == before
    assert [charge["status"] for charge in driver.charges(payment_id)] == ["voided"]
    assert list(invariants.broken(driver.stack, [payment_id])) == []


def test_a_compensation_that_goes_on_after_its_execution_was_stopped_ends_as_the_ledger_says(
    bench: Bench, driver: Driver
) -> None:
    orders = [Order("Persist", "poison", "once"), Order("Compensate", "stopped_during", "once")]
    payment_id, outcome = bench.outcome(orders)
    assert (outcome.settled, outcome.charges) in [("captured", ("captured",)), ("reversed", ("voided",))]
    assert list(invariants.broken(driver.stack, [payment_id])) == []
    assert invariants.unlawful(bench.seen[payment_id]) == []


@pytest.mark.parametrize("state", ["Reserve", "Perform", "Settle"])
def test_a_function_that_runs_again_after_a_refund_changes_nothing(bench: Bench, driver: Driver, state: str) -> None:
    payment_id, _ = driver.pay(payment_to_operate_on())
    bench.wait_for_end(payment_id)
    refund = bench.ask_for(payment_id, "refund")
    bench.wait_for_end(refund)
    before = driver.payment_items(payment_id)
    answer = invoke(driver, state, bench.input(refund, state))
    assert "FunctionError" not in answer
    assert driver.payment_items(payment_id) == before
    assert [charge["refunded_minor"] for charge in driver.charges(payment_id)] == [500]
    assert list(invariants.broken(driver.stack, [payment_id])) == []


def test_the_same_input_under_a_new_id_is_another_payment(bench: Bench, driver: Driver) -> None:
    first_id, second_id = driver.paid()["payment_id"], driver.start_by_hand(PAYMENT)
    bench.wait_for_end(second_id)
    for payment_id in (first_id, second_id):
        assert [charge["status"] for charge in driver.charges(payment_id)] == ["captured"]
    assert list(invariants.broken(driver.stack, [first_id, second_id])) == []


def invoke(driver: Driver, state: str, event: Any) -> Any:
    name = driver.stack.function_name(state.lower())
    return driver.stack.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
