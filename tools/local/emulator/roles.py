"""Service roles: on AWS a service must assume a role before it acts; in MiniStack 1.5.33 it acts without one.

API Gateway (an integration's `credentials`) and Step Functions (a state machine's `roleArn`) act with a session of the
role, whose trust policy must allow the service to assume it ("IAM roles for services", IAM user guide). MiniStack's own
evaluator then decides what the session may do, as for any caller.

A function acts with its execution role. This module also gives functions secret credentials, since those from MiniStack
could be derived from the function's name.
"""

import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

from ministack.core import iam_evaluator
from ministack.services import iam, sts

_SALT = secrets.token_bytes(32)
_SESSION_SECONDS = 3600


class RoleNotAssumable(Exception):
    """There is no such role, or its trust policy does not let the service assume it."""


@dataclass(frozen=True)
class Session:
    """Temporary credentials of an assumed role."""

    arn: str
    access_key_id: str
    secret_access_key: str
    session_token: str


def assume(role_arn: str, service: str, session_name: str, source_arn: str) -> Session:
    """Open a session of the role for a service (`states.amazonaws.com`) that acts for a resource (`aws:SourceArn`).

    Raises RoleNotAssumable.
    """
    account_id, _, name = role_arn.removeprefix("arn:aws:iam::").partition(":role/")
    name = name.rsplit("/", 1)[-1]
    role: dict[str, Any] | None = iam._roles.get_scoped(account_id, None, name) if name else None
    if role is None or not _trusts(role, service, account_id, source_arn):
        raise RoleNotAssumable(f"{service} can't assume {role_arn}")
    return _session(
        f"arn:aws:sts::{account_id}:assumed-role/{name}/{session_name}",
        UserId=f"{role.get('RoleId', name)}:{session_name}",
        Expiration=time.time() + _SESSION_SECONDS,
        AccountId=account_id,
        PrincipalType="AssumedRole",
    )


def execution_credentials(config: dict[str, Any]) -> dict[str, str]:
    """Return the variables with a function's credentials, which are valid as long as its execution environment."""
    account_id = config["FunctionArn"].split(":")[4]
    role_name, name = config.get("Role", "").rsplit("/", 1)[-1], config.get("FunctionName", "")[:64]
    session = _session(f"arn:aws:sts::{account_id}:assumed-role/{role_name}/{name}", UserId=f"{role_name}:{name}")
    return {
        "AWS_ACCESS_KEY_ID": session.access_key_id,
        "AWS_SECRET_ACCESS_KEY": session.secret_access_key,
        "AWS_SESSION_TOKEN": session.session_token,
    }


def _session(arn: str, **fields: Any) -> Session:
    """Register the ARN's only session again. Calls are many, so they share a session, and a reset deletes it."""
    digest = hmac.new(_SALT, arn.encode(), hashlib.sha512).hexdigest()
    session = Session(arn, f"ASIA{digest[:16].upper()}", digest[16:56], digest[56:])
    session_secrets = {"SecretAccessKey": session.secret_access_key, "SessionToken": session.session_token}
    sts.register_session(session.access_key_id, {"Arn": arn, **session_secrets, **fields})
    return session


def _trusts(role: dict[str, Any], service: str, account_id: str, source_arn: str) -> bool:
    document = role.get("AssumeRolePolicyDocument") or {}
    if isinstance(document, str):
        document = json.loads(document)
    context = iam_evaluator.EvalContext(
        principal_arn="",
        principal_type="Service",
        principal_account=account_id,
        action="sts:AssumeRole",
        resource_arn=role.get("Arn", ""),
        region="",
        service_context={"aws:sourceaccount": account_id, "aws:sourcearn": source_arn},
    )
    return bool(iam_evaluator.evaluate_resource_policy(document, context, service=service).decision == "Allow")
