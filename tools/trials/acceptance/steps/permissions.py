"""Denied access: for a role without rights, a role with a function's card statements, and an administrator."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.exceptions import ClientError

from functions.shared.adapters.table.items import marshal
from functions.shared.adapters.table.keys import card_key
from tools.trials.acceptance.openapi import DOCUMENT, examples
from tools.trials.acceptance.run import Answer, Run, Skipped, Step, Unexpected, expect_equal, wait_for
from tools.trials.acceptance.steps.examples import compare
from tools.trials.acceptance.steps.payments import PAYMENT, pay

PROPAGATION_SECONDS = 90.0
"""IAM is eventually consistent."""

_DENIED_CODES = ("AccessDenied", "InvalidClientTokenId", "UnrecognizedClientException")


@contextmanager
def role(run: Run, name: str, statements: list[Mapping[str, Any]]) -> Iterator[boto3.Session]:
    """Create a temporary role with these policy statements, and provide a session that has assumed it."""
    role_name = f"{run.stack.prefix}-acceptance-{name}"
    iam, sts = run.client("iam"), run.client("sts")
    _, partition, _, _, account, caller = sts.get_caller_identity()["Arn"].split(":", 5)
    if caller == "root":
        raise Skipped("The account's root user can't take a role.")
    trust = [
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"AWS": f"arn:{partition}:iam::{account}:root"},
        }
    ]
    arn = iam.create_role(RoleName=role_name, AssumeRolePolicyDocument=document(trust))["Role"]["Arn"]
    try:
        if statements:
            iam.put_role_policy(RoleName=role_name, PolicyName=name, PolicyDocument=document(statements))
        credentials = wait_for(
            f"the role {role_name}",
            lambda: unless_denied(lambda: sts.assume_role(RoleArn=arn, RoleSessionName="acceptance")["Credentials"]),
            timeout_seconds=PROPAGATION_SECONDS,
        )
        for secret in ("SecretAccessKey", "SessionToken"):
            run.recorder.hide(credentials[secret], "<secret>")
        session = boto3.Session(
            credentials["AccessKeyId"],
            credentials["SecretAccessKey"],
            credentials["SessionToken"],
            region_name=run.stack.region,
        )
        run.recorder.watch(session)
        yield session
    finally:
        if statements:
            iam.delete_role_policy(RoleName=role_name, PolicyName=name)
        iam.delete_role(RoleName=role_name)


def document(statements: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def unless_denied(call: Callable[[], Any]) -> Any:
    """Return the call's result, or None if AWS denies access."""
    try:
        return call()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code.removesuffix("Exception") not in {each.removesuffix("Exception") for each in _DENIED_CODES}:
            raise
        return None


def expect_denied(what: str, call: Callable[[], Any]) -> None:
    """Raises Unexpected unless AWS denies the call."""
    if unless_denied(call) is not None:
        raise Unexpected(f"{what} is allowed")


def without_rights(run: Run) -> None:
    response = DOCUMENT["components"]["responses"]["Forbidden"]
    example = examples(response["content"]["application/json"])["forbidden"]
    with role(run, "stranger", []) as session:
        credentials = session.get_credentials()
        assert credentials is not None

        def recognized_answer() -> Answer | None:
            # API Gateway takes a moment to recognize new credentials.
            answer = run.call("GET", "/keys", credentials=credentials)
            return None if answer.json.get("error", {}).get("code") == "refused" else answer

        compare(
            wait_for("the role's credentials", recognized_answer, timeout_seconds=PROPAGATION_SECONDS),
            response,
            403,
            example,
        )


def store_card(run: Run) -> tuple[str, dict[str, Any]]:
    """Store a card, and return its token and its item as read with the run's own credentials."""
    token = pay(run, PAYMENT | {"save_card": True})["card"]["token"]
    answer = run.client("dynamodb").get_item(
        TableName=run.stack.required("cards_table"), Key=marshal(card_key(token)), ConsistentRead=True
    )
    return token, answer["Item"]


def card_read_statements(run: Run, function: str) -> list[Mapping[str, Any]]:
    """The statements of a function's role that allow access only to certain attributes of stored cards."""
    iam, role_name = run.client("iam"), f"{run.stack.prefix}-{function}"
    [policy] = iam.list_role_policies(RoleName=role_name)["PolicyNames"]
    statements = iam.get_role_policy(RoleName=role_name, PolicyName=policy)["PolicyDocument"]["Statement"]
    cards = f'/{run.stack.required("cards_table")}"'
    return [
        statement
        for statement in statements
        if cards in json.dumps(statement["Resource"])
        and "dynamodb:Attributes" in json.dumps(statement.get("Condition"))
    ]


def attributes_of(statement: Mapping[str, Any]) -> list[str]:
    conditions = statement["Condition"]["ForAllValues:StringEquals"]["dynamodb:Attributes"]
    return [conditions] if isinstance(conditions, str) else list(conditions)


def without_projection(function: str) -> Callable[[Run], None]:
    """Create a check that a function's statements allow reading certain attributes of a card, but no others."""

    def check(run: Run) -> None:
        token, item = store_card(run)
        statements = card_read_statements(run, function)
        expect_equal("the statements about cards", len(statements), 1)
        attributes = [name for name in attributes_of(statements[0]) if name in item]
        forbidden = next(name for name in item if name not in attributes)
        with role(run, f"like-{function}", statements) as session:
            client = run.client("dynamodb", session=session)

            def read(*names: str) -> Any:
                projection = {
                    "ProjectionExpression": ", ".join(f"#{name}" for name in names),
                    "ExpressionAttributeNames": {f"#{name}": name for name in names},
                }
                return client.get_item(
                    TableName=run.stack.required("cards_table"),
                    Key=marshal(card_key(token)),
                    **(projection if names else {}),
                )

            wait_for(
                f"reading {', '.join(attributes)}",
                lambda: unless_denied(lambda: read(*attributes)),
                timeout_seconds=PROPAGATION_SECONDS,
            )
            expect_denied("a read without a projection", read)
            expect_denied(f"a read of {forbidden}", lambda: read(*attributes, forbidden))

    return check


def administrator_decrypts(run: Run) -> None:
    """Try to decrypt the ciphertext of a stored card; a made-up one might be rejected for another reason."""
    token, item = store_card(run)
    kms = run.client("kms")
    # Use the key's id: for an alias, the emulator looks for the alias in the policy, but AWS looks for the key.
    key_id = kms.describe_key(KeyId=f"alias/{run.stack.prefix}-card")["KeyMetadata"]["KeyId"]
    expect_denied(
        "an administrator's kms:Decrypt",
        lambda: kms.decrypt(KeyId=key_id, CiphertextBlob=item["ciphertext"]["B"], EncryptionContext={"token": token}),
    )


STEPS = [
    Step("permissions", "a role without rights calls the API", without_rights),
    *(
        Step(
            "permissions",
            f"GetItem without a projection, under the statements of {function}",
            without_projection(function),
        )
        for function in ("cards", "encrypt", "tokenize")
    ),
    Step("permissions", "an administrator decrypts a stored card", administrator_decrypts),
]
