"""What Step Functions refuses, as terraform/api/templates/refused.vtl turns it into an answer of ours."""

import json

import pytest

from cli.paths import TERRAFORM
from local.emulator import vtl

NAMESPACE = "com.amazonaws.swf.service.v2.model#"
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
def test_an_error_of_step_functions_gets_a_status_and_code_of_ours_and_none_of_its_text(
    namespace: str, error: str, status: int | None, code: str
) -> None:
    answer = json.dumps({"__type": namespace + error, "message": f"Something about '{ARN}'"})
    context = vtl.Record({"responseOverride": vtl.Record({"header": vtl.Record()})})
    payload = vtl.Input(answer, {}, {}, {"Idempotency-Key": "a-key-of-ours-123"})
    template = (TERRAFORM / "api" / "templates" / "refused.vtl").read_text()
    shown = json.loads(vtl.render(template, payload, context, {}))
    assert shown["error"]["code"] == code
    assert context["responseOverride"].get("status") == status  # None leaves the 502 of the integration response
    assert ARN not in json.dumps(shown)
    assert ("payment_id" in shown) == (code == "payment_exists")
