"""The role that API Gateway writes logs with. An account has one per region, shared by all its APIs.

Terraform sets it without looking at the current one, and unsets it when the managing deployment is destroyed. So we
check first, and neither displace nor remove somebody else's role.
"""

from collections.abc import Callable

from tools.deployment.stack import StackError
from tools.deployment.terraform import Terraform

ADDRESS = "aws_api_gateway_account.this"


def keep_other_log_role(terraform: Terraform, say: Callable[[str], object], *, destroying: bool = False) -> None:
    """Leave somebody else's role in place. Raises StackError if a deployment would displace it.

    A role that no longer exists may be replaced.
    """
    expression = '[var.manage_api_gateway_account, "${local.prefix}-api-logs", var.region]'
    manages_role, own_role, region = terraform.evaluate(expression)
    current_role = terraform.client("apigateway", region).get_account().get("cloudwatchRoleArn") or ""
    name, iam = current_role.rpartition("/")[2], terraform.client("iam", region)
    if name in ("", own_role):
        return
    try:
        iam.get_role(RoleName=name)
    except iam.exceptions.NoSuchEntityException:
        return
    if manages_role and not destroying:
        raise StackError(
            f"API Gateway already writes this account's logs with {current_role}, the role of another deployment. "
            "Set manage_api_gateway_account = false here: that role serves this deployment too."
        )
    if terraform.forget(ADDRESS):
        say(f"API Gateway goes on writing logs with {current_role}, which another deployment has set.")
