"""API Gateway's log role is checked when it is set, and required for access logs."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws_facts import facts
from tests.unit.tools.local.emulator.conftest import Emulator

FACTS = facts("api_gateway_account")


@pytest.fixture
def gateway(emulator: Emulator) -> Iterator[Any]:
    """API Gateway, with no role in the account before and after the test."""
    client = emulator.client("apigateway")
    set_role(client, "")
    yield client
    set_role(client, "")


def set_role(client: Any, arn: str) -> str | None:
    change = {"op": "replace", "path": "/cloudwatchRoleArn", "value": arn}
    role: str | None = client.update_account(patchOperations=[change]).get("cloudwatchRoleArn")
    assert client.get_account().get("cloudwatchRoleArn") == role
    return role


def test_a_role_is_set_and_unset(emulator: Emulator, gateway: Any) -> None:
    role = emulator.role("apigateway.amazonaws.com")
    assert set_role(gateway, role) == role
    assert set_role(gateway, "") is None


@pytest.mark.parametrize("trusted", [None, "lambda.amazonaws.com"], ids=["missing", "not_trusting"])
def test_a_role_that_api_gateway_can_not_assume_is_refused(
    emulator: Emulator, gateway: Any, trusted: str | None
) -> None:
    role = emulator.role(trusted) if trusted else "arn:aws:iam::000000000000:role/nobody"
    with pytest.raises(ClientError) as refused:
        set_role(gateway, role)
    assert refused.value.response["Error"] == {"Code": FACTS["error"], "Message": FACTS["unusable_role"]}
    assert gateway.get_account().get("cloudwatchRoleArn") is None


def test_a_stage_has_logs_only_where_the_account_has_a_role(emulator: Emulator, gateway: Any) -> None:
    api = gateway.create_rest_api(name=uuid.uuid4().hex)["id"]
    gateway.create_stage(restApiId=api, stageName="v1", deploymentId="any")
    logs = {
        "op": "replace",
        "path": "/accessLogSettings/destinationArn",
        "value": "arn:aws:logs:us-east-1:0:log-group:l",
    }
    with pytest.raises(ClientError) as refused:
        gateway.update_stage(restApiId=api, stageName="v1", patchOperations=[logs])
    assert refused.value.response["Error"] == {"Code": FACTS["error"], "Message": FACTS["logs_without_role"]}
    set_role(gateway, emulator.role("apigateway.amazonaws.com"))
    changed = gateway.update_stage(restApiId=api, stageName="v1", patchOperations=[logs])
    assert changed["accessLogSettings"]["destinationArn"] == logs["value"]
