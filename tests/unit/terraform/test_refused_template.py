"""What Step Functions refuses, as terraform/api/templates/refused.vtl turns it into an answer of ours."""

import json
from typing import Any

import pytest

from cli.paths import TERRAFORM
from local.emulator import vtl

NAMESPACE = "com.amazonaws.swf.service.v2.model#"
KEY = "a-key-of-ours-123"
PAYMENT_ID = "a-payment-of-ours-1"
ARN = "arn:aws:states:us-east-1:123456789012:execution:payments:key"


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
    ],
)
@pytest.mark.parametrize("namespace", [NAMESPACE, ""])
@pytest.mark.parametrize("ids", ["payment_ids", "operation_ids"])
def test_an_error_of_step_functions_gets_a_status_and_code_of_ours_and_none_of_its_text(
    ids: str, namespace: str, error: str, status: int | None, code: str
) -> None:
    answer = json.dumps({"__type": namespace + error, "message": f"Something about '{ARN}'"})
    context = vtl.Record({"responseOverride": vtl.Record({"header": vtl.Record()})})
    if ids == "operation_ids":
        code = code.replace("payment_exists", "operation_exists")
    shown = refused(ids, answer, context)
    assert shown["error"]["code"] == code
    assert context["responseOverride"].get("status") == status  # None leaves the 502 of the integration response
    assert ARN not in json.dumps(shown)
    told = {
        "payment_exists": {"payment_id": KEY, "links": {"self": f"/payments/{KEY}"}},
        "operation_exists": {
            "payment_id": PAYMENT_ID,
            "operation_id": KEY,
            "links": {"self": f"/payments/{PAYMENT_ID}"},
        },
    }
    assert {name: value for name, value in shown.items() if name != "error"} == told.get(code, {})


def test_a_payment_id_that_no_payment_can_have_is_not_repeated() -> None:
    answer = json.dumps({"__type": "ExecutionAlreadyExists"})
    context = vtl.Record({"responseOverride": vtl.Record({"header": vtl.Record()})})
    assert refused("operation_ids", answer, context, payment_id='","x":"')["payment_id"] == ""


def refused(ids: str, answer: str, context: vtl.Record, payment_id: str = PAYMENT_ID) -> dict[str, Any]:
    """The answer's body, as terraform/api_gateway.tf puts the templates together."""
    payload = vtl.Input(answer, {"payment_id": payment_id}, {}, {"Idempotency-Key": KEY})
    template = "".join((TERRAFORM / "api" / "templates" / f"{name}.vtl").read_text() for name in (ids, "refused"))
    body: dict[str, Any] = json.loads(vtl.render(template, payload, context, {}))
    return body
