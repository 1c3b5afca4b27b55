import json
from pathlib import Path

import pytest

from cli import terraform
from cli.terraform import Terraform, TerraformError, find_mirror


def unpacked(prefix: Path) -> Path:
    """A mirror below the prefix, as people unpack one."""
    mirror = prefix / "tf-plugins"
    provider = mirror / "registry.example" / "hashicorp" / "aws" / "5.100.0" / "linux_amd64"
    provider.mkdir(parents=True)
    (provider / "terraform-provider-aws_v5.100.0_x5").touch()
    return mirror


def test_a_mirror_that_is_given_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TERRAFORM_PLUGIN_DIR", str(tmp_path))
    assert find_mirror() == tmp_path


def test_a_mirror_under_a_usual_prefix_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TERRAFORM_PLUGIN_DIR", raising=False)
    monkeypatch.setattr(terraform, "_MIRROR_PREFIXES", [tmp_path])
    assert find_mirror() is None
    mirror = unpacked(tmp_path)
    assert find_mirror() == mirror


def test_a_missing_terraform_gets_a_message_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TerraformError, match="Install Terraform"):
        Terraform("local", state=tmp_path / "terraform.tfstate").init()


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_an_environment_has_a_file_of_variables(name: str) -> None:
    assert Terraform.on_aws(name).name == name


@pytest.mark.parametrize(
    "name", ["", "nowhere", "../environments/dev", "dev.tfvars", "-help", "dev\n", "dev; touch x", "*"]
)
def test_no_other_environment_is_taken_for_one(name: str) -> None:
    with pytest.raises(TerraformError, match="terraform/environments has: dev"):
        Terraform.on_aws(name)


def test_a_resource_that_is_forgotten_is_no_longer_in_the_state(tmp_path: Path) -> None:
    managed = Terraform("local", state=tmp_path / "terraform.tfstate")
    managed.init()
    topic = {
        "mode": "managed",
        "type": "aws_sns_topic",
        "name": "it",
        "provider": 'provider["registry.example/hashicorp/aws"]',
        "instances": [{"index_key": 0, "schema_version": 0, "attributes": {"id": "it"}}],
    }
    state = {"version": 4, "terraform_version": "1.9.0", "serial": 1, "lineage": "it", "resources": [topic]}
    (tmp_path / "terraform.tfstate").write_text(json.dumps(state))
    assert [managed.forget("aws_sns_topic.it") for _ in range(2)] == [True, False]
    assert json.loads((tmp_path / "terraform.tfstate").read_text())["resources"] == []


def test_nothing_is_forgotten_where_nothing_was_deployed(tmp_path: Path) -> None:
    (tmp_path / "terraform.tfstate").touch()
    assert not Terraform("local", state=tmp_path / "terraform.tfstate").forget("aws_sns_topic.it")
