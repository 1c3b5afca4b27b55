"""Who may call the API, and what each role may do."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.stack.driver import PAYMENT, Driver
from tools.deployment.stack import Stack


def role_policy(stack: Stack, function: str) -> tuple[str, str, dict[str, Any]]:
    """The role's name, its inline policy's name, and the policy."""
    iam = stack.client("iam")
    role = f"{stack.prefix}-{function}"
    [policy] = iam.list_role_policies(RoleName=role)["PolicyNames"]
    return role, policy, iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]


@contextmanager
def taken_away(stack: Stack, function: str, action: str) -> Iterator[None]:
    """Remove one action from the function's role."""
    iam = stack.client("iam")
    role, name, policy = role_policy(stack, function)
    actions = [as_list(statement["Action"]) for statement in policy["Statement"]]
    assert any(action in granted for granted in actions), f"{function} was never allowed {action}"
    statements = [
        statement | {"Action": remaining}
        for statement, granted in zip(policy["Statement"], actions, strict=True)
        if (remaining := [other for other in granted if other != action])
    ]
    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(policy | {"Statement": statements}))
    try:
        yield
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(policy))


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@pytest.mark.parametrize(
    ("function", "action", "status", "error"),
    [
        ("tokenize", "kms:GenerateMac", "rejected", "key_unusable"),
        ("encrypt", "kms:Encrypt", "rejected", "key_unusable"),
        ("charge", "kms:Decrypt", "reversed", None),
    ],
)
def test_a_role_without_one_of_its_actions_stops_the_workflow_there(
    driver: Driver, function: str, action: str, status: str, error: str | None
) -> None:
    with taken_away(driver.stack, function, action):
        payment = driver.paid()
    assert payment["status"] == status
    if error:
        assert payment["error"] == error
    assert driver.charges(payment["payment_id"]) == []
    assert driver.paid()["status"] == "captured"


def test_a_principal_without_execute_api_invoke_is_refused(driver: Driver) -> None:
    iam = driver.stack.client("iam")
    iam.create_user(UserName="stranger")
    key = iam.create_access_key(UserName="stranger")["AccessKey"]
    try:
        stranger = Driver(
            replace(driver.stack, access_key_id=key["AccessKeyId"], secret_access_key=key["SecretAccessKey"])
        )
        payment_id, answer = stranger.pay()
        assert answer.status_code == 403
        assert set(answer.json()["error"]) == {"code", "message"}
        assert driver.execution(payment_id) is None
    finally:
        iam.delete_access_key(UserName="stranger", AccessKeyId=key["AccessKeyId"])
        iam.delete_user(UserName="stranger")


def test_a_refused_start_shows_no_arn_and_no_text_of_aws(driver: Driver) -> None:
    iam = driver.stack.client("iam")
    role = f"{driver.stack.prefix}-api"
    [name] = iam.list_role_policies(RoleName=role)["PolicyNames"]
    policy = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    iam.delete_role_policy(RoleName=role, PolicyName=name)
    try:
        payment_id, answer = driver.pay()
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(policy))
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "bad_gateway")
    assert "arn:" not in answer.text
    assert "AccessDenied" not in answer.text
    assert driver.execution(payment_id) is None


def test_no_execution_starts_if_its_role_may_use_the_key_only_through_step_functions(driver: Driver) -> None:
    """The key's former policy: the role calls KMS itself. AWS's guide warns against that condition."""
    kms = driver.stack.client("kms")
    alias = f"alias/{driver.stack.prefix}-data"
    key_id = kms.describe_key(KeyId=alias)["KeyMetadata"]["KeyId"]
    policy = json.loads(kms.get_key_policy(KeyId=key_id, PolicyName="default")["Policy"])
    without = [statement for statement in policy["Statement"] if statement["Sid"] != "EncryptExecutions"]
    assert len(without) == len(policy["Statement"]) - 1
    kms.put_key_policy(KeyId=key_id, PolicyName="default", Policy=json.dumps(policy | {"Statement": without}))
    try:
        payment_id, answer = driver.pay()
    finally:
        kms.put_key_policy(KeyId=key_id, PolicyName="default", Policy=json.dumps(policy))
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "bad_gateway")
    assert driver.execution(payment_id) is None
    assert driver.paid()["status"] == "captured"


def test_the_logs_carry_the_payment_id_and_no_card(driver: Driver) -> None:
    payment_id = driver.paid()["payment_id"]
    logs = driver.stack.client("logs")
    for function in ("tokenize", "encrypt", "charge", "persist"):
        group = driver.stack.log_group_prefix + function
        lines = [event["message"] for event in logs.filter_log_events(logGroupName=group)["events"]]
        own = [json.loads(line) for line in lines if line.startswith("{") and payment_id in line]
        assert own, f"{function} logged nothing about the payment"
        assert all(PAYMENT["card_data"]["card_number"] not in line for line in lines)  # type: ignore[index]
        assert all(PAYMENT["card_data"]["card_holder"] not in line for line in lines)  # type: ignore[index]
