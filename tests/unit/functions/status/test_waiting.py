"""GET …?wait= on a simulated clock: what ends the wait, its duration, and the number of reads."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from functions.shared.domain.errors import ExecutionsUnavailable, LedgerUnavailable
from functions.shared.domain.operation import PAYMENT_VISIBLE_WITHIN_SECONDS
from functions.shared.domain.payment import Payment, PaymentRequest
from functions.shared.ports import Execution
from functions.status.follow import LONGEST_WAIT_SECONDS
from functions.status.operation_status import ForAnotherPayment, operation_status
from functions.status.payment_status import payment_status
from tests.aws_facts import facts
from tests.fakes import LEDGER_DOWN, FakeCustomerWaits, FakeExecutions, FakeLedger
from tests.samples import LATER, NOW, STARTED_AT, WAIT, operation_request, payment
from tests.workflow.test_definition import function_timeouts

RUNNING = Execution(True, None, None, PaymentRequest(1999, "USD").to_dict(), STARTED_AT, None)
REJECTED = replace(RUNNING, running=False, error="PaymentRejected", cause="ExpiredCard", stopped_at=LATER)
OPERATING = replace(RUNNING, request={"payment_id": "pay", "operation": "refund", "amount_minor": 500})
BUSY = ExecutionsUnavailable("Step Functions: ThrottlingException")


@dataclass
class Deployment:
    """A ledger and Step Functions whose states change at given seconds of a simulated clock."""

    now: float = 0.0
    looks: int = 0
    looked_up_at: list[float] = field(default_factory=list)
    ledger: FakeLedger = field(default_factory=FakeLedger)
    executions: FakeExecutions = field(default_factory=FakeExecutions)
    customer_waits: FakeCustomerWaits = field(default_factory=FakeCustomerWaits)
    happens: dict[float, Callable[[], object]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        look, find = self.ledger.payment, self.executions.find

        def payment(payment_id: str) -> Payment | None:
            self.looks += 1
            return look(payment_id)

        def find_and_note(name: str) -> Execution | None:
            self.looked_up_at.append(round(self.now, 1))
            return find(name)

        self.ledger.payment = payment  # type: ignore[method-assign]
        self.executions.find = find_and_note  # type: ignore[method-assign]

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds
        for due in [due for due in self.happens if due <= self.now]:
            self.happens.pop(due)()

    def payment(self, wait: int) -> dict[str, Any] | None:
        return payment_status(
            "pay",
            ledger=self.ledger,
            executions=self.executions,
            customer_waits=self.customer_waits,
            card_vault=self.ledger.card_vault,
            now=lambda: NOW,
            sleep=self.sleep,
            wait_seconds=wait,
        )

    def operation(self, wait: int) -> dict[str, Any] | None:
        return operation_status(
            "pay", "refund", ledger=self.ledger, executions=self.executions, sleep=self.sleep, wait_seconds=wait
        )

    def records(self, payment: Payment) -> Callable[[], None]:
        return lambda: self.ledger.record(payment)

    def shows(self, name: str, execution: Execution) -> Callable[[], None]:
        return lambda: self.executions.executions.update({name: execution})


def status_of(body: dict[str, Any] | None) -> tuple[str, str | None]:
    assert body is not None
    return body["status"], body["error"]


@pytest.mark.parametrize("at", [0.26, 0.4, 0.9, 1.4])
def test_a_payment_that_is_captured_is_answered_at_once_and_step_functions_is_not_asked(at: float) -> None:
    world = Deployment(executions=FakeExecutions(pay=RUNNING))
    world.happens = {at: world.records(payment("pay"))}
    assert status_of(world.payment(20)) == ("captured", None)
    assert at <= world.now <= 1.1 * at + 0.05
    assert world.looked_up_at == []
    assert world.looks < 25


@pytest.mark.parametrize(("at", "asks"), [(2.5, 1), (12, 2)])
def test_a_payment_that_is_slow_asks_for_its_execution_once_or_twice(at: float, asks: int) -> None:
    world = Deployment(executions=FakeExecutions(pay=RUNNING))
    world.happens = {at: world.records(payment("pay"))}
    assert status_of(world.payment(20)) == ("captured", None)
    assert at <= world.now <= at + 1
    assert len(world.looked_up_at) == asks


@pytest.mark.parametrize(("at", "reported_by"), [(0.2, 2.0), (1.9, 6.0)])
def test_an_invalid_card_is_reported_long_before_the_wait_ends(at: float, reported_by: float) -> None:
    world = Deployment(executions=FakeExecutions(pay=RUNNING))
    world.happens = {at: world.shows("pay", REJECTED)}
    assert status_of(world.payment(20)) == ("rejected", "expired_card")
    assert world.now <= reported_by
    assert len(world.looked_up_at) <= 2


def test_a_payment_that_nobody_knows_is_not_waited_for() -> None:
    world = Deployment()
    assert world.payment(25) is None
    assert (world.now < 2, len(world.looked_up_at)) == (True, 1)


@pytest.mark.parametrize("wait", [1, 3, 25])
def test_a_wait_that_is_over_tells_what_is_known_and_reads_so_often_at_most(wait: int) -> None:
    world = Deployment(executions=FakeExecutions(pay=RUNNING))
    assert status_of(world.payment(wait)) == ("processing", None)
    assert world.now == pytest.approx(wait)
    assert world.looks <= 65
    assert len(world.looked_up_at) <= 2


def test_an_end_that_comes_in_the_last_moment_is_shown() -> None:
    world = Deployment(executions=FakeExecutions(pay=RUNNING))
    world.happens = {2.99: world.shows("pay", REJECTED)}
    assert status_of(world.payment(3)) == ("rejected", "expired_card")


def test_where_step_functions_is_too_busy_the_ledger_still_tells_of_the_end() -> None:
    world = Deployment()
    world.executions.error = BUSY
    world.happens = {8.0: world.records(payment("pay"))}
    assert status_of(world.payment(20)) == ("captured", None)


def test_where_step_functions_is_too_busy_and_the_ledger_knows_nothing_nothing_is_known() -> None:
    world = Deployment()
    world.executions.error = BUSY
    with pytest.raises(ExecutionsUnavailable):
        world.payment(20)
    assert (round(world.now, 6), len(world.looked_up_at)) == (20, 2)


def test_a_payment_that_was_seen_running_is_processing_though_step_functions_is_busy_later() -> None:
    world = Deployment(executions=FakeExecutions(pay=RUNNING))
    world.happens = {3.0: lambda: setattr(world.executions, "error", BUSY)}
    assert status_of(world.payment(20)) == ("processing", None)


def test_a_ledger_that_fails_is_no_payment_that_is_processing() -> None:
    world = Deployment(executions=FakeExecutions(pay=RUNNING))
    world.happens = {4.0: lambda: world.ledger.faults.arm("find", LEDGER_DOWN)}
    with pytest.raises(LedgerUnavailable):
        world.payment(20)


def test_a_doubt_that_nobody_works_on_is_an_end_and_shown_at_once() -> None:
    world = Deployment(executions=FakeExecutions(pay=replace(RUNNING, running=False, error="PaymentInDoubt")))
    world.ledger.record(payment("pay", "in_doubt", error="GatewayOutcomeUnknown"))
    assert status_of(world.payment(20)) == ("in_doubt", "gateway_outcome_unknown")
    assert (world.now, world.looked_up_at) == (0, [0])


def test_a_doubt_that_is_being_undone_is_waited_for() -> None:
    world = Deployment(executions=FakeExecutions(pay=RUNNING))
    doubtful = payment("pay", "in_doubt", error="GatewayOutcomeUnknown", reversing=True)
    world.ledger.record(doubtful)
    undone = replace(doubtful, status="reversed", version=2)
    world.happens = {7.0: world.records(undone)}
    assert status_of(world.payment(20)) == ("reversed", "gateway_outcome_unknown")
    assert world.now < 8.5
    assert status_of(Deployment(ledger=world.ledger).payment(20)) == ("reversed", "gateway_outcome_unknown")


def refunding(version_before: Payment) -> Payment:
    return version_before.reserve(operation_request(version_before, "refund", 500, "refund"), LATER)


def test_a_payment_is_waited_for_until_no_operation_on_it_moves_and_step_functions_is_not_asked() -> None:
    world = Deployment()
    captured = payment("pay")
    world.ledger.record(captured)
    world.ledger.record(refunding(captured))
    [operation] = refunding(captured).operations
    ended = replace(refunding(captured), version=3, operations=(replace(operation, status="succeeded"),))
    world.happens = {6.0: world.records(ended)}
    body = world.payment(20)
    assert body is not None
    assert [each["status"] for each in body["operations"]] == ["succeeded"]
    assert (6 <= world.now <= 7.2, world.looked_up_at) == (True, [])


def test_a_refund_that_is_pending_at_the_gateway_for_days_is_not_waited_for() -> None:
    world = Deployment()
    captured = payment("pay")
    world.ledger.record(captured)
    [operation] = refunding(captured).operations
    world.ledger.record(replace(refunding(captured), operations=(replace(operation, pending=True),)))
    for body in (world.payment(20), world.operation(20)):
        assert body is not None
    assert (world.now, world.looked_up_at) == (0, [])


def test_an_operation_is_answered_as_soon_as_it_has_ended() -> None:
    world = Deployment(executions=FakeExecutions(refund=OPERATING))
    captured = payment("pay")
    world.ledger.record(captured)
    [operation] = refunding(captured).operations
    ended = replace(refunding(captured), version=3, operations=(replace(operation, status="succeeded"),))
    world.happens = {0.3: world.records(refunding(captured)), 2.0: world.records(ended)}
    assert status_of(world.operation(20)) == ("succeeded", None)
    assert (2 <= world.now <= 2.5, world.looked_up_at) == (True, [])


@pytest.mark.parametrize(
    ("at", "reported_by"), [(0.5, 2), (PAYMENT_VISIBLE_WITHIN_SECONDS + 1, PAYMENT_VISIBLE_WITHIN_SECONDS + 3)]
)
def test_an_operation_on_no_payment_is_rejected_long_before_the_wait_is_over(at: float, reported_by: float) -> None:
    rejected = replace(OPERATING, running=False, error="OperationRejected", cause="PaymentNotFound")
    world = Deployment(executions=FakeExecutions(refund=OPERATING))
    world.happens = {at: world.shows("refund", rejected)}
    assert status_of(world.operation(20)) == ("rejected", "payment_not_found")
    assert world.now <= reported_by


def test_an_operation_that_nobody_knows_or_that_is_another_payments_is_not_waited_for() -> None:
    world = Deployment()
    assert world.operation(25) is None
    assert world.now < 2
    world = Deployment(executions=FakeExecutions(refund=replace(OPERATING, request={"payment_id": "other"})))
    with pytest.raises(ForAnotherPayment):
        world.operation(25)
    assert world.now < 2


def test_the_longest_wait_and_its_last_looks_are_within_what_api_gateway_waits_for() -> None:
    most = facts("integration_timeout")["integration_timeout_seconds"]
    assert function_timeouts()["status"] == most
    assert most > LONGEST_WAIT_SECONDS + 3


def test_time_that_looks_take_is_time_that_was_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Deployment(executions=FakeExecutions(pay=RUNNING))
    clock = iter(range(0, 1000, 2))  # each read takes two seconds
    monkeypatch.setattr("functions.status.follow.monotonic", lambda: next(clock))
    assert status_of(world.payment(20)) == ("processing", None)
    assert world.looks <= 11


def test_a_payment_that_begins_to_wait_for_its_customer_is_answered_at_once() -> None:
    deployment = Deployment(executions=FakeExecutions(pay=RUNNING))
    deployment.happens[0.5] = lambda: deployment.customer_waits.begin("pay", "AQB4", WAIT)
    body = deployment.payment(wait=25)
    assert body
    assert body["status"] == "action_required"
    assert deployment.now < 1
