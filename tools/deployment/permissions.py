"""List who may do what, from Terraform's state, so that a wider permission shows in review.

`make permissions` writes `docs/permissions.yaml`; a test compares it with what is deployed.
"""

import json
from typing import Any

import yaml

from tools.deployment.paths import DOCS
from tools.deployment.rewritings import REWRITINGS, Right
from tools.deployment.terraform import Terraform

PERMISSIONS_FILE = DOCS / "permissions.yaml"
_HEADING = (
    "# Who may do what. `make permissions` writes this from Terraform's state: don't edit it, review how it changes.\n"
)

# Each right of `tools/deployment/rewritings.py` as a policy has it: the action, its resource, and the items' keys.
_RIGHTS: dict[Right, tuple[str, ...]] = {
    "write payments": ("dynamodb:PutItem", "aws_dynamodb_table.ledger", "PAYMENT#*"),
    "write days": ("dynamodb:PutItem", "aws_dynamodb_table.ledger", "CLOSE#*"),
    "seal": ("kms:GenerateMac", 'aws_kms_key.this["books"]'),
    "delete": ("dynamodb:DeleteItem", "aws_dynamodb_table.ledger"),
    "write anchors": ("s3:PutObject", "aws_s3_bucket.anchors"),
    "hide anchors": ("s3:DeleteObject", "aws_s3_bucket.anchors"),
}

Resources = dict[str, dict[str, Any]]


def permissions(terraform: Terraform) -> str:
    """The policies of a deployed stack's roles, keys, queues, topics, buckets and functions as YAML, by address."""
    resources = terraform.deployed()
    reader = _PolicyReader(resources)
    inline = _of_type(resources, "aws_iam_role_policy")
    managed = _of_type(resources, "aws_iam_role_policy_attachment")
    document: dict[str, Any] = {
        "roles": {
            address: {
                "assumed by": reader.statements(role["assume_role_policy"]),
                "may": {
                    sid: statement
                    for policy in inline.values()
                    if policy["role"] == role["id"]
                    for sid, statement in reader.statements(policy["policy"]).items()
                },
                "managed policies": [
                    attachment["policy_arn"] for attachment in managed.values() if attachment["role"] == role["name"]
                ],
            }
            for address, role in _of_type(resources, "aws_iam_role").items()
        },
        "keys": {
            address: reader.statements(key["policy"]) for address, key in _of_type(resources, "aws_kms_key").items()
        },
        "topics, queues and buckets": {
            address: reader.statements(policy["policy"])
            for kind in ("aws_sns_topic_policy", "aws_sqs_queue", "aws_s3_bucket_policy")
            for address, policy in _of_type(resources, kind).items()
            if policy["policy"]
        },
        "auditors": {
            address: reader.statements(policy["policy"])
            for address, policy in _of_type(resources, "aws_iam_policy").items()
            if address == "aws_iam_policy.auditor"
        },
        "functions": {
            address: f"{permission['principal']} may {permission['action']} for "
            f"{reader.with_addresses(permission['source_arn'])}"
            for address, permission in _of_type(resources, "aws_lambda_permission").items()
        },
    }
    document["how the ledger could be rewritten"] = _rewriting_report(document["roles"])
    return _HEADING + yaml.safe_dump(document, width=120)


def _rewriting_report(roles: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The ways to rewrite the ledger: the rights each takes, which roles have them, and which check would find it."""
    roles_by_right = {
        right: {address for address, role in roles.items() if _allows(role["may"], *policy)}
        for right, policy in _RIGHTS.items()
    }
    return {
        rewriting.what: {
            "takes": list(rewriting.takes),
            "roles that could": sorted(set.intersection(*(roles_by_right[right] for right in rewriting.takes))),
            "found by": rewriting.found_by,
        }
        for rewriting in REWRITINGS
    }


def _allows(may: dict[str, Any], action: str, resource: str, keys: str = "") -> bool:
    """Whether a statement allows the action, on items with these keys if any are given."""
    return any(
        action in statement["actions"]
        and any(each.startswith(resource) for each in statement["resources"])
        and (not keys or any(keys in condition for condition in statement.get("conditions", [])))
        for statement in may.values()
    )


def _of_type(resources: Resources, kind: str) -> Resources:
    return {address: values for address, values in resources.items() if address.startswith(f"{kind}.")}


class _PolicyReader:
    """Reads policies. Replaces ARNs, which differ between deployments, with Terraform addresses."""

    def __init__(self, resources: Resources) -> None:
        arns: dict[str, str] = {}
        for address, values in resources.items():
            if address.startswith("aws_cloudwatch_event_target."):
                continue  # it has the ARN of what it calls
            for arn in filter(None, (values.get("arn"), values.get("execution_arn"))):
                arns.setdefault(arn, address)  # a secret's version has the secret's ARN
            if stream := values.get("stream_arn"):
                arns[stream] = f"{address}/stream"  # whose ARN has the time of its making
        _, _, _, region, account, *_ = resources["aws_dynamodb_table.ledger"]["arn"].split(":")
        # The longest first, as one ARN may be the beginning of another.
        self._names = [(arn, arns[arn]) for arn in sorted(arns, key=len, reverse=True)]
        self._names += [(account, "ACCOUNT"), (region, "REGION")]

    def with_addresses(self, text: str) -> str:
        for value, name in self._names:
            text = text.replace(value, name)
        return text

    def statements(self, policy: str) -> dict[str, dict[str, list[str]]]:
        """`{sid: {"denied", "actions", "resources", "all resources but", "principals", "conditions"}}`, without what is
        empty.

        A statement with the effect Deny lists its actions under "denied".
        """
        return {statement["Sid"]: self._statement(statement) for statement in json.loads(policy)["Statement"]}

    def _statement(self, statement: dict[str, Any]) -> dict[str, list[str]]:
        principals = statement.get("Principal", {})
        if principals == "*":
            principals = {"anybody": "*"}
        conditions = statement.get("Condition", {})
        parts = {
            "actions" if statement["Effect"] == "Allow" else "denied": _as_list(statement["Action"]),
            "resources": _as_list(statement.get("Resource", [])),
            "all resources but": _as_list(statement.get("NotResource", [])),
            "principals": [f"{kind} {name}" for kind, names in principals.items() for name in _as_list(names)],
            "conditions": [
                f"{test} {variable}: {' or '.join(sorted(map(self.with_addresses, _as_list(values))))}"
                for test, tested in conditions.items()
                for variable, values in tested.items()
            ],
        }
        return {part: sorted(map(self.with_addresses, texts)) for part, texts in parts.items() if texts}


def _as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
