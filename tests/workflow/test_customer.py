"""Runs payments whose issuers ask the customer first (3-D Secure), in every way in which the wait may end."""

import json
from typing import Any

import pytest

from functions.follow_event.follow_event import follow_event
from functions.resolve.handler import handler as resolve
from functions.resume.handler import handler as resume
from functions.shared import runtime
from functions.shared.adapters.table import customer_waits
from functions.shared.domain.errors import LedgerUnavailable
from functions.shared.domain.gateway_event import GatewayEvent
from functions.status.handler import handler as status
from tests.balances import balances
from tests.mocked_aws import EPHEMERAL_TABLE, new_id
from tests.samples import CHALLENGED_AND_DECLINED_PAN, CHALLENGED_PAN, NOW, RETURN_URL
from tests.workflow.conftest import Execution, Workflow, by

CHALLENGE_PATH = ["Tokenize", "Screen", "Encrypt", "Charge", "AwaitCustomer", "Confirm", "Persist"]
CHALLENGED = by(CHALLENGED_PAN) | {"return_url": RETURN_URL}


@pytest.fixture(autouse=True)
def few_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto takes its time for each query."""
    monkeypatch.setattr(customer_waits, "SHARDS", 2)


def sweep(payment_id: str) -> dict[str, Any]:
    return resume({}, None)


def payment_body(payment_id: str) -> dict[str, Any]:
    """What the API shows of the payment."""
    answer = status({"pathParameters": {"payment_id": payment_id}, "queryStringParameters": None}, None)
    body: dict[str, Any] = json.loads(answer["body"]) if answer["statusCode"] == 200 else {}
    return body


def answers(workflow: Workflow, *outcomes: str) -> None:
    """Let the customer answer as soon as the payment waits, and the sweep see it."""

    def answer(payment_id: str) -> None:
        for outcome in outcomes:
            workflow.answer_challenge(payment_id, outcome)
        sweep(payment_id)

    workflow.then["await_customer"] = answer


def assert_nothing_is_left(workflow: Workflow, execution: Execution) -> None:
    item = workflow.aws.dynamodb.get_item(TableName=EPHEMERAL_TABLE, Key={"payment_id": {"S": execution.name}})
    assert set(item["Item"]) == {"payment_id", "ended_at", "expires_at"}
    assert execution.name not in set(runtime.customer_waits().waiting())


def assert_declined(workflow: Workflow, execution: Execution, decline_code: str) -> None:
    recorded = workflow.record_of(execution)
    assert (recorded.payment.status, recorded.payment.decline_code) == ("declined", decline_code)
    assert balances(recorded.journal) == {}
    assert [charge["status"] for charge in workflow.charges(execution)] == ["declined"]
    assert_nothing_is_left(workflow, execution)


@pytest.mark.parametrize("capture", [True, False])
def test_a_customer_who_approves_has_paid(workflow: Workflow, capture: bool) -> None:
    answers(workflow, "approve")
    execution = workflow.run(**CHALLENGED, capture=capture)
    assert (execution.status, execution.states) == ("SUCCEEDED", CHALLENGE_PATH)
    payment = workflow.record_of(execution).payment
    assert payment.status == ("captured" if capture else "authorized")
    assert payment.authentication
    assert payment.authentication.result == "authenticated"
    workflow.books_are_the_gateways(execution)
    assert_nothing_is_left(workflow, execution)


def test_a_payment_that_is_not_challenged_takes_no_more_steps(workflow: Workflow) -> None:
    execution = workflow.run(return_url=RETURN_URL)
    assert execution.states == [state for state in CHALLENGE_PATH if state not in ("AwaitCustomer", "Confirm")]


def test_a_customer_who_fails_has_not_paid(workflow: Workflow) -> None:
    answers(workflow, "fail")
    execution = workflow.run(**CHALLENGED)
    assert (execution.status, execution.states) == ("SUCCEEDED", CHALLENGE_PATH)
    assert_declined(workflow, execution, "authentication_failed")


def test_an_issuer_may_decline_after_the_challenge(workflow: Workflow) -> None:
    answers(workflow, "approve")
    execution = workflow.run(**CHALLENGED | by(CHALLENGED_AND_DECLINED_PAN))
    assert_declined(workflow, execution, "insufficient_funds")


def test_a_customer_who_takes_too_long_finds_no_charge_any_more(workflow: Workflow) -> None:
    execution = workflow.run(**CHALLENGED)
    assert (execution.status, execution.states) == ("SUCCEEDED", CHALLENGE_PATH)
    assert_declined(workflow, execution, "authentication_expired")
    with pytest.raises(Exception, match="409"):
        workflow.answer_challenge(execution.name, "approve")
    assert_declined(workflow, execution, "authentication_expired")


def test_a_customer_who_approves_in_the_last_moment_has_paid(workflow: Workflow) -> None:
    workflow.then["await_customer"] = lambda payment_id: workflow.answer_challenge(payment_id, "approve")
    execution = workflow.run(**CHALLENGED)  # the time is over before anybody has looked
    assert execution.states == CHALLENGE_PATH
    assert workflow.record_of(execution).payment.status == "captured"
    workflow.books_are_the_gateways(execution)


@pytest.mark.parametrize(
    "request_", [by(CHALLENGED_PAN), CHALLENGED | {"three_d_secure": "none"}], ids=["no return_url", "none"]
)
def test_a_customer_who_cannot_be_asked_is_declined_at_once(workflow: Workflow, request_: dict[str, Any]) -> None:
    execution = workflow.run(**request_)
    assert execution.states == ["Tokenize", "Screen", "Encrypt", "Charge", "Persist"]
    assert_declined(workflow, execution, "authentication_required")


def test_resuming_a_payment_twice_is_resuming_it_once(workflow: Workflow) -> None:
    def answer(payment_id: str) -> None:
        workflow.answer_challenge(payment_id, "approve")
        assert sweep(payment_id)["resumed"] == 1
        sweep(payment_id)

    workflow.then["await_customer"] = answer
    execution = workflow.run(**CHALLENGED)
    assert execution.states == CHALLENGE_PATH
    assert len(workflow.charges(execution)) == 1
    workflow.books_are_the_gateways(execution)
    assert sweep(execution.name)["waiting"] == 0


def test_the_gateways_event_resumes_the_payment(workflow: Workflow) -> None:
    results = []

    def answer(payment_id: str) -> None:
        workflow.answer_challenge(payment_id, "approve")
        (charge,) = workflow._of(payment_id, "charges")
        event = GatewayEvent("ev_1", "charge.captured", charge["id"], NOW, payment_id, "captured")
        results.append(
            follow_event(
                "sparkle",
                event,
                gateways=runtime.gateways(),
                ledger=runtime.ledger(),
                executions=runtime.executions(),
                customer_waits=runtime.customer_waits(),
                now=NOW,
            )
        )

    workflow.then["await_customer"] = answer
    execution = workflow.run(**CHALLENGED)
    assert results == ["processing"]
    assert (execution.states, workflow.record_of(execution).payment.status) == (CHALLENGE_PATH, "captured")


def test_while_it_waits_the_payment_says_where_to_send_the_customer(workflow: Workflow) -> None:
    bodies: list[dict[str, Any]] = []

    def look(payment_id: str) -> None:
        bodies.append(payment_body(payment_id))

    workflow.then["await_customer"] = look
    execution = workflow.run(**CHALLENGED, merchant_reference="order-1001")
    (waiting,) = bodies
    (charge,) = workflow.charges(execution)
    assert waiting["status"] == "action_required"
    assert waiting["next_action"]["type"] == "redirect"
    assert waiting["next_action"]["url"].startswith(workflow.sandbox_url)
    assert (waiting["charge_id"], waiting["merchant_reference"]) == (charge["id"], "order-1001")
    assert payment_body(execution.name)["next_action"] is None


def test_an_execution_that_is_stopped_while_it_waits_is_resolved_and_nobody_can_pay_any_more(
    workflow: Workflow,
) -> None:
    workflow.then["await_customer"] = workflow.stop
    execution = workflow.run(**CHALLENGED)
    assert execution.status != "SUCCEEDED"  # moto's interpreter fails what AWS aborts
    assert execution.ended_in == "AwaitCustomer"
    assert payment_body(execution.name)["status"] == "in_doubt"
    for ask_gateway in (False, True):
        resolve({"payment_id": execution.name, "operation_id": None, "ask_gateway": ask_gateway}, None)
    assert_declined(workflow, execution, "authentication_expired")


def test_a_stopped_execution_whose_customer_was_faster_has_its_charge(workflow: Workflow) -> None:
    def answer_and_stop(payment_id: str) -> None:
        workflow.answer_challenge(payment_id, "approve")
        workflow.stop(payment_id)

    workflow.then["await_customer"] = answer_and_stop
    execution = workflow.run(**CHALLENGED)
    resolve({"payment_id": execution.name, "operation_id": None, "ask_gateway": True}, None)
    assert workflow.record_of(execution).payment.status == "captured"
    workflow.books_are_the_gateways(execution)


@pytest.mark.parametrize("fault", ["timeout_after", "http_500"])
def test_a_gateway_that_does_not_answer_confirm_is_asked_again(workflow: Workflow, fault: str) -> None:
    def answer(payment_id: str) -> None:
        workflow.answer_challenge(payment_id, "approve")
        workflow.break_next("find", fault, payment_id, seconds=2)

    workflow.then["await_customer"] = answer
    execution = workflow.run(**CHALLENGED)
    assert execution.states == CHALLENGE_PATH
    assert len(workflow.waits) == 1
    workflow.books_are_the_gateways(execution)


def test_a_gateway_that_never_answers_confirm_is_asked_by_compensate(workflow: Workflow) -> None:
    def answer(payment_id: str) -> None:
        workflow.answer_challenge(payment_id, "approve")
        workflow.break_next("find", "http_500", payment_id, times=5)

    workflow.then["await_customer"] = answer
    execution = workflow.run(**CHALLENGED)
    assert execution.ended_in == "PaymentReversed"
    assert [charge["status"] for charge in workflow.charges(execution)] == ["voided"]
    assert_nothing_is_left(workflow, execution)


def test_a_payment_that_cannot_begin_to_wait_is_declined(workflow: Workflow, failing: Any) -> None:
    failing("customer_waits", "begin", LedgerUnavailable("DynamoDB: down"))
    execution = workflow.run(**CHALLENGED)
    assert execution.states == CHALLENGE_PATH
    assert_declined(workflow, execution, "authentication_expired")


def test_an_await_customer_whose_answer_got_lost_is_begun_again(workflow: Workflow) -> None:
    workflow.lambda_errors["await_customer"] = ["Lambda.Unknown"]
    answers(workflow, "approve")
    execution = workflow.run(**CHALLENGED)
    assert execution.states == CHALLENGE_PATH
    assert workflow.record_of(execution).payment.status == "captured"


def test_a_return_url_that_is_not_allowed_is_rejected_before_anything_happens(workflow: Workflow) -> None:
    execution = workflow.run(**by(CHALLENGED_PAN), return_url="https://elsewhere.example/")
    assert (execution.error, execution.cause) == ("PaymentRejected", "ReturnUrlNotAllowed")
    assert workflow.charges(execution) == []


def test_the_url_and_the_token_are_in_no_history(workflow: Workflow) -> None:
    answers(workflow, "approve")
    payment_id = new_id()
    execution = workflow.run(payment_id, **CHALLENGED)
    history = str([event for event in execution.history if "taskScheduledEventDetails" not in event])
    assert f"{workflow.sandbox_url}/challenge" not in str(execution.history)
    assert "task_token" not in history
