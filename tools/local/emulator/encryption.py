"""Customer managed keys: AWS's services encrypt with them and call KMS for it, but MiniStack 1.5.33 does neither.

Only a caller that KMS allows to use such a key can use the data encrypted with it. KMS is called

- on the caller's behalf, with `kms:ViaService` and an encryption context that names the data (`_CALLER_ACTIONS`):
  "Data at rest encryption in Step Functions" (developer guide), "Required permissions for API callers"; "Secret
  encryption and decryption in AWS Secrets Manager" (user guide); "DynamoDB encryption at rest: usage notes" (DynamoDB
  developer guide); "Key management" (SNS and SQS developer guides);
- by a state machine's execution role, directly and therefore without `kms:ViaService`, when an execution starts (first
  of these guides). Step Functions reuses the data key for at least a minute, so this module does not ask KMS again
  while an execution runs;
- for a table by each caller once: "To avoid calling AWS KMS for every DynamoDB operation, DynamoDB caches the plaintext
  table keys for each caller in memory" ("Table key caching", in the DynamoDB developer guide's "DynamoDB encryption at
  rest: usage notes"). On AWS a policy that is changed meanwhile counts after five minutes without a call; here at once;
- by the service itself: CloudWatch Logs calls it to encrypt a log group, and CloudWatch for an alarm's topic.

The error codes are from the API reference of each service. The messages are AWS's where others recorded them.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import error_response_json, get_account_id, get_region
from ministack.services import cloudwatch, dynamodb, kms, secretsmanager, sns, sqs, stepfunctions

from tools.local.emulator import roles
from tools.local.emulator.iam import REQUEST, kms_context


@dataclass(frozen=True)
class EncryptedData:
    """Something encrypted with a key. Its data keys are bound to the encryption context."""

    key: dict[str, Any]
    context: dict[str, str]


_READ = ("kms:Decrypt",)
_WRITE = ("kms:GenerateDataKey", "kms:Decrypt")
_TABLE = ("kms:DescribeKey", "kms:CreateGrant", "kms:GenerateDataKey", "kms:Encrypt", "kms:Decrypt")

# What KMS must allow the caller to do with the key through the service.
_CALLER_ACTIONS = {
    "states:CreateStateMachine": ("kms:DescribeKey", "kms:GenerateDataKey"),
    "states:UpdateStateMachine": ("kms:DescribeKey", "kms:GenerateDataKey"),
    "states:DescribeStateMachine": _READ,
    "states:DescribeStateMachineForExecution": _READ,
    "states:DescribeExecution": _READ,
    "states:GetExecutionHistory": _READ,
    "states:StartSyncExecution": _READ,
    # The guide does not have it, but the API reference has KMS's errors for it. This is the most that it can need.
    "states:SendTaskSuccess": _WRITE,
    "secretsmanager:CreateSecret": _WRITE,
    "secretsmanager:UpdateSecret": _WRITE,
    "secretsmanager:PutSecretValue": _WRITE,
    "secretsmanager:GetSecretValue": _READ,
    "dynamodb:CreateTable": _TABLE,
    **{
        f"dynamodb:{operation}": _READ
        for operation in (
            *("GetItem", "BatchGetItem", "Query", "Scan"),
            *("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "ConditionCheckItem"),
        )
    },
    "sns:Publish": _WRITE,
    "sqs:SendMessage": _WRITE,
    "sqs:ReceiveMessage": _READ,
}
_REFUSALS = {
    "states": (
        "KmsAccessDeniedException",
        "Either your KMS key policy or API caller does not have the required permissions.",
    ),
    "secretsmanager": ("AccessDeniedException", "Access to KMS is not allowed"),
    "dynamodb": ("AccessDeniedException", "KMS key access denied"),
    "sns": ("KMSAccessDenied", "The caller may not use the topic's KMS key"),
    "sqs": ("KMS.AccessDeniedException", "The caller may not use the queue's KMS key"),
    "logs": (
        "AccessDeniedException",
        "The specified KMS key does not exist or is not allowed to be used with Arn '{}'",
    ),
}
_LOG_GROUP_ACTIONS = ("kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey")
_WITHOUT_CONTEXT = ("kms:DescribeKey", "kms:CreateGrant")
# What functions ask of KMS. It changes nobody's permissions, as other calls may.
_USES_OF_KEYS = ("kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:GenerateMac", "kms:VerifyMac")
_ALARM_ACTIONS = ("AlarmActions", "OKActions", "InsufficientDataActions")


def install() -> None:
    """Check KMS permissions once IAM allows a call, before an execution starts, and before an alarm is published."""
    enforce = iam_evaluator.enforce
    dispatch_alarm_actions = cloudwatch._dispatch_alarm_actions
    holders_of_table_keys: set[tuple[str, str, str]] = set()

    def caller_may(access_key_id: str, actions: tuple[str, ...], data: EncryptedData, via: str | None = None) -> bool:
        region, key_arn = get_region(), data.key["Arn"]
        through = {"kms:ViaService": f"{via}.{region}.amazonaws.com"} if via else {}
        return all(
            enforce(access_key_id, action, "kms", region, key_arn, _context(action, data) | through) is None
            for action in actions
        )

    def caller_may_use_table(access_key_id: str, data: EncryptedData) -> bool:
        holder = (access_key_id, data.key["Arn"], data.context["aws:dynamodb:tableName"])
        if holder not in holders_of_table_keys and caller_may(access_key_id, _READ, data, via="dynamodb"):
            holders_of_table_keys.add(holder)
        return holder in holders_of_table_keys

    @functools.wraps(enforce)
    def enforce_both(
        access_key_id: str,
        iam_action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: dict[str, Any] | None = None,
    ) -> Any:
        if service in ("iam", "kms") and iam_action not in _USES_OF_KEYS:
            holders_of_table_keys.clear()  # they may lose the permission
        context = dict(service_context or {})
        request = context.pop(REQUEST, {})
        denied = enforce(access_key_id, iam_action, service, region, resource_arn, context)
        data = None if denied else _encrypted_data(service, request, resource_arn)
        if data is None:
            return denied
        actions = _CALLER_ACTIONS.get(iam_action, ())
        if service == "logs":
            allowed = service_may(f"logs.{region}.amazonaws.com", _LOG_GROUP_ACTIONS, data)
        elif service == "dynamodb" and actions is _READ:
            allowed = caller_may_use_table(access_key_id, data)
        else:
            allowed = caller_may(access_key_id, actions, data, via=service)
        code, message = _REFUSALS[service]
        return None if allowed else iam_evaluator.AuthError(code, message.format(resource_arn))

    def checked(start_execution: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
        @functools.wraps(start_execution)
        def start(data: dict[str, Any]) -> Any:
            machine = stepfunctions._state_machines.get(
                stepfunctions._resolve_state_machine_arn(data.get("stateMachineArn", "")) or ""
            )
            encrypted = _encrypted_data("states", {}, machine["stateMachineArn"]) if machine else None
            if encrypted is not None and not execution_role_may(machine, encrypted):
                code, message = _REFUSALS["states"]
                return error_response_json(code, message)
            return start_execution(data)

        return start

    def execution_role_may(machine: dict[str, Any], data: EncryptedData) -> bool:
        try:
            session = roles.assume(
                machine["roleArn"], "states.amazonaws.com", machine["name"][:64], machine["stateMachineArn"]
            )
        except roles.RoleNotAssumable:
            return False
        return caller_may(session.access_key_id, _WRITE, data)

    @functools.wraps(dispatch_alarm_actions)
    def dispatch(alarm: dict[str, Any], *rest: Any) -> None:
        def may_publish(topic_arn: str) -> bool:
            data = _encrypted_data("sns", {}, topic_arn)
            source = {"aws:sourcearn": alarm.get("AlarmArn"), "aws:sourceaccount": get_account_id()}
            return data is None or service_may("cloudwatch.amazonaws.com", _WRITE, data, source)

        permitted = {
            actions: [arn for arn in alarm.get(actions) or [] if may_publish(arn)] for actions in _ALARM_ACTIONS
        }
        dispatch_alarm_actions(alarm | permitted, *rest)

    iam_evaluator.enforce = enforce_both
    for name in ("_start_execution", "_start_sync_execution"):
        setattr(stepfunctions, name, checked(getattr(stepfunctions, name)))
    cloudwatch._dispatch_alarm_actions = dispatch


def service_may(
    principal: str, actions: tuple[str, ...], data: EncryptedData, source: dict[str, Any] | None = None
) -> bool:
    """Return whether the key's policy allows all actions to an AWS service that acts for the given source."""
    contexts = [
        iam_evaluator.EvalContext(
            principal_arn="",
            principal_type="Service",
            principal_account=get_account_id(),
            action=action,
            resource_arn=data.key["Arn"],
            region=get_region(),
            service_context={key.lower(): value for key, value in (_context(action, data) | (source or {})).items()},
        )
        for action in actions
    ]
    policy = data.key.get("Policy")
    return all(
        iam_evaluator.evaluate_resource_policy(policy, context, service=principal).decision == "Allow"
        for context in contexts
    )


def _context(action: str, data: EncryptedData) -> dict[str, Any]:
    return kms_context(action, {} if action in _WITHOUT_CONTEXT else {"EncryptionContext": data.context})


# -- Which data are encrypted with which key ------------------------------------------------------------------------


def _encrypted_data(service: str, request: dict[str, Any], arn: str) -> EncryptedData | None:
    """Return the data that a call uses if a customer managed key encrypts it. The call itself may choose the key."""
    if service not in _FINDERS:
        return None
    key_id, context = _FINDERS[service](request, arn)
    key = kms._resolve_key(key_id)
    return EncryptedData(key, context) if key else None


def encrypted_queue(arn: str) -> EncryptedData | None:
    """The queue's messages, if a customer managed key encrypts them."""
    return _encrypted_data("sqs", {}, arn)


KeyAndContext = tuple[str | None, dict[str, str]]


def _execution_data(request: dict[str, Any], arn: str) -> KeyAndContext:
    if request.get("includedData") == "METADATA_ONLY":
        return None, {}
    waiting = stepfunctions._task_tokens.get(request.get("taskToken")) or {}
    of_execution = stepfunctions._executions.get(waiting.get("executionArn", arn)) or {}
    machine_arn = of_execution.get("stateMachineArn", arn)
    of_machine = stepfunctions._state_machines.get(machine_arn) or {}
    configurations = [data.get("encryptionConfiguration") for data in (request, of_execution, of_machine)]
    configuration: dict[str, Any] = next(filter(None, configurations), {})
    return configuration.get("kmsKeyId"), {"aws:states:stateMachineArn": machine_arn}


def _secret(request: dict[str, Any], arn: str) -> KeyAndContext:
    secret = secretsmanager._resolve(request.get("SecretId") or arn)[1] or {}
    version = (
        request.get("VersionId") or secretsmanager._find_stage_version(secret, "AWSCURRENT")[0] if secret else None
    )
    context = {"SecretARN": secret.get("ARN", arn), "SecretVersionId": version or "RequestToValidateKeyAccess"}
    return request.get("KmsKeyId") or secret.get("KmsKeyId"), context


def _table(request: dict[str, Any], arn: str) -> KeyAndContext:
    name = arn.partition(":table/")[2].partition("/")[0]
    description = (dynamodb._tables.get(name) or {}).get("SSEDescription") or {}
    key_id = (request.get("SSESpecification") or {}).get("KMSMasterKeyId") or description.get("KMSMasterKeyArn")
    return key_id, {"aws:dynamodb:tableName": name, "aws:dynamodb:subscriberId": get_account_id()}


def _topic(request: dict[str, Any], arn: str) -> KeyAndContext:
    topic = sns._topics.get(arn) or {}
    return (topic.get("attributes") or {}).get("KmsMasterKeyId"), {"aws:sns:topicArn": arn}


def _queue(request: dict[str, Any], arn: str) -> KeyAndContext:
    queue = sqs._queue_by_arn(arn) or {}
    return (queue.get("attributes") or {}).get("KmsMasterKeyId"), {"aws:sqs:arn": arn}


def _log_group(request: dict[str, Any], arn: str) -> KeyAndContext:
    return request.get("kmsKeyId"), {"aws:logs:arn": arn.removesuffix(":*")}


_FINDERS = {
    "states": _execution_data,
    "secretsmanager": _secret,
    "dynamodb": _table,
    "sns": _topic,
    "sqs": _queue,
    "logs": _log_group,
}
