"""The functions' environments are what Lambda takes, and what the functions read."""

import json
import re

from tests.aws_facts import facts
from tests.mocked_terraform import Mocked
from tests.unit.terraform.conftest import environment
from tools.deployment.paths import TERRAFORM

BYTES_AT_MOST = facts("lambda_environment")["bytes_at_most"]


def test_terraform_refuses_what_lambda_would() -> None:
    limits = re.findall(r"length\(jsonencode\(local\.environments.+ <= (\d+)", (TERRAFORM / "lambda.tf").read_text())
    assert limits == [str(BYTES_AT_MOST)]


def test_deliver_finds_each_queue_and_its_dead_letters_by_their_names(deployments: dict[str, Mocked]) -> None:
    deployed = deployments["otherwise"]
    arns = json.loads(environment(deployed, "deliver")["WEBHOOKS"])
    queues = {arn.rpartition(":")[2] for arn in arns}
    assert len(queues) == 10
    named = {values["name"] for values in deployed.of_type("aws_sqs_queue").values() if "-webhook-" in values["name"]}
    assert named == queues | {f"{queue}-dead-letters" for queue in queues}
