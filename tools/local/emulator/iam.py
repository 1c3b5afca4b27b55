"""Policy evaluation that MiniStack 1.5.33 lacks: some condition keys, and the state machine's own role.

- "Single-valued vs. multivalued context keys" (IAM user guide): "Multivalued context keys require a condition set
  operator." A key's type makes it multivalued, not the number of values in a request. So a multivalued key is always a
  list here, and a condition on it is false without `ForAnyValue:` or `ForAllValues:`.
- "AWS KMS condition keys" (KMS developer guide): `kms:EncryptionContext:<key>`, `kms:EncryptionContextKeys`,
  `kms:EncryptionAlgorithm`, `kms:MacAlgorithm` and `kms:CallerAccount` come from the request. `kms:ViaService` is
  absent, as in every call that a principal makes itself; `encryption.py` makes the calls of services for a principal.
- "Using IAM policy conditions for fine-grained access control" (DynamoDB developer guide): `dynamodb:LeadingKeys` are
  the partition keys that a request names (a Scan names none). `dynamodb:Attributes` are all attributes that it names,
  including the key's, so even a request for whole items has some. Every read has `dynamodb:Select`, and every write of
  one item has `dynamodb:ReturnValues`, even if the request does not set them.
- "Authorization for versions and aliases" (Step Functions developer guide): the resource is the state machine's own
  ARN; the version or alias is `states:StateMachineQualifier`.
- "AWS global condition context keys" (IAM user guide): the `aws:PrincipalArn` of a role's session is the role's ARN.
  `aws:SecureTransport` says whether a request came over TLS. It is true here, where nothing leaves the machine.
- "How API Gateway resource policies affect authorization workflow" (API Gateway developer guide), Table A: in the API's
  own account, an Allow in either policy suffices. This holds for any principal in the API's policy, even the account.
- "How Step Functions works with IAM": a Task calls its function under the state machine's role. Without
  `lambda:InvokeFunction` on that function the task fails with `Lambda.AWSLambdaException`, as seen on AWS (aws-
  deployment-framework issue 460: Error `Lambda.AWSLambdaException`, Cause "… is not authorized to perform:
  lambda:InvokeFunction … Error Code: AccessDeniedException"), so a Retry that names this error applies.
"""

import contextvars
import functools
import json
import re
from collections.abc import Iterator
from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import dynamodb, lambda_svc, stepfunctions

from tools.local.emulator import roles

current_execution: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar(
    "state_machine_execution", default=None
)


REQUEST = "emulator:Request"
"""The key of the request itself in a check's context, for `encryption.py`. No policy can refer to it."""

_READS = {"GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"}
_WRITES_OF_ONE_ITEM = {"PutItem", "UpdateItem", "DeleteItem"}


def install() -> None:
    """Add the condition keys to MiniStack's evaluation, and check permissions when Step Functions calls a function."""
    request_tag_context = iam_actions.request_tag_context
    extract_resource_arn = iam_actions.extract_resource_arn
    resolve_condition_key = iam_evaluator._resolve_condition_key
    evaluate_single_condition = iam_evaluator._evaluate_single_condition
    combine_resource_policy = iam_evaluator.combine_resource_policy
    parse_policy_document = iam_evaluator.parse_policy_document
    parse_text = functools.lru_cache(maxsize=1024)(parse_policy_document)
    run_execution = stepfunctions._run_execution
    call_lambda = stepfunctions._call_lambda

    @functools.wraps(request_tag_context)
    def context_of(service: str, iam_action: str, body: bytes, params: dict[str, Any]) -> dict[str, Any]:
        context: dict[str, Any] = request_tag_context(service, iam_action, body, params)
        request = _parse(body)
        context[REQUEST] = request
        if service == "kms":
            context |= kms_context(iam_action, request)
        if service == "dynamodb":
            context |= dynamodb_context(iam_action, request)
        if service == "states" and (qualifier := _qualified(request.get("stateMachineArn"))[1]):
            context["states:StateMachineQualifier"] = [qualifier]
        return context

    @functools.wraps(extract_resource_arn)
    def resource_arn_of(service: str, *request: Any) -> Any:
        arn = extract_resource_arn(service, *request)
        return _qualified(arn)[0] if service == "states" else arn

    @functools.wraps(evaluate_single_condition)
    def evaluate(operator: str, actual: Any, expected: list[str]) -> bool:
        is_set_operator = operator.lower().startswith(("foranyvalue:", "forallvalues:", "null"))
        if isinstance(actual, list) and not is_set_operator:
            return False
        return bool(evaluate_single_condition(operator, actual, expected))

    @functools.wraps(combine_resource_policy)
    def combine(identity: Any, context: Any, policy: Any, owner: Any, *rest: Any, **options: Any) -> Any:
        if (
            context.action == "execute-api:Invoke"
            and identity.decision != "Deny"
            and owner == context.principal_account
        ):
            resource = iam_evaluator.evaluate_resource_policy(policy, context)
            if resource.decision == "Allow":
                return resource
        return combine_resource_policy(identity, context, policy, owner, *rest, **options)

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

    @functools.wraps(parse_policy_document)
    def parse(document: str | dict[str, Any]) -> Any:
        """Parse each text once: every request is judged by several."""
        return parse_text(document) if isinstance(document, str) else parse_policy_document(document)

    iam_evaluator.parse_policy_document = parse
    iam_evaluator._resolve_condition_key = resolve
    iam_evaluator._evaluate_single_condition = evaluate
    iam_evaluator.combine_resource_policy = combine
    iam_actions.request_tag_context = context_of
    iam_actions.extract_resource_arn = resource_arn_of
    # MiniStack's own function does not know the action, so `dynamodb_context` replaces it.
    iam_actions.dynamodb_service_context = lambda _: {}
    stepfunctions._run_execution = run
    stepfunctions._call_lambda = call


def role_of_session(principal_arn: str) -> str:
    """Return the ARN that aws:PrincipalArn has on AWS: for a role's session the role's ARN, here without its path."""
    session = re.fullmatch(r"arn:([^:]+):sts::([0-9]+):assumed-role/([^/]+)/.*", principal_arn or "")
    return f"arn:{session[1]}:iam::{session[2]}:role/{session[3]}" if session else principal_arn


def _parse(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _qualified(arn: object) -> tuple[object, str | None]:
    """Split an ARN into the state machine's own ARN and the version or alias, if it has one."""
    parts = arn.split(":") if isinstance(arn, str) else []
    return (":".join(parts[:7]), parts[7]) if len(parts) == 8 and parts[5] == "stateMachine" else (arn, None)


def kms_context(iam_action: str, request: dict[str, Any]) -> dict[str, Any]:
    """Return the KMS condition keys that apply to a request."""
    context: dict[str, Any] = {"kms:CallerAccount": get_account_id()}
    encryption_context = request.get("EncryptionContext")
    if isinstance(encryption_context, dict) and encryption_context:
        context["kms:EncryptionContextKeys"] = list(encryption_context)
        context.update({f"kms:EncryptionContext:{key}": value for key, value in encryption_context.items()})
    if iam_action in ("kms:Encrypt", "kms:Decrypt"):
        context["kms:EncryptionAlgorithm"] = request.get("EncryptionAlgorithm", "SYMMETRIC_DEFAULT")
    if isinstance(request.get("MacAlgorithm"), str):
        context["kms:MacAlgorithm"] = request["MacAlgorithm"]
    return context


# -- DynamoDB -------------------------------------------------------------------------------------------------------

_EQUALITY = re.compile(r"([#\w.-]+)\s*=\s*(:\w+)")
# An attribute at the start of a path; neither a placeholder for a value nor a function.
_NAME = re.compile(r"(?<![\w.:#])(?:#\w+|[A-Za-z_]\w*)\b(?!\s*\()")
_KEYWORDS = {"ADD", "AND", "BETWEEN", "DELETE", "IN", "NOT", "OR", "REMOVE", "SET"}


def dynamodb_context(iam_action: str, request: dict[str, Any]) -> dict[str, Any]:
    """Return the DynamoDB condition keys of a request, which may be a transaction or a batch."""
    operation = iam_action.partition(":")[2]
    parts = list(_parts(request))
    lists = {
        "dynamodb:LeadingKeys": sorted({key for table, part in parts for key in _leading_keys(table, part)}),
        "dynamodb:Attributes": sorted({name for _, part in parts for name in _attributes(part)}),
    }
    context: dict[str, Any] = {key: values for key, values in lists.items() if values}
    if operation in _READS:
        projected = all(part.get("ProjectionExpression") or part.get("AttributesToGet") for _, part in parts)
        context["dynamodb:Select"] = request.get("Select", "SPECIFIC_ATTRIBUTES" if projected else "ALL_ATTRIBUTES")
    if operation in _WRITES_OF_ONE_ITEM:
        context["dynamodb:ReturnValues"] = request.get("ReturnValues", "NONE")
    return context


def _parts(request: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each part of the request with its table: `(table, {"Key" or "Item": …, "ProjectionExpression": …})`."""
    for item in request.get("TransactItems") or []:
        for part in item.values():
            yield part.get("TableName", ""), part
    for table, items in (request.get("RequestItems") or {}).items():
        if isinstance(items, list):
            for item in items:
                yield table, item.get("PutRequest") or item.get("DeleteRequest") or {}
        else:
            for key in items.get("Keys", []):
                yield table, items | {"Key": key}
    if "TableName" in request:
        yield request["TableName"], request


def _attributes(part: dict[str, Any]) -> Iterator[str]:
    names = part.get("ExpressionAttributeNames") or {}
    for attributes in (part.get("Key"), part.get("Item"), part.get("AttributesToGet")):
        yield from attributes or ()
    for member, text in part.items():
        if member.endswith("Expression") and isinstance(text, str):
            names_used = (name for name in _NAME.findall(text) if name.upper() not in _KEYWORDS)
            yield from (names.get(name, name) for name in names_used)


def _leading_keys(table_name: str, part: dict[str, Any]) -> Iterator[str]:
    name = _partition_key(table_name, part.get("IndexName"))
    if name is None:
        return
    for attributes in (part.get("Key"), part.get("Item")):
        if attributes and name in attributes:
            yield _plain(attributes[name])
    names = part.get("ExpressionAttributeNames") or {}
    values = part.get("ExpressionAttributeValues") or {}
    for attribute, placeholder in _EQUALITY.findall(part.get("KeyConditionExpression") or ""):
        if names.get(attribute, attribute) == name and placeholder in values:
            yield _plain(values[placeholder])
    for value in (part.get("KeyConditions") or {}).get(name, {}).get("AttributeValueList", []):
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
    """Raise the task's error if the execution's role may not call the function."""
    machine = stepfunctions._state_machines.get(execution["stateMachineArn"])
    function, config, name = lambda_svc._get_func_record_for_ref(function_ref)
    if not function or not config:
        return  # MiniStack then raises its own error
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
