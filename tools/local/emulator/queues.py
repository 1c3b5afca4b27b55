"""Event source mappings of queues: Lambda takes messages under the function's role, which MiniStack 1.5.33 doesn't ask.

"Creating and configuring an Amazon SQS event source mapping" (Lambda developer guide): the execution role needs
`sqs:ReceiveMessage`, `sqs:DeleteMessage` and `sqs:GetQueueAttributes`; and for an encrypted queue `kms:Decrypt`
("Configuring an Amazon SQS queue to trigger an AWS Lambda function", SQS developer guide). Without them no message
arrives.
"""

import functools
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_region
from ministack.services import lambda_svc

from tools.local.emulator import roles
from tools.local.emulator.iam import REQUEST

ACTIONS = ("sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:DeleteMessage")


def install() -> None:
    """Check the role's permissions before each batch; without them, the messages stay in the queue."""
    run_sqs_batch = lambda_svc._run_sqs_batch

    @functools.wraps(run_sqs_batch)
    def run(esm: dict[str, Any], function: dict[str, Any], *rest: Any) -> None:
        credentials = roles.execution_credentials(function["config"])
        queue = esm["EventSourceArn"]
        request: dict[str, dict[str, str]] = {REQUEST: {}}
        denied = [
            action
            for action in ACTIONS
            if iam_evaluator.enforce(credentials["AWS_ACCESS_KEY_ID"], action, "sqs", get_region(), queue, request)
        ]
        if denied:
            lambda_svc.logger.warning("ESM: the role of %s may not %s", esm["FunctionName"], ", ".join(denied))
        else:
            run_sqs_batch(esm, function, *rest)

    lambda_svc._run_sqs_batch = run
