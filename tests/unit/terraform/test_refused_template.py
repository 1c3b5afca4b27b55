"""terraform/api/templates/refused.vtl turns errors of Step Functions into the API's answers."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.aws_facts import facts
from tests.mapping_templates import KEY, OPERATIONS, PAYMENT_ID, READINGS, STARTS, Message, answering
from tools.deployment.paths import TERRAFORM

NAMESPACE = "com.amazonaws.swf.service.v2.model#"
ARN = "arn:aws:states:us-east-1:123456789012:execution:payments:key"


def address(route: str, before: str = "/v1") -> str:
    """The request's path, with this stage or base path."""
    return f"{before}/payments/{PAYMENT_ID}/{route}" if route in OPERATIONS else f"{before}/{route}"


def refused(route: str, error: Any, message: Message, absent: str | None = "") -> tuple[int | None, dict[str, Any]]:
    """The answer's body, and its status: None if it remains that of the integration response (502)."""
    answer = replace(message, body=json.dumps({"__type": error, "message": f"Something about '{ARN}'"}))
    text, override = answer.rendered(answering(route, "refused"), absent)
    assert ARN not in text
    return override.get("status"), json.loads(text)


@pytest.mark.parametrize("absent", READINGS)
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        ("ExecutionAlreadyExists", 409, "payment_exists"),
        ("InvalidName", 400, "invalid_idempotency_key"),
        ("InvalidExecutionInput", 400, "invalid_request"),
        ("ThrottlingException", 429, "too_many_requests"),
        ("TooManyRequestsException", 429, "too_many_requests"),
        ("ExecutionLimitExceeded", 429, "too_many_requests"),
        ("AccessDeniedException", None, "bad_gateway"),
        ("StateMachineDoesNotExist", None, "bad_gateway"),
        ("InternalFailure", None, "bad_gateway"),
        (None, None, "bad_gateway"),
        (["InvalidName"], None, "bad_gateway"),
    ],
)
@pytest.mark.parametrize("namespace", [NAMESPACE, ""])
@pytest.mark.parametrize("route", STARTS)
def test_an_error_of_step_functions_gets_a_status_and_code_of_ours_and_none_of_its_text(
    route: str, namespace: str, error: Any, status: int | None, code: str, absent: str | None
) -> None:
    if route in OPERATIONS:
        code = code.replace("payment_exists", "operation_exists")
    message = Message(sent_to=address(route))
    actual, body = refused(route, namespace + error if isinstance(error, str) else error, message, absent)
    assert (actual, body["error"]["code"]) == (status, code)
    details = {
        "payment_exists": {"payment_id": KEY, "links": {"self": f"/v1/payments/{KEY}"}},
        "operation_exists": {
            "payment_id": PAYMENT_ID,
            "operation_id": KEY,
            "links": {"self": f"/v1/payments/{PAYMENT_ID}"},
        },
    }
    assert {name: value for name, value in body.items() if name != "error"} == details.get(code, {})


@pytest.mark.parametrize("absent", READINGS)
@pytest.mark.parametrize("header", [{}, {"Idempotency-Key": ""}, {"idempotency-key": ""}])
@pytest.mark.parametrize("route", STARTS)
def test_a_missing_key_and_an_invalid_key_get_different_errors(
    route: str, header: dict[str, str], absent: str | None
) -> None:
    message = Message(header=header, querystring={"Idempotency-Key": KEY})
    assert refused(route, "InvalidName", message, absent)[1]["error"]["code"] == "missing_idempotency_key"


def test_a_payment_id_that_no_payment_can_have_is_not_repeated() -> None:
    message = Message(path={"payment_id": '","x":"'})
    assert refused("refunds", "ExecutionAlreadyExists", message)[1]["payment_id"] == ""


@pytest.mark.parametrize("absent", READINGS)
@pytest.mark.parametrize("before", [case["path"].removesuffix("/payments") for case in facts("request_path")])
@pytest.mark.parametrize("route", STARTS)
def test_a_started_payment_or_operation_is_named_by_ids_and_links_below_the_requests_path(
    route: str, before: str, absent: str | None
) -> None:
    before = before.removesuffix("/payments/")
    message = Message('{"executionArn": "arn", "startDate": 1.7e9}', sent_to=address(route, before))
    text, override = message.rendered(answering(route, "accepted"), absent)
    started = {"payment_id": PAYMENT_ID, "operation_id": KEY} if route in OPERATIONS else {"payment_id": KEY}
    place = f"{before}/payments/{started['payment_id']}"
    assert json.loads(text) == started | {"status": "processing", "links": {"self": place}}
    assert override == {"header": {"Location": place}}


def test_api_gateways_own_answers_are_fixed_and_quote_nothing() -> None:
    errors = (TERRAFORM / "api_errors.tf").read_text()
    assert "BAD_REQUEST_BODY" in errors
    assert [variable for variable in facts("gateway_responses")["variables"] if variable in errors] == []
    assert "$context" not in errors
