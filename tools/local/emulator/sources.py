"""The permissions of event source mappings and of EventBridge's targets, which MiniStack 1.5.33 does not check.

- Event source mappings take messages and stream records under the function's role, which needs QUEUE_ACTIONS
  ("Creating and configuring an Amazon SQS event source mapping", Lambda developer guide), and for an encrypted queue
  `kms:Decrypt` ("Configuring an Amazon SQS queue to trigger an AWS Lambda function", SQS developer guide), or
  STREAM_ACTIONS ("Using AWS Lambda with Amazon DynamoDB", Lambda developer guide). Without them, nothing arrives.
- EventBridge sends to a queue only if the queue's policy allows it to that rule, and the policy of the queue's key to
  EventBridge ("Using resource-based policies for Amazon EventBridge", user guide; encryption.py).
"""

import functools
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import dynamodb, eventbridge, lambda_svc, sqs

from tools.local.emulator import roles
from tools.local.emulator.encryption import encrypted_queue, service_may
from tools.local.emulator.iam import REQUEST

QUEUE_ACTIONS = ("sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:DeleteMessage")
STREAM_ACTIONS = (
    "dynamodb:DescribeStream",
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:ListStreams",
)
_SEND_ACTIONS = ("kms:GenerateDataKey", "kms:Decrypt")
_EVENTBRIDGE = "events.amazonaws.com"


def install() -> None:
    """Check the role's permissions before each batch; without them, messages and records stay where they are. Check the
    policies of a rule's queue before each message; without them, it is lost, as on AWS a day later."""
    run_sqs_batch = lambda_svc._run_sqs_batch
    records_since = dynamodb.stream_records_since
    invoke_target = eventbridge._invoke_target

    @functools.wraps(run_sqs_batch)
    def run(esm: dict[str, Any], function: dict[str, Any], *rest: Any) -> None:
        if _role_may(esm, function["config"], QUEUE_ACTIONS):
            run_sqs_batch(esm, function, *rest)

    @functools.wraps(records_since)
    def read(table: str, position: int, limit: int, **scope: Any) -> list[dict[str, Any]]:
        records: list[dict[str, Any]] = records_since(table, position, limit, **scope)
        return records if records and all(map(_may_read, _mappings_of(table))) else []

    @functools.wraps(invoke_target)
    def send(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], *rest: Any) -> None:
        queue = sqs._queue_by_arn(target.get("Arn", ""))
        if queue is None or _may_send(rule["Arn"], target["Arn"], queue):
            invoke_target(target, event, rule, *rest)
        else:
            eventbridge.logger.warning("EventBridge: %s may not send to %s", rule["Arn"], target["Arn"])

    lambda_svc._run_sqs_batch = run
    dynamodb.stream_records_since = read
    eventbridge._invoke_target = send


def _mappings_of(table: str) -> list[dict[str, Any]]:
    return [esm for esm in lambda_svc._esms.values() if f":table/{table}/stream/" in esm.get("EventSourceArn", "")]


def _may_read(esm: dict[str, Any]) -> bool:
    _, config = lambda_svc._get_func_record_for_qualifier(esm["FunctionName"], esm.get("Qualifier"))
    return _role_may(esm, config, STREAM_ACTIONS)


def _role_may(esm: dict[str, Any], config: dict[str, Any], actions: tuple[str, ...]) -> bool:
    key, source = roles.execution_credentials(config)["AWS_ACCESS_KEY_ID"], esm["EventSourceArn"]
    request: dict[str, dict[str, str]] = {REQUEST: {}}
    service = actions[0].partition(":")[0]
    denied = [
        action for action in actions if iam_evaluator.enforce(key, action, service, get_region(), source, request)
    ]
    if denied:
        lambda_svc.logger.warning("ESM: the role of %s may not %s", esm["FunctionName"], ", ".join(denied))
    return not denied


def _may_send(rule_arn: str, queue_arn: str, queue: dict[str, Any]) -> bool:
    context = iam_evaluator.EvalContext(
        principal_arn="",
        principal_type="Service",
        principal_account=get_account_id(),
        action="sqs:SendMessage",
        resource_arn=queue_arn,
        region=get_region(),
        service_context={"aws:sourcearn": rule_arn, "aws:sourceaccount": get_account_id()},
    )
    policy = (queue.get("attributes") or {}).get("Policy")
    allowed = iam_evaluator.evaluate_resource_policy(policy, context, service=_EVENTBRIDGE).decision == "Allow"
    data = encrypted_queue(queue_arn)
    return allowed and (data is None or service_may(_EVENTBRIDGE, _SEND_ACTIONS, data))
