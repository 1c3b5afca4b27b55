"""The third-party checks of `make lint`, each on something that it must find."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflow.definition import PAYMENT
from tools.deployment.paths import ROOT

TERRAFORM = ROOT / "terraform"
CHECKOV = ROOT / ".venv-checkov" / "bin" / "checkov"

BAD_TERRAFORM = """
variable "deletion_protection" {
  default = true
}

resource "aws_api_gateway_method" "open" {
  authorization = "NONE"
}

resource "aws_api_gateway_method" "signed" {
  authorization = "AWS_IAM"
}

resource "aws_api_gateway_method_settings" "tracing" {
  settings {
    data_trace_enabled = true
  }
}

resource "aws_api_gateway_method_settings" "quiet" {
  settings {
    data_trace_enabled = false
  }
}

resource "aws_api_gateway_stage" "traced" {
  xray_tracing_enabled = true
}

resource "aws_api_gateway_stage" "untraced" {
  xray_tracing_enabled = false
}

resource "aws_api_gateway_integration" "by_default" {
  type = "AWS"
}

resource "aws_api_gateway_integration" "when_no_match" {
  type                 = "MOCK"
  passthrough_behavior = "WHEN_NO_MATCH"
}

resource "aws_api_gateway_integration" "never" {
  type                 = "AWS"
  passthrough_behavior = "NEVER"
}

resource "aws_api_gateway_integration" "proxy" {
  type = "AWS_PROXY"
}

resource "aws_dynamodb_table" "by_variable" {
  deletion_protection_enabled = var.deletion_protection
}

resource "aws_dynamodb_table" "protected" {
  deletion_protection_enabled = true
}

resource "aws_sfn_state_machine" "telling" {
  logging_configuration {
    level                  = "ALL"
    include_execution_data = true
  }
}

resource "aws_sfn_state_machine" "silent" {
}

resource "aws_sfn_state_machine" "discreet" {
  logging_configuration {
    level                  = "ALL"
    include_execution_data = false
  }
}
"""


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


class TestTerraform:
    def test_each_of_our_own_checks_fails_on_its_example_and_on_nothing_else(self, tmp_path: Path) -> None:
        assert CHECKOV.exists(), "make test-all sets up checkov's own environment"
        (tmp_path / "main.tf").write_text(BAD_TERRAFORM)
        process = run(
            *(CHECKOV, "--output", "json", "--skip-download", "--framework", "terraform", "--directory", tmp_path),
            # With deletion_protection = false, unlike the variable's default.
            *("--var-file", TERRAFORM / "environments" / "dev.tfvars"),
            *("--external-checks-dir", TERRAFORM / "checks", "--check", "CKV2_PAYMENTS_*"),
        )
        results = {
            outcome: {(check["check_id"], check["resource"]) for check in checks}
            for outcome, checks in json.loads(process.stdout)["results"].items()
            if outcome in ("passed_checks", "failed_checks")
        }
        assert results == {
            "failed_checks": {
                ("CKV2_PAYMENTS_1", "aws_api_gateway_method.open"),
                ("CKV2_PAYMENTS_2", "aws_api_gateway_method_settings.tracing"),
                ("CKV2_PAYMENTS_3", "aws_api_gateway_integration.by_default"),
                ("CKV2_PAYMENTS_3", "aws_api_gateway_integration.when_no_match"),
                ("CKV2_PAYMENTS_4", "aws_dynamodb_table.by_variable"),
                ("CKV2_PAYMENTS_5", "aws_sfn_state_machine.silent"),
                ("CKV2_PAYMENTS_5", "aws_sfn_state_machine.telling"),
                ("CKV2_PAYMENTS_6", "aws_api_gateway_stage.traced"),
            },
            "passed_checks": {
                ("CKV2_PAYMENTS_1", "aws_api_gateway_method.signed"),
                ("CKV2_PAYMENTS_2", "aws_api_gateway_method_settings.quiet"),
                ("CKV2_PAYMENTS_3", "aws_api_gateway_integration.never"),
                ("CKV2_PAYMENTS_3", "aws_api_gateway_integration.proxy"),
                ("CKV2_PAYMENTS_4", "aws_dynamodb_table.protected"),
                ("CKV2_PAYMENTS_5", "aws_sfn_state_machine.discreet"),
                ("CKV2_PAYMENTS_6", "aws_api_gateway_stage.untraced"),
            },
        }
        assert process.returncode == 1
        checks = {file: re.search(r"id: (\w+)", file.read_text()) for file in TERRAFORM.glob("checks/*")}
        assert {match and match[1] for match in checks.values()} == {check for check, _ in results["failed_checks"]}

    def test_every_skipped_check_says_why(self) -> None:
        skips = [
            line.strip()
            for file in TERRAFORM.rglob("*.tf")
            for line in file.read_text().splitlines()
            if "checkov:" in line
        ]
        assert skips
        assert [skip for skip in skips if not re.fullmatch(r"#checkov:skip=CKV2?_[A-Z]+_\d+:\w.{20,}", skip)] == []


def next_state_unknown(definition: dict[str, Any]) -> None:
    definition["States"]["Charge"]["Next"] = "Nowhere"


def catching_state_unknown(definition: dict[str, Any]) -> None:
    definition["States"]["Charge"]["Catch"][0]["Next"] = "Nowhere"


def state_unreachable(definition: dict[str, Any]) -> None:
    definition["States"]["Charge"]["Catch"][0]["Next"] = "Compensate"


def field_misspelt(definition: dict[str, Any]) -> None:
    task = definition["States"]["Charge"]
    task["TimeoutSecond"] = task.pop("TimeoutSeconds")


def retry_field_misspelt(definition: dict[str, Any]) -> None:
    retry = definition["States"]["Charge"]["Retry"][0]
    retry["MaxAttempt"] = retry.pop("MaxAttempts")


def path_malformed(definition: dict[str, Any]) -> None:
    definition["States"]["Charge"]["Parameters"]["token.$"] = "card.token"


class TestStateMachine:
    @pytest.mark.parametrize(
        ("spoil", "complaint"),
        [
            (next_state_unknown, 'No state found named "Nowhere"'),
            (catching_state_unknown, 'No state found named "Nowhere"'),
            (state_unreachable, "No transition found to state State Machine.AwaitCustomer"),
            (field_misspelt, 'Field "TimeoutSecond" not allowed in State Machine.States.Charge'),
            (retry_field_misspelt, 'Field "MaxAttempt" not allowed in State Machine.States.Charge.Retry[0]'),
            (path_malformed, 'Field "token.$" of Parameters'),
        ],
    )
    def test_a_mistake_in_the_definition_is_found(
        self, tmp_path: Path, spoil: Callable[[dict[str, Any]], None], complaint: str
    ) -> None:
        definition = json.loads(json.dumps(PAYMENT))
        spoil(definition)
        (tmp_path / "spoilt.asl.json").write_text(json.dumps(definition))
        process = run(sys.executable, "-m", "statelint", "--ignore", "URI,FLOAT", tmp_path / "spoilt.asl.json")
        assert process.returncode == 1
        assert complaint in process.stdout


class TestOpenApi:
    @pytest.mark.parametrize(
        ("written", "misspelt", "complaint"),
        [
            ("schemas/AmountMinor", "schemas/AmountMajor", "AmountMajor"),
            ("in: path", "in: query", "Path parameter 'payment_id'"),
            ("operationId: getCard", "operationId: getKeys", "Operation ID 'getKeys'"),
        ],
    )
    def test_a_mistake_in_a_description_is_found(
        self, tmp_path: Path, written: str, misspelt: str, complaint: str
    ) -> None:
        text = (ROOT / "docs" / "openapi.yaml").read_text()
        assert written in text
        (tmp_path / "openapi.yaml").write_text(text.replace(written, misspelt))
        process = run(Path(sys.executable).with_name("openapi-spec-validator"), tmp_path / "openapi.yaml")
        assert process.returncode != 0
        assert complaint in process.stdout


class TestSecrets:
    @staticmethod
    def command() -> list[str | Path]:
        """What runs before a commit. `make lint` runs the same (test_habits.py)."""
        [repository] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
        [entry] = [hook["entry"] for hook in repository["hooks"] if hook["id"] == "secrets"]
        program, *options = entry.split()
        return [ROOT / program, *options]

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            # In two parts, so that this file contains no such text.
            ("notes.md", "the key is AKIA" + "Q7ZT" * 4),
            ("prod.tfvars", 'gateway_keys = { sparkle = "' + 'f0Jx7Qp2Vn9LrT4wKs6YbH1c" }'),
            ("key.pem", "-----BEGIN RSA " + "PRIVATE KEY-----\n"),
            ("client.py", 'password = "' + 'correct-horse"\n'),
            ("call.py", 'signed = sign(key="AKIA' + "Q7ZT" * 4 + '")\n'),
        ],
        ids=["aws_key", "random_string", "private_key", "password", "aws_key_of_a_call"],
    )
    def test_a_planted_secret_is_found(self, tmp_path: Path, name: str, text: str) -> None:
        (tmp_path / name).write_text(text)
        process = run(*self.command(), tmp_path / name)
        assert process.returncode == 1
        assert f"{name}:1" in process.stdout


def test_production_has_a_firewall() -> None:
    production = (TERRAFORM / "environments" / "prod.tfvars").read_text()
    assert re.search(r"^api_firewall += \{", production, re.MULTILINE)
