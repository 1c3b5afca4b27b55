"""Policy evaluation that MiniStack 1.5.33 lacks: some condition keys, and the state machine's own role.

- "AWS KMS condition keys" (KMS developer guide): `kms:EncryptionContext:<key>`, `kms:EncryptionContextKeys`,
  `kms:EncryptionAlgorithm`, `kms:MacAlgorithm`, from the request. `kms:ViaService` is absent, as for every call that a
  principal makes itself (MiniStack's services don't call KMS on a caller's behalf).
- "Using IAM policy conditions for fine-grained access control" (DynamoDB developer guide): `dynamodb:LeadingKeys`, the
  partition keys that a request names (a Scan names none), and `dynamodb:ReturnValues`.
- "Authorization for versions and aliases" (Step Functions developer guide): asked for is the state machine's own ARN;
  the version or alias is `states:StateMachineQualifier`.
- "AWS global condition context keys" (IAM user guide): `aws:PrincipalArn` of a role's session is the role's ARN.
  `aws:SecureTransport` says whether a request came over TLS. It is true here, where nothing leaves the machine.
- "How Step Functions works with IAM": a Task calls its function under the state machine's role. Without
  `lambda:InvokeFunction` on that function the task fails with `Lambda.AWSLambdaException`, seen on AWS (aws-deployment-
  framework issue 460: Error `Lambda.AWSLambdaException`, Cause "… is not authorized to perform: lambda:InvokeFunction …
  Error Code: AccessDeniedException"), so the Retry that names it applies.
"""

import contextvars
import functools
import json
import re
from collections.abc import Iterator
from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_region
from ministack.services import dynamodb, lambda_svc, stepfunctions

from local.emulator import roles

current_execution: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar(
    "state_machine_execution", default=None
)


def install() -> None:
    """Add the keys to what MiniStack evaluates, and the evaluation to Step Functions' calls of functions."""
    request_tag_context = iam_actions.request_tag_context
    extract_resource_arn = iam_actions.extract_resource_arn
    dynamodb_service_context = iam_actions.dynamodb_service_context
    resolve_condition_key = iam_evaluator._resolve_condition_key
    run_execution = stepfunctions._run_execution
    call_lambda = stepfunctions._call_lambda

    @functools.wraps(request_tag_context)
    def context_of(service: str, iam_action: str, body: bytes, params: dict[str, Any]) -> dict[str, Any]:
        context: dict[str, Any] = request_tag_context(service, iam_action, body, params)
        if service == "kms":
            context |= kms_context(iam_action, _parse(body))
        if service == "states" and (qualifier := _qualified(_parse(body).get("stateMachineArn"))[1]):
            context["states:StateMachineQualifier"] = qualifier
        return context

    @functools.wraps(extract_resource_arn)
    def resource_arn_of(service: str, *request: Any) -> Any:
        arn = extract_resource_arn(service, *request)
        return _qualified(arn)[0] if service == "states" else arn

    @functools.wraps(dynamodb_service_context)
    def dynamodb_context(body: bytes) -> dict[str, Any]:
        context: dict[str, Any] = dynamodb_service_context(body)
        request = _parse(body)
        if isinstance(request.get("ReturnValues"), str):
            context["dynamodb:ReturnValues"] = request["ReturnValues"]
        if keys := sorted(set(leading_keys(request))):
            context["dynamodb:LeadingKeys"] = keys
        return context

    @functools.wraps(run_execution)
    def run(execution_arn: str) -> None:
        current_execution.set(stepfunctions._executions.get(execution_arn))
        run_execution(execution_arn)

    @functools.wraps(call_lambda)
    def call(function_ref: str, event: object) -> Any:
        execution = current_execution.get()
        if execution is not None:
            _authorize(execution, function_ref)
        return call_lambda(function_ref, event)

    @functools.wraps(resolve_condition_key)
    def resolve(key: str, context: Any) -> Any:
        if key.lower() == "aws:securetransport":
            return "true"
        value = resolve_condition_key(key, context)
        return role_of_session(value) if key.lower() == "aws:principalarn" else value

    iam_evaluator._resolve_condition_key = resolve
    iam_actions.request_tag_context = context_of
    iam_actions.extract_resource_arn = resource_arn_of
    iam_actions.dynamodb_service_context = dynamodb_context
    stepfunctions._run_execution = run
    stepfunctions._call_lambda = call


def role_of_session(principal_arn: str) -> str:
    """The ARN that aws:PrincipalArn has on AWS: for a role's session, the role's (its path is left out here)."""
    session = re.fullmatch(r"arn:([^:]+):sts::([0-9]+):assumed-role/([^/]+)/.*", principal_arn or "")
    return f"arn:{session[1]}:iam::{session[2]}:role/{session[3]}" if session else principal_arn


def _parse(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _qualified(arn: object) -> tuple[object, str | None]:
    """A state machine's own ARN, and the version or alias that was named with it."""
    parts = arn.split(":") if isinstance(arn, str) else []
    return (":".join(parts[:7]), parts[7]) if len(parts) == 8 and parts[5] == "stateMachine" else (arn, None)


def kms_context(iam_action: str, request: dict[str, Any]) -> dict[str, Any]:
    """The KMS condition keys of a request; those that don't apply are absent."""
    context: dict[str, Any] = {}
    encryption_context = request.get("EncryptionContext")
    if isinstance(encryption_context, dict) and encryption_context:
        context["kms:EncryptionContextKeys"] = list(encryption_context)
        context.update({f"kms:EncryptionContext:{key}": value for key, value in encryption_context.items()})
    if iam_action in ("kms:Encrypt", "kms:Decrypt"):
        context["kms:EncryptionAlgorithm"] = request.get("EncryptionAlgorithm", "SYMMETRIC_DEFAULT")
    if isinstance(request.get("MacAlgorithm"), str):
        context["kms:MacAlgorithm"] = request["MacAlgorithm"]
    return context


# -- dynamodb:LeadingKeys -------------------------------------------------------------------------------------------


def leading_keys(request: dict[str, Any]) -> Iterator[str]:
    """The partition keys that a DynamoDB request names, in any of its forms, transactions and batches included."""
    for item in request.get("TransactItems") or []:
        for operation in item.values():
            yield from _leading_keys_of_item(operation.get("TableName", ""), operation)
    for table, items in (request.get("RequestItems") or {}).items():
        for item in items if isinstance(items, list) else [{"Key": key} for key in items.get("Keys", [])]:
            yield from _leading_keys_of_item(table, item.get("PutRequest") or item.get("DeleteRequest") or item)
    yield from _leading_keys_of_item(request.get("TableName", ""), request)


def _leading_keys_of_item(table_name: str, operation: dict[str, Any]) -> Iterator[str]:
    name = _partition_key(table_name, operation.get("IndexName"))
    if name is None:
        return
    for attributes in (operation.get("Key"), operation.get("Item")):
        if attributes and name in attributes:
            yield _plain(attributes[name])
    condition = operation.get("KeyConditionExpression")
    if condition:
        names = operation.get("ExpressionAttributeNames") or {}
        values = operation.get("ExpressionAttributeValues") or {}
        for attribute, placeholder in re.findall(r"([#\w.-]+)\s*=\s*(:\w+)", condition):
            if names.get(attribute, attribute) == name and placeholder in values:
                yield _plain(values[placeholder])
    for value in (operation.get("KeyConditions") or {}).get(name, {}).get("AttributeValueList", []):
        yield _plain(value)


def _partition_key(table_name: str, index_name: str | None) -> str | None:
    table = dynamodb._tables.get(table_name.rsplit("/", 1)[-1]) or {}
    indexes = [*(table.get("GlobalSecondaryIndexes") or []), *(table.get("LocalSecondaryIndexes") or [])]
    schema = next(
        (index["KeySchema"] for index in indexes if index["IndexName"] == index_name), table.get("KeySchema") or []
    )
    return next((key["AttributeName"] for key in schema if key["KeyType"] == "HASH"), None)


def _plain(value: dict[str, Any]) -> str:
    return str(next(iter(value.values())))


# -- The state machine's role ---------------------------------------------------------------------------------------


def _authorize(execution: dict[str, Any], function_ref: str) -> None:
    """Raise the error that a task ends with when the execution's role may not call the function."""
    machine = stepfunctions._state_machines.get(execution["stateMachineArn"])
    function, config, name = lambda_svc._get_func_record_for_ref(function_ref)
    if not function or not config:
        return  # MiniStack's own error says that there is no such function
    arn = function_ref if function_ref.startswith("arn:") else config.get("FunctionArn", name)
    try:
        session = roles.assume(
            machine["roleArn"], "states.amazonaws.com", machine["name"][:64], execution["stateMachineArn"]
        )
    except roles.RoleNotAssumable as error:
        raise stepfunctions._ExecutionError("Lambda.AWSLambdaException", str(error)) from error
    denied = iam_evaluator.enforce(session.access_key_id, "lambda:InvokeFunction", "lambda", get_region(), arn)
    if denied:
        explicit = getattr(denied, "decision", "") == "Deny"
        reason = iam_actions.identity_denial_message("lambda:InvokeFunction", session.arn, arn, explicit)
        raise stepfunctions._ExecutionError(
            "Lambda.AWSLambdaException",
            f"{reason} (Service: AWSLambda; Status Code: 403; Error Code: AccessDeniedException)",
        )
