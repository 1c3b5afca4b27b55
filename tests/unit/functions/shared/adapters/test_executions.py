import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from functions.shared.adapters.executions import StepFunctionsExecutions, StepFunctionsStateMachine
from functions.shared.domain.errors import ExecutionsUnavailable
from functions.shared.domain.payment import PaymentRequest
from functions.shared.ports import Execution, ExecutionSummary
from tests.aws_facts import facts
from tests.mocked_aws import REGION, ROLE_ARN, MockedAws, new_id
from tests.samples import CARD_DATA, TOKEN, UNLISTED_PAN

STATE_MACHINE_ARN = f"arn:aws:states:{REGION}:123456789012:stateMachine:payment"
REQUEST = {"amount_minor": 1999, "currency": "USD", "merchant_reference": "order-1001", "card_data": CARD_DATA}


@pytest.fixture(scope="module")
def executions(aws: MockedAws) -> StepFunctionsExecutions:
    definition = {
        "StartAt": "End",
        "States": {"End": {"Type": "Fail", "Error": "PaymentRejected", "Cause": "ExpiredCard"}},
    }
    arn = aws.stepfunctions.create_state_machine(name="payment", definition=json.dumps(definition), roleArn=ROLE_ARN)[
        "stateMachineArn"
    ]
    assert arn == STATE_MACHINE_ARN
    return StepFunctionsExecutions(aws.stepfunctions, arn)


def test_an_execution_is_found_by_its_payments_id_without_its_card(
    aws: MockedAws, executions: StepFunctionsExecutions
) -> None:
    aws.stepfunctions.start_execution(
        stateMachineArn=STATE_MACHINE_ARN, name=(payment_id := new_id()), input=json.dumps(REQUEST)
    )
    execution = executions.find(payment_id)
    assert execution is not None
    assert execution.payment == PaymentRequest(1999, "USD", merchant_reference="order-1001")
    assert CARD_DATA["card_number"] not in repr(execution)


def test_a_payment_without_an_execution_is_none(executions: StepFunctionsExecutions) -> None:
    assert executions.find(new_id()) is None


def test_who_made_a_running_payment_with_a_stored_card_is_known() -> None:
    request = {"amount_minor": 1999, "currency": "USD", "token": TOKEN}
    by_merchant = {"initiator": "merchant", "reason": "recurring"}
    executions = [find(described(input=json.dumps(request | each))) for each in ({}, by_merchant)]
    assert [each and each.payment for each in executions] == [
        PaymentRequest(1999, "USD", card_on_file=True, initiator="customer"),
        PaymentRequest(1999, "USD", card_on_file=True, initiator="merchant", reason="recurring"),
    ]


def described(**changes: Any) -> dict[str, Any]:
    return {
        "executionArn": "arn",
        "stateMachineArn": "arn",
        "status": "RUNNING",
        "startDate": datetime(2026, 11, 23, 10, 0, 0, 123456, timezone(timedelta(hours=1))),
        "input": json.dumps(REQUEST),
    } | changes


def find(answer: dict[str, Any] | None = None, error: str = "") -> Execution | None:
    """The adapter's result for an answer or error of Step Functions, scripted where moto can't produce it."""
    client = boto3.client("stepfunctions", REGION, aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stub:
        if answer is None:
            stub.add_client_error("describe_execution", error, "arn:aws:states has the text")
        else:
            stub.add_response(
                "describe_execution",
                answer,
                {"executionArn": STATE_MACHINE_ARN.replace(":stateMachine:", ":execution:") + ":pay-1"},
            )
        return StepFunctionsExecutions(client, STATE_MACHINE_ARN).find("pay-1")


@pytest.mark.parametrize("status", ["RUNNING", "PENDING_REDRIVE"])
def test_an_execution_that_may_go_on_is_running(status: str) -> None:
    execution = find(described(status=status))
    assert execution == Execution(
        running=True,
        error=None,
        cause=None,
        request={"amount_minor": 1999, "currency": "USD", "merchant_reference": "order-1001"},
        started_at="2026-11-23T09:00:00.123Z",
        stopped_at=None,
    )


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"])
def test_an_execution_that_has_ended_tells_when_and_why(status: str) -> None:
    ended = {"stopDate": datetime(2026, 11, 23, 9, 1, tzinfo=UTC), "error": "PaymentRejected", "cause": "ExpiredCard"}
    execution = find(described(status=status, **ended))
    assert execution is not None
    assert (execution.running, execution.error, execution.cause) == (False, "PaymentRejected", "ExpiredCard")
    assert execution.stopped_at == "2026-11-23T09:01:00.000Z"


@pytest.mark.parametrize("text", ["[]", "1", "null", '"4242424242424242"', '{"amount_minor": "1", "currency": 2}'])
def test_an_input_that_no_api_sent_asks_for_no_money(text: str) -> None:
    execution = find(described(input=text))
    assert execution is not None
    assert execution.payment is None


@pytest.mark.parametrize("written", ["1999", "1999.0", "1.999E3"])
def test_an_amount_is_an_integer_however_it_was_written(written: str) -> None:
    execution = find(described(input=f'{{"amount_minor": {written}, "currency": "USD", "capture": null}}'))
    assert execution is not None
    assert execution.payment
    assert repr(execution.payment.amount_minor) == "1999"
    assert execution.payment == PaymentRequest(1999, "USD")


@pytest.mark.parametrize("error", ["ExecutionDoesNotExist", "InvalidArn"])
def test_an_id_that_no_execution_has_or_could_have_is_none(error: str) -> None:
    assert find(error=error) is None


@pytest.mark.parametrize("error", ["ThrottlingException", "AccessDeniedException"])
def test_when_step_functions_does_not_say_nothing_is_known(error: str) -> None:
    with pytest.raises(ExecutionsUnavailable, match=f"^Step Functions: {error}$"):
        find(error=error)


def test_when_step_functions_cannot_be_reached_nothing_is_known() -> None:
    client = boto3.client(
        "stepfunctions",
        REGION,
        aws_access_key_id="x",
        aws_secret_access_key="x",
        endpoint_url="http://127.0.0.1:1",
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(ExecutionsUnavailable, match=r"^Step Functions: EndpointConnectionError$"):
        StepFunctionsExecutions(client, STATE_MACHINE_ARN).find("pay-1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("merchant_reference", f"order {UNLISTED_PAN}"),
        ("description", "4000.0566.5566.5556"),
        ("amount_minor", int(UNLISTED_PAN)),
        ("amount_minor", True),
        ("currency", UNLISTED_PAN),
        ("payment_id", UNLISTED_PAN),
        ("operation", UNLISTED_PAN),
        ("capture", UNLISTED_PAN),
    ],
)
def test_what_is_not_what_it_must_be_is_not_read(name: str, value: object) -> None:
    execution = find(described(input=json.dumps(REQUEST | {name: value})))
    assert execution is not None
    assert name not in execution.request


@pytest.mark.parametrize("depth", [1_100, 100_000])
def test_an_input_that_is_nested_too_deeply_asks_for_no_money(depth: int) -> None:
    execution = find(described(input="[" * depth + "]" * depth))
    assert execution is not None
    assert execution.payment is None


@pytest.mark.parametrize("words", [UNLISTED_PAN, f"Stopped{UNLISTED_PAN}", "by hand, for 4000-0566-5566-5556", ""])
def test_the_words_in_which_somebody_stopped_it_are_not_passed_on(words: str) -> None:
    ended = {"stopDate": datetime(2026, 11, 23, 9, 1, tzinfo=UTC), "error": words, "cause": words}
    execution = find(described(status="ABORTED", **ended))
    assert execution is not None
    assert (execution.error, execution.cause) == (None, None)


def test_a_list_of_one_status_goes_on_where_its_token_says() -> None:
    client = boto3.client("stepfunctions", REGION, aws_access_key_id="x", aws_secret_access_key="x")
    listed = {
        "executionArn": "arn",
        "stateMachineArn": STATE_MACHINE_ARN,
        "name": "payment-of-ours-1",
        "status": "ABORTED",
        "startDate": datetime(2026, 11, 23, 9, tzinfo=UTC),
        "stopDate": datetime(2026, 11, 23, 9, 1, tzinfo=UTC),
    }
    request = {"stateMachineArn": STATE_MACHINE_ARN, "maxResults": facts("executions_seen_late")["page_size_limit"]}
    with Stubber(client) as stub:
        stub.add_response("list_executions", {"executions": [listed], "nextToken": "more"}, request)
        stub.add_response(
            "list_executions", {"executions": []}, request | {"nextToken": "more", "statusFilter": "ABORTED"}
        )
        executions = StepFunctionsExecutions(client, STATE_MACHINE_ARN)
        summary = ExecutionSummary(
            "payment-of-ours-1", "ABORTED", "2026-11-23T09:00:00.000Z", "2026-11-23T09:01:00.000Z"
        )
        assert executions.page(None) == ([summary], "more")
        assert executions.page("more", "ABORTED") == ([], None)


@pytest.mark.parametrize(("error", "is_new"), [("", True), ("ExecutionAlreadyExists", False)])
def test_an_execution_is_started_under_its_name_once(error: str, is_new: bool) -> None:
    client = boto3.client("stepfunctions", REGION, aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stub:
        if error:
            stub.add_client_error("start_execution", error)
        else:
            request = {"stateMachineArn": "arn:live", "name": "payment-1", "input": '{"payment_id": "1"}'}
            stub.add_response("start_execution", {"executionArn": "arn", "startDate": datetime.now(UTC)}, request)
        assert StepFunctionsStateMachine(client, "arn:live").start("payment-1", {"payment_id": "1"}) is is_new


def test_what_could_not_be_started_is_not_taken_for_started() -> None:
    client = boto3.client("stepfunctions", REGION, aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stub:
        stub.add_client_error("start_execution", "ExecutionLimitExceeded")
        with pytest.raises(ExecutionsUnavailable, match=r"^Step Functions: ExecutionLimitExceeded$"):
            StepFunctionsStateMachine(client, "arn:live").start("payment-1", {})


@pytest.mark.parametrize("error", ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"])
def test_resuming_what_does_not_wait_any_more_is_harmless(error: str) -> None:
    with stubbed("send_task_success", error) as executions:
        executions.resume("AQB4")


def test_an_execution_that_could_not_be_resumed_is_resumed_later() -> None:
    with (
        stubbed("send_task_success", "ThrottlingException") as executions,
        pytest.raises(ExecutionsUnavailable) as unavailable,
    ):
        executions.resume("AQB4-task-token")
    assert "AQB4" not in str(unavailable.value)


@contextmanager
def stubbed(call: str, error_code: str) -> Iterator[StepFunctionsExecutions]:
    """Executions whose client gets this error."""
    client = boto3.client("stepfunctions", REGION, config=Config(retries={"total_max_attempts": 1}))
    with Stubber(client) as stub:
        stub.add_client_error(call, error_code)
        yield StepFunctionsExecutions(client, STATE_MACHINE_ARN)
