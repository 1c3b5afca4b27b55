"""API Gateway's log role of an account: another deployment's role stays in place."""

from dataclasses import dataclass, field
from typing import Any

import boto3
import moto
import pytest

from tools.deployment.log_role import ADDRESS, keep_other_log_role
from tools.deployment.stack import StackError

OWN_ROLE = "payments-test-api-logs"


@dataclass
class Gateway:
    role: str | None

    def get_account(self) -> dict[str, Any]:
        return {"cloudwatchRoleArn": f"arn:aws:iam::123456789012:role/{self.role}"} if self.role else {}


@dataclass
class FakeTerraform:
    """Terraform in an account whose API Gateway has this role."""

    role: str | None
    manages: bool = True
    forgotten: list[str] = field(default_factory=list)

    def evaluate(self, expression: str) -> Any:
        assert "var.manage_api_gateway_account" in expression
        return [self.manages, OWN_ROLE, "eu-west-1"]

    def client(self, service: str, region: str) -> Any:
        return Gateway(self.role) if service == "apigateway" else boto3.client(service, region_name=region)  # type: ignore[call-overload]

    def forget(self, address: str) -> bool:
        self.forgotten.append(address)
        return True

    def respect(self, *, destroying: bool = False) -> list[str]:
        """The progress messages."""
        messages: list[str] = []
        keep_other_log_role(self, messages.append, destroying=destroying)  # type: ignore[arg-type]
        return messages


@pytest.fixture(autouse=True)
def roles(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with moto.mock_aws():
        for name in (OWN_ROLE, "another"):
            boto3.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")
        yield


@pytest.mark.parametrize("destroying", [False, True])
@pytest.mark.parametrize("role", [None, OWN_ROLE, "gone"])
def test_no_role_our_own_and_one_that_is_gone_are_terraforms_business(role: str | None, destroying: bool) -> None:
    terraform = FakeTerraform(role)
    assert terraform.respect(destroying=destroying) == []
    assert terraform.forgotten == []


def test_a_deployment_that_would_displace_another_s_role_is_refused() -> None:
    terraform = FakeTerraform("another")
    with pytest.raises(StackError, match=r"role/another, the role of another deployment.*manage_api_gateway_account"):
        terraform.respect()
    assert terraform.forgotten == []


@pytest.mark.parametrize(("manages", "destroying"), [(False, False), (False, True), (True, True)])
def test_another_s_role_stays_when_ours_goes(manages: bool, destroying: bool) -> None:
    terraform = FakeTerraform("another", manages=manages)
    (message,) = terraform.respect(destroying=destroying)
    assert "goes on writing logs with arn:aws:iam::123456789012:role/another" in message
    assert terraform.forgotten == [ADDRESS]
