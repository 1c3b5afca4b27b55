"""Who may call the API under the callers' policies, and what is recorded about callers."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from tests.stack.driver import CARD_DATA, PAYMENT, Driver
from tools.deployment.stack import Stack, new_payment_id
from tools.trials.acceptance.openapi import OPERATIONS

CALLS = {
    "POST /payments": "charge",
    "POST /cards": "charge",
    "GET /keys": "charge",
    "POST /keys": "charge",
    "POST /payments/{}/refunds": "refund",
    "POST /payments/{}/captures": "refund",
    "POST /payments/{}/voids": "refund",
    "DELETE /cards/{}": "erase",
    "GET /cards/{}": "read",
    "GET /payments": "read",
    "GET /payments/{}": "read",
    "GET /payments/{}/operations/{}": "read",
}
"""The policy that allows each call."""

BODIES = {"POST /payments": PAYMENT, "POST /cards": {"card_data": CARD_DATA}}


@pytest.fixture(scope="module")
def callers(stack: Stack) -> Iterator[dict[str, Stack]]:
    """The stack as seen by users who have one of the policies each."""
    iam = stack.client("iam")
    policies = {
        each["PolicyName"].rpartition("-may-")[2]: each["Arn"] for each in iam.list_policies(Scope="Local")["Policies"]
    }
    with ExitStack() as undo:
        seen_by = {}
        for policy in set(CALLS.values()):
            name = f"may-{policy}"
            iam.create_user(UserName=name)
            undo.callback(iam.delete_user, UserName=name)
            iam.attach_user_policy(UserName=name, PolicyArn=policies[policy])
            undo.callback(iam.detach_user_policy, UserName=name, PolicyArn=policies[policy])
            key = iam.create_access_key(UserName=name)["AccessKey"]
            undo.callback(iam.delete_access_key, UserName=name, AccessKeyId=key["AccessKeyId"])
            seen_by[policy] = replace(stack, access_key_id=key["AccessKeyId"], secret_access_key=key["SecretAccessKey"])
        yield seen_by


def test_every_signed_call_of_the_api_is_among_them() -> None:
    signed = [f"{method} {path}" for (method, path), operation in OPERATIONS.items() if operation.get("security") != []]
    assert {re.sub(r"{\w+}", "{}", call) for call in signed} == CALLS.keys()


@pytest.mark.parametrize("call", CALLS)
def test_each_call_is_allowed_by_its_policy_and_by_no_other(callers: dict[str, Stack], call: str) -> None:
    method, _, path = call.partition(" ")
    item = "tok_" + "a" * 52 if "cards" in path else new_payment_id()
    let_in = {
        policy
        for policy, stack in callers.items()
        if stack.call(
            method,
            path.replace("{}", item),
            BODIES.get(call, {} if method == "POST" else None),
            {"Idempotency-Key": new_payment_id()} if method == "POST" else {},
        ).status_code
        != 403
    }
    assert let_in == {CALLS[call]}


def test_the_books_keep_the_callers_of_a_payment_and_of_its_refund(stack: Stack, callers: dict[str, Stack]) -> None:
    driver = Driver(stack)
    shop, support = (str(callers[policy].client("sts").get_caller_identity()["Arn"]) for policy in ("charge", "refund"))
    payment_id = new_payment_id()
    callers["charge"].call("POST", "/payments", PAYMENT, {"Idempotency-Key": payment_id})
    driver.ended(payment_id)
    refund_id = new_payment_id()
    callers["refund"].call("POST", f"/payments/{payment_id}/refunds", {}, {"Idempotency-Key": refund_id})
    driver.operation(payment_id, refund_id)
    record = driver.payment_items(payment_id)["PAYMENT"]
    assert record["caller"]["S"] == shop
    assert [each["M"]["caller"]["S"] for each in record["operations"]["L"]] == [support]
    execution = driver.execution(payment_id)
    assert execution
    assert json.loads(execution["input"])["caller"] == shop
