"""The resolve state machine resolves payments in doubt without help, and only on evidence."""

import time
from collections.abc import Iterable
from functools import partial

import pytest

from functions.doubts.look_after import GRACE_PERIOD
from functions.shared.adapters.table.keys import DOUBT_SHARDS
from tests.stack.driver import Driver
from tests.stack.own import WAIT_SCALE
from tools.deployment.polling import wait_for
from tools.deployment.stack import Stack, new_payment_id
from tools.trials.events import FUNCTION_EVENTS
from tools.trials.invoke import Invocations

# The first wait in statemachine/resolve.asl.json, during which a charge may still arrive.
GRACE_SECONDS = 300 * WAIT_SCALE


def doubts(driver: Driver) -> set[str]:
    """The payments in the index of payments in doubt."""
    payment_ids: set[str] = set()
    for shard in range(DOUBT_SHARDS):
        answer = driver.stack.client("dynamodb").query(
            TableName=driver.stack.ledger_table,
            IndexName="in_doubt",
            KeyConditionExpression="doubt_shard = :shard",
            ExpressionAttributeValues={":shard": {"S": f"in_doubt#{shard:02}"}},
        )
        payment_ids |= {item["pk"]["S"].removeprefix("PAYMENT#") for item in answer["Items"]}
    return payment_ids


def is_asked(driver: Driver, payment_id: str) -> bool:
    """Whether the gateway was asked to charge the payment, and its fault has struck."""
    requests = driver.stack.sandbox("GET", "/sandbox/requests").json()["requests"]
    return any(request["reference"] == payment_id and request["fault"] for request in requests)


def stop_while_charging(driver: Driver, faults: Iterable[str]) -> list[tuple[str, str]]:
    """Stop the executions of payments while the gateway is slow to answer. Returns what the gateway did with each, and
    the payment's id."""
    stopped = [(fault, new_payment_id()) for fault in faults]
    for fault, payment_id in stopped:
        driver.set_fault(payment_id, "charge", fault, times=1, seconds=4)
        driver.pay(payment_id)
    for _, payment_id in stopped:
        assert wait_for(partial(is_asked, driver, payment_id), 30, pause_seconds=0.02)
        driver.stack.client("stepfunctions").stop_execution(executionArn=driver.stack.execution_arn(payment_id))
    return stopped


@pytest.fixture(scope="session", autouse=True)
def unreported(stack: Stack) -> tuple[str, float]:
    """A stopped payment that no event reported, and when that was. The sweep takes it up after a while, in which other
    tests run, of other modules, too."""
    driver = Driver(stack)
    events, rule = stack.client("events"), f"{stack.prefix}-payment-ended-badly"
    events.disable_rule(Name=rule)
    try:
        [(_, payment_id)] = stop_while_charging(driver, ["timeout_after"])
        time.sleep(1)
    finally:
        events.enable_rule(Name=rule)
    resolving, states = stack.execution_arn(f"payment-{payment_id}", "resolve"), stack.client("stepfunctions")
    assert driver.payment_items(payment_id) == {}
    with pytest.raises(states.exceptions.ExecutionDoesNotExist):
        states.get_execution_history(executionArn=resolving)
    return payment_id, time.monotonic()


def test_executions_that_were_stopped_end_as_the_gateway_proves(driver: Driver) -> None:
    stopped = stop_while_charging(driver, ["timeout_after", "timeout_before"] * 2)
    ids = {payment_id for _, payment_id in stopped}
    for payment_id in ids:
        driver.until(payment_id, "in_doubt", within_seconds=20)
    # In doubt, as the executions show at once, and as Look records soon after. On this stack its tries take a twentieth
    # of their time, but an ended execution is seen as late as ever: for some payments, all tries can come too soon.
    assert ids & wait_for(partial(doubts, driver), 20, 0.2, until=ids.intersection)
    for fault, payment_id in stopped:
        payment = driver.until(payment_id, "captured", "reversed", within_seconds=GRACE_SECONDS + 60)
        totals = driver.account_totals(payment_id)
        if fault == "timeout_after":
            assert payment["status"] == "captured"
            assert totals == {"asset:gateway:sparkle": 1999, "liability:merchant": -1999, "suspense:in_doubt": 0}
            assert [charge["status"] for charge in driver.charges(payment_id)] == ["captured"]
        else:
            assert payment["status"] == "reversed"
            assert set(totals.values()) == {0}
    assert not ids & doubts(driver)


def test_a_reversal_that_the_gateway_would_not_confirm_is_confirmed_later(driver: Driver) -> None:
    payment_id = new_payment_id()
    driver.set_fault(payment_id, "charge", "garbage", times=100)
    for operation in ("find", "reverse"):
        driver.set_fault(payment_id, operation, "http_500", times=100)
    driver.pay(payment_id)
    driver.until(payment_id, "in_doubt", within_seconds=120)
    assert payment_id in doubts(driver)
    driver.clear_faults()
    driver.until(payment_id, "reversed", within_seconds=GRACE_SECONDS + 60)
    assert set(driver.account_totals(payment_id).values()) == {0}
    assert [charge["status"] for charge in driver.charges(payment_id)] == ["voided"]
    assert payment_id not in doubts(driver)


def test_a_failed_execution_without_an_event_is_found_and_resolved(
    driver: Driver, unreported: tuple[str, float]
) -> None:
    payment_id, ended = unreported
    resolving = driver.stack.execution_arn(f"payment-{payment_id}", "resolve")
    time.sleep(max(0.0, ended + GRACE_PERIOD.total_seconds() + 1 - time.monotonic()))
    Invocations(driver.stack).invoke("doubts", FUNCTION_EVENTS / "doubts.json")  # unless the schedule was faster
    assert driver.stack.describe_execution(resolving)["status"] in ("RUNNING", "SUCCEEDED")
    driver.until(payment_id, "captured", within_seconds=GRACE_SECONDS + 60)
    assert driver.account_totals(payment_id)["asset:gateway:sparkle"] == 1999
