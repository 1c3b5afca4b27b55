"""The account's role for API Gateway's logs, which MiniStack 1.5.33 neither checks nor requires.

AWS does ("Set up CloudWatch logging for REST APIs", API Gateway developer guide): UpdateAccount refuses a role that
API Gateway can't assume, an empty ARN removes the role, and without a role no stage can have logs.
"""

import functools
import json
from typing import Any

from ministack.core.responses import get_account_id
from ministack.services import apigateway_v1

from tools.local.emulator import roles

UNUSABLE_ROLE = (
    "The role ARN does not have required permissions configured. "
    "Please grant trust permission for API Gateway and add the required role policy."
)
LOGS_WITHOUT_ROLE = "CloudWatch Logs role ARN must be set in account settings to enable logging"


def install() -> None:
    """Make MiniStack check the role when it is set, and require one when a stage is to have logs."""
    update_account = apigateway_v1._update_account
    update_stage = apigateway_v1._update_stage

    @functools.wraps(update_account)
    def update(data: dict[str, Any]) -> Any:
        for operation in data.get("patchOperations", []):
            if operation.get("path") == "/cloudwatchRoleArn":
                operation["value"] = operation.get("value") or None
                if operation["value"] and not _can_assume(operation["value"]):
                    return apigateway_v1._v1_error("BadRequestException", UNUSABLE_ROLE, 400)
        return update_account(data)

    @functools.wraps(update_stage)
    def change_stage(api_id: str, stage_name: str, data: dict[str, Any]) -> Any:
        wants_logs = any(
            operation.get("path") == "/accessLogSettings/destinationArn" and operation.get("value")
            for operation in data.get("patchOperations", [])
        )
        if wants_logs and not json.loads(apigateway_v1._get_account()[2]).get("cloudwatchRoleArn"):
            return apigateway_v1._v1_error("BadRequestException", LOGS_WITHOUT_ROLE, 400)
        return update_stage(api_id, stage_name, data)

    apigateway_v1._update_account = update
    apigateway_v1._update_stage = change_stage


def _can_assume(role_arn: str) -> bool:
    try:
        roles.assume(role_arn, "apigateway.amazonaws.com", "CloudWatchLogs", f"arn:aws:apigateway:::{get_account_id()}")
    except roles.RoleNotAssumable:
        return False
    return True
