"""Runs refunds, captures and voids: their outcomes, the ledger's contents, and what happened at the gateway."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils

from functions.resolve.handler import handler as resolve
from functions.shared import ports, runtime
from functions.shared.domain.ledger import capture_entry, refund_entry
from functions.shared.domain.operation import PAYMENT_VISIBLE_WITHIN_SECONDS
from tests.balances import balances
from tests.mocked_aws import new_id
from tests.samples import DECLINED_PAN, NOW
from tests.workflow.conftest import Execution, Workflow, by

CAPTURE = capture_entry("sparkle", 1999, "USD")
OPERATION_PATH = ["Reserve", "Reserved", "Perform", "Settle", "Settled", "OperationSucceeded"]


def test_a_refund_returns_the_money_and_is_recorded(workflow: Workflow) -> None:
    paid = workflow.run()
    refund = workflow.operate(paid.name, "refund", amount_minor=500)
    assert (refund.status, refund.states) == ("SUCCEEDED", OPERATION_PATH)
    recorded = workflow.record_of(paid)
    assert (recorded.payment.status, recorded.payment.refunded_minor) == ("partially_refunded", 500)
    assert recorded.journal == (CAPTURE, refund_entry("sparkle", 500, "USD", refund.name))
    assert [charge["refunded_minor"] for charge in workflow.charges(paid)] == [500]
    rest = workflow.operate(paid.name, "refund")
    assert rest.ended_in == "OperationSucceeded"
    assert workflow.record_of(paid).payment.status == "refunded"
    assert [charge["refunded_minor"] for charge in workflow.charges(paid)] == [1999]


@pytest.mark.parametrize(("amount", "captured"), [({}, 1999), ({"amount_minor": 1500}, 1500)])
def test_an_authorization_is_captured(workflow: Workflow, amount: dict[str, Any], captured: int) -> None:
    authorized = workflow.run(capture=False)
    capture = workflow.operate(authorized.name, "capture", **amount)
    assert capture.states == OPERATION_PATH
    recorded = workflow.record_of(authorized)
    assert (recorded.payment.status, recorded.payment.captured_minor) == ("captured", captured)
    assert recorded.journal == (capture_entry("sparkle", captured, "USD", capture.name),)
    assert [charge["captured_minor"] for charge in workflow.charges(authorized)] == [captured]


def test_an_authorization_is_voided(workflow: Workflow) -> None:
    authorized = workflow.run(capture=False)
    assert workflow.operate(authorized.name, "void").states == OPERATION_PATH
    assert workflow.record_of(authorized).payment.status == "voided"
    assert [charge["status"] for charge in workflow.charges(authorized)] == ["voided"]


@pytest.mark.parametrize(
    ("request_", "operation", "amount", "error"),
    [
        ({}, "refund", {"amount_minor": 2000}, "amount_exceeds_captured"),
        ({}, "capture", {}, "invalid_state"),
        ({}, "void", {}, "invalid_state"),
        ({"capture": False}, "refund", {}, "invalid_state"),
        ({"capture": False}, "capture", {"amount_minor": 2000}, "amount_exceeds_authorized"),
        (by(DECLINED_PAN), "refund", {"amount_minor": 1}, "invalid_state"),
    ],
)
def test_an_operation_that_the_payment_does_not_allow_is_recorded_as_rejected_and_moves_nothing(
    workflow: Workflow, request_: dict[str, Any], operation: str, amount: dict[str, Any], error: str
) -> None:
    paid = workflow.run(**request_)
    before, charges = workflow.record_of(paid), workflow.charges(paid)
    rejected = workflow.operate(paid.name, operation, **amount)
    assert (rejected.states, rejected.error, rejected.cause) == (
        ["Reserve", "Reserved", "OperationRejected"],
        "OperationRejected",
        error,
    )
    after = workflow.record_of(paid)
    assert (after.entries, workflow.charges(paid)) == (before.entries, charges)
    assert [each.error for each in after.payment.operations] == [error]


def test_an_operation_on_an_unknown_payment_is_rejected_once_the_payment_would_be_visible(
    workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def now() -> str:
        """The time, as if the state machine had really waited."""
        return (datetime.now(UTC) + timedelta(seconds=sum(workflow.waits))).isoformat()

    monkeypatch.setattr(runtime, "now", now)
    rejected = workflow.operate(new_id(), "refund")
    assert (rejected.ended_in, rejected.cause) == ("OperationRejected", "PaymentNotFound")
    assert PAYMENT_VISIBLE_WITHIN_SECONDS < sum(workflow.waits) + 1 < 5 * PAYMENT_VISIBLE_WITHIN_SECONDS


def test_an_operation_right_after_its_payment_is_done_though_the_payment_is_shown_late(
    workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The payment's execution runs, but neither the ledger nor DescribeExecution shows it yet."""
    payment_id, looked_up = new_id(), list[str]()

    def find_nothing_yet(name: str) -> None:
        looked_up.append(name)
        workflow.run(payment_id)

    monkeypatch.setattr(runtime.executions(), "find", find_nothing_yet)
    refund = workflow.operate(payment_id, "refund")
    assert (refund.states, looked_up) == (OPERATION_PATH, [payment_id])


def test_an_operation_on_a_payment_that_does_not_end_is_in_doubt_and_moves_nothing(
    workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = ports.Execution(running=True, error=None, cause=None, request={}, started_at=NOW, stopped_at=None)
    monkeypatch.setattr(runtime.executions(), "find", lambda name: running)
    doubtful = workflow.operate(new_id(), "refund")
    assert doubtful.ended_in == "OperationInDoubt"
    assert sum(workflow.waits) > 60


def test_an_input_that_is_no_operation_is_rejected(workflow: Workflow) -> None:
    rejected = workflow.operate(new_id(), "chargeback")
    assert (rejected.ended_in, rejected.cause) == ("OperationRejected", "InvalidInput")


@pytest.mark.parametrize("fault", ["timeout_before", "timeout_after", "reset", "http_429", "http_500", "garbage"])
@pytest.mark.parametrize(
    ("operation", "capture", "status"),
    [("refund", True, "refunded"), ("capture", False, "captured"), ("void", False, "voided")],
)
def test_a_gateway_call_that_fails_at_first_takes_effect_exactly_once(
    workflow: Workflow, operation: str, capture: bool, status: str, fault: str
) -> None:
    paid = workflow.run(capture=capture)
    workflow.break_next(operation, fault, paid.name, times=2)
    assert workflow.operate(paid.name, operation).ended_in == "OperationSucceeded"
    assert workflow.record_of(paid).payment.status == status
    assert [charge["status"] for charge in workflow.charges(paid)] == [status]


@pytest.mark.parametrize("function", ["reserve", "perform", "settle"])
@pytest.mark.parametrize("error", ["Lambda.TooManyRequestsException", "Lambda.Unknown", "Sandbox.Timedout"])
def test_a_function_whose_answer_is_lost_changes_nothing(workflow: Workflow, function: str, error: str) -> None:
    paid = workflow.run()
    workflow.lambda_errors[function] = [error]
    refund = workflow.operate(paid.name, "refund", amount_minor=500)
    assert refund.ended_in == "OperationSucceeded"
    assert workflow.invocations.count(function) == 2
    assert workflow.record_of(paid).payment.refunded_minor == 500
    assert [charge["refunded_minor"] for charge in workflow.charges(paid)] == [500]


def test_an_unknown_outcome_is_in_doubt_until_resolve_finds_it(
    workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid = workflow.run()
    workflow.break_next("refund", "timeout_after", paid.name)
    workflow.break_next("refund", "http_500", paid.name, times=99)

    def lose_sight(parameters: dict[str, Any], region: str, state_credentials: object) -> dict[str, Any]:
        if parameters["FunctionName"].endswith(":perform"):
            workflow.break_next("find", "http_500", paid.name)
        return workflow.invoke(parameters, region, state_credentials)

    monkeypatch.setattr(lambda_eval_utils, "_invoke_lambda_function", lose_sight)
    doubtful = workflow.operate(paid.name, "refund", amount_minor=500)
    assert (doubtful.states[-4:], doubtful.error) == (
        ["OutcomeUnknown", "Settle", "Settled", "OperationInDoubt"],
        "OperationInDoubt",
    )
    recorded = workflow.record_of(paid)
    (operation,) = recorded.payment.operations
    assert (operation.status, operation.error) == ("in_doubt", "gateway_outcome_unknown")
    assert balances(recorded.journal)["suspense:in_doubt", "USD"] == -500
    event = {"payment_id": None, "operation_id": doubtful.name, "ask_gateway": True}
    assert resolve(event, None)["status"] == "succeeded"
    recorded = workflow.record_of(paid)
    assert balances(recorded.journal) == {
        ("asset:gateway:sparkle", "USD"): 1499,
        ("liability:merchant", "USD"): -1499,
    }
    assert [charge["refunded_minor"] for charge in workflow.charges(paid)] == [500]


def test_two_refunds_at_once_never_give_back_more_than_was_captured(workflow: Workflow) -> None:
    paid = workflow.run()
    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(lambda _: workflow.operate(paid.name, "refund", amount_minor=1200).ended_in, range(4)))
    assert sorted(ends) == ["OperationRejected"] * 3 + ["OperationSucceeded"]
    assert workflow.record_of(paid).payment.refunded_minor == 1200
    assert [charge["refunded_minor"] for charge in workflow.charges(paid)] == [1200]


def test_a_persist_retried_after_a_refund_ends_as_captured(workflow: Workflow, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow.lambda_errors["persist"] = ["Sandbox.Timedout"] * 3
    payment_id = new_id()

    def refund_first(parameters: dict[str, Any], region: str, state_credentials: object) -> dict[str, Any]:
        if parameters["FunctionName"].endswith(":compensate"):
            workflow.operate(payment_id, "refund")
        return workflow.invoke(parameters, region, state_credentials)

    monkeypatch.setattr(lambda_eval_utils, "_invoke_lambda_function", refund_first)
    execution = workflow.run(payment_id)
    assert execution.states[-3:] == ["Compensate", "Outcome", "PaymentRecorded"]
    assert workflow.record_of(execution).payment.status == "refunded"


def looked_at(workflow: Workflow, operation: Execution) -> str:
    """What resolve's next attempt finds."""
    event = {"payment_id": None, "operation_id": operation.name, "ask_gateway": True}
    return str(resolve(event, None)["status"])


def recorded_operations(workflow: Workflow, paid: Execution) -> list[tuple[str, int | None, str, str | None]]:
    operations = workflow.record_of(paid).payment.operations
    return [(each.type, each.amount_minor, each.error or each.status, each.source) for each in operations]


class TestWhatSomebodyDidAtTheGateway:
    """Make a call of the gateway that we did not request, as its dashboard does."""

    def test_a_refund_at_the_gateway_and_an_equal_one_of_ours_are_both_recorded(self, workflow: Workflow) -> None:
        paid = workflow.run()
        workflow.at_the_gateway(paid.name, "refunds", amount_minor=500)
        assert workflow.operate(paid.name, "refund", amount_minor=500).states == OPERATION_PATH
        assert recorded_operations(workflow, paid) == [
            ("refund", 500, "succeeded", "gateway"),
            ("refund", 500, "succeeded", None),
        ]
        assert workflow.books_are_the_gateways(paid) == ("partially_refunded", 999)

    @pytest.mark.parametrize("amount", [{}, {"amount_minor": 500}])
    def test_after_a_full_refund_at_the_gateway_ours_is_rejected(
        self, workflow: Workflow, amount: dict[str, Any]
    ) -> None:
        paid = workflow.run()
        workflow.at_the_gateway(paid.name, "refunds")
        rejected = workflow.operate(paid.name, "refund", **amount)
        assert (rejected.ended_in, rejected.cause) == ("OperationRejected", "amount_exceeds_captured")
        assert workflow.record_of(paid).payment.refunded_minor == 1999
        assert workflow.books_are_the_gateways(paid) == ("refunded", 0)

    def test_a_refund_without_an_amount_covers_what_is_left_at_the_gateway(self, workflow: Workflow) -> None:
        paid = workflow.run()
        workflow.at_the_gateway(paid.name, "refunds", amount_minor=500)
        assert workflow.operate(paid.name, "refund").states == OPERATION_PATH
        assert recorded_operations(workflow, paid)[-1] == ("refund", 1499, "succeeded", None)
        assert workflow.books_are_the_gateways(paid) == ("refunded", 0)

    @pytest.mark.parametrize("operation", ["capture", "void"])
    def test_a_partial_capture_at_the_gateway_can_be_refunded_but_not_captured_or_voided(
        self, workflow: Workflow, operation: str
    ) -> None:
        authorized = workflow.run(capture=False)
        workflow.at_the_gateway(authorized.name, "capture", amount_minor=600)
        rejected = workflow.operate(authorized.name, operation)
        assert (rejected.ended_in, rejected.cause) == ("OperationRejected", "invalid_state")
        assert workflow.books_are_the_gateways(authorized) == ("captured", 600)
        assert workflow.operate(authorized.name, "refund").ended_in == "OperationSucceeded"
        assert workflow.books_are_the_gateways(authorized) == ("refunded", 0)

    @pytest.mark.parametrize(("move", "error"), [("void", None), ("expire", "expired")])
    @pytest.mark.parametrize("operation", ["capture", "void"])
    def test_a_void_or_an_expiry_at_the_gateway_ends_the_authorization(
        self, workflow: Workflow, operation: str, move: str, error: str | None
    ) -> None:
        authorized = workflow.run(capture=False)
        assert workflow.record_of(authorized).payment.expires_at
        workflow.at_the_gateway(authorized.name, move)
        assert workflow.operate(authorized.name, operation).cause == "invalid_state"
        payment = workflow.record_of(authorized).payment
        assert (payment.status, payment.error, payment.expires_at) == ("voided", error, None)
        assert workflow.books_are_the_gateways(authorized) == ("voided", 0)

    def test_an_operation_overtaken_at_the_gateway_is_rejected_and_the_true_amounts_recorded(
        self, workflow: Workflow, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        paid = workflow.run()

        def overtake(parameters: dict[str, Any], region: str, state_credentials: object) -> dict[str, Any]:
            if parameters["FunctionName"].endswith(":perform"):
                workflow.at_the_gateway(paid.name, "refunds", amount_minor=1500)
            return workflow.invoke(parameters, region, state_credentials)

        monkeypatch.setattr(lambda_eval_utils, "_invoke_lambda_function", overtake)
        assert workflow.operate(paid.name, "refund", amount_minor=500).cause == "amount_exceeds_captured"
        assert workflow.record_of(paid).payment.refunded_minor == 1500
        assert workflow.books_are_the_gateways(paid) == ("partially_refunded", 499)

    def test_a_reversal_at_the_gateway_reverses_the_capture_in_the_books(self, workflow: Workflow) -> None:
        paid = workflow.run()
        workflow.reverse(paid)
        assert workflow.operate(paid.name, "refund").cause == "invalid_state"
        assert workflow.books_are_the_gateways(paid) == ("voided", 0)

    def test_a_payment_without_requests_adopts_movements_by_a_lookup(self, workflow: Workflow) -> None:
        paid = workflow.run()
        workflow.at_the_gateway(paid.name, "refunds", amount_minor=500)
        for _ in range(2):
            event = {"payment_id": paid.name, "operation_id": None, "ask_gateway": True}
            assert resolve(event, None)["status"] == "partially_refunded"
        assert recorded_operations(workflow, paid) == [("refund", 500, "succeeded", "gateway")]


class TestRefundsThatTakeTime:
    @pytest.mark.parametrize(
        ("end", "ended", "books"),
        [
            ("succeed", ("succeeded", "succeeded"), ("partially_refunded", 1499)),
            ("fail", ("rejected", "refund_failed"), ("captured", 1999)),
        ],
    )
    def test_a_pending_refund_is_processing_until_resolve_sees_its_end(
        self, workflow: Workflow, end: str, ended: tuple[str, str], books: tuple[str, int]
    ) -> None:
        paid = workflow.run()
        workflow.break_next("refund", "refund_pending", paid.name)
        refund = workflow.operate(paid.name, "refund", amount_minor=500)
        assert (refund.ended_in, refund.error) == ("OperationPending", "OperationPending")
        assert recorded_operations(workflow, paid) == [("refund", 500, "processing", None)]
        assert looked_at(workflow, refund) == "pending"
        assert workflow.operate(paid.name, "refund", amount_minor=1500).cause == "amount_exceeds_captured"
        workflow.end_refunds(paid, end)
        status, recorded_status = ended
        assert looked_at(workflow, refund) == status
        assert recorded_operations(workflow, paid)[0] == ("refund", 500, recorded_status, None)
        assert workflow.books_are_the_gateways(paid) == books

    def test_a_refund_that_fails_at_once_is_rejected(self, workflow: Workflow) -> None:
        paid = workflow.run()
        workflow.break_next("refund", "refund_failed", paid.name)
        assert workflow.operate(paid.name, "refund").cause == "refund_failed"
        assert workflow.books_are_the_gateways(paid) == ("captured", 1999)

    def test_after_a_refund_that_failed_later_everything_can_be_refunded_again(self, workflow: Workflow) -> None:
        paid = workflow.run()
        workflow.operate(paid.name, "refund", amount_minor=300)
        workflow.end_refunds(paid, "fail")
        assert workflow.operate(paid.name, "refund").ended_in == "OperationSucceeded"
        assert recorded_operations(workflow, paid) == [
            ("refund", 300, "refund_failed", None),
            ("refund", 1999, "succeeded", None),
        ]
        assert workflow.books_are_the_gateways(paid) == ("refunded", 0)
