import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tools.cli.__main__ import app
from tools.deployment import terraform
from tools.deployment.terraform import Terraform, TerraformError, find_mirror
from tools.output import ExitCode


def unpacked(prefix: Path) -> Path:
    """A mirror below the prefix, as commonly unpacked."""
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
        Terraform("local", home=tmp_path).init()


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
    managed = Terraform("local", home=tmp_path)
    managed.init()
    topic = {
        "mode": "managed",
        "type": "aws_sns_topic",
        "name": "it",
        "provider": 'provider["registry.example/hashicorp/aws"]',
        "instances": [{"index_key": 0, "schema_version": 0, "attributes": {"id": "it"}}],
    }
    state = {"version": 4, "terraform_version": "1.9.0", "serial": 1, "lineage": "it", "resources": [topic]}
    file = tmp_path / "configuration" / "terraform" / "terraform.tfstate"
    file.write_text(json.dumps(state))
    assert [managed.deployed(kind) for kind in ("aws_sns_topic", "aws_sqs_queue")] == [
        {"aws_sns_topic.it[0]": {"id": "it"}},
        {},
    ]
    assert [managed.forget("aws_sns_topic.it") for _ in range(2)] == [True, False]
    assert json.loads(file.read_text())["resources"] == []


def test_nothing_is_forgotten_where_nothing_was_deployed(tmp_path: Path) -> None:
    managed = Terraform("local", home=tmp_path)
    managed.init()
    assert not managed.forget("aws_sns_topic.it")
    assert managed.deployed("aws_sns_topic") == {}


def test_a_local_stack_has_its_own_backend_and_the_files_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = tmp_path / "terraform"
    for folder in ("api", "environments"):
        (configuration / folder).mkdir(parents=True)
    (configuration / "environments" / "local.tfvars").touch()
    in_s3 = (
        'terraform {\n  backend "s3" {\n    bucket = "of-the-team"\n    key = "it"\n    region = "eu-west-1"\n  }\n}\n'
    )
    (configuration / "backend.tf").write_text(in_s3)
    (configuration / "terraform.tfvars").write_text("this is = for AWS")
    (configuration / "first.tf").write_text('output "first" {\n  value = 1\n}\n')
    monkeypatch.setattr(terraform, "TERRAFORM", configuration)
    local = Terraform("local", home=tmp_path / "home")
    local.init()
    local.apply()
    assert local.outputs() == {"first": 1}
    (configuration / "first.tf").rename(configuration / "second.tf")
    (configuration / "second.tf").write_text('output "second" {\n  value = 2\n}\n')
    local.apply()
    assert local.outputs() == {"second": 2}
    assert not list(configuration.glob("*tfstate*"))


def fake_terraform(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a shell script named `terraform` on the PATH."""
    program = folder / "terraform"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def reporting(folder: Path) -> tuple[Terraform, list[str]]:
    """A Terraform, and all that its progress shows: an empty text when that is closed."""
    messages: list[str] = []

    @contextmanager
    def progress(first: str) -> Iterator[Callable[[str], None]]:
        messages.append(first)
        yield messages.append
        messages.append("")

    return Terraform("local", home=folder, progress=progress), messages


def test_initialising_says_what_it_is_doing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ("Initializing provider plugins...", "- Installing hashicorp/aws v6.14.1...", "", "You may now begin")
    fake_terraform(tmp_path, monkeypatch, "\n".join(f"echo '{line}'" for line in lines))
    terraform, messages = reporting(tmp_path)
    terraform.init()
    steps = ("Initializing provider plugins", "Installing hashicorp/aws v6.14.1")
    assert messages == ["Initialising Terraform", *(f"Initialising Terraform: {step}" for step in steps), ""]


@pytest.mark.parametrize("change", [Terraform.apply, Terraform.destroy])
def test_what_terraform_shows_itself_is_not_shown_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[..., None]
) -> None:
    fake_terraform(tmp_path, monkeypatch, "exit 0")
    terraform, messages = reporting(tmp_path)
    change(terraform, show=True)
    assert messages == []


def test_an_apply_that_shows_nothing_says_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (
        "Plan: 2 to add, 1 to change, 0 to destroy.",
        "aws_kms_key.this: Creating...",
        "aws_kms_key.this: Still creating... [10s elapsed]",
        "aws_kms_key.this: Creation complete after 11s [id=1]",
        "aws_sns_topic.it: Modifications complete after 0s [id=2]",
    )
    fake_terraform(tmp_path, monkeypatch, "\n".join(f"echo '{line}'" for line in lines))
    terraform, messages = reporting(tmp_path)
    terraform.apply()
    counted = [f"Deploying with Terraform: {count} of 3 resources" for count in (1, 2)]
    assert messages == ["Deploying with Terraform", *counted, ""]
    terraform.destroy()
    assert messages[4] == "Destroying with Terraform"


def test_a_terraform_that_answers_nothing_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_terraform(tmp_path, monkeypatch, "true")
    with pytest.raises(TerraformError, match="gave no answer"):
        Terraform("local", home=tmp_path).evaluate("var.region")


@pytest.mark.parametrize(("home", "hashed"), [("stack", False), (None, True)])
def test_the_provider_is_hashed_before_each_command_for_aws_but_not_for_the_emulator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str | None, hashed: bool
) -> None:
    before = 'provider "aws" {\n  version = "5.100.0"\n'
    lock = before + '  hashes = [\n    "h1:one=",\n    "zh:two",\n  ]\n}\n'
    fake_terraform(tmp_path, monkeypatch, f"printf '%s' '{lock}' > \"${{1#-chdir=}}/.terraform.lock.hcl\"")
    (tmp_path / "terraform.d").mkdir()
    monkeypatch.setattr(terraform, "TERRAFORM", tmp_path / "terraform.d")
    monkeypatch.setattr(terraform, "BUILD", tmp_path)
    Terraform("local", home=tmp_path / home if home else None).init()
    [lock_file] = tmp_path.rglob(".terraform.lock.hcl")
    assert lock_file.read_text() == (lock if hashed else before + "}\n")


@pytest.mark.parametrize(("level", "shown"), [(None, False), ("TRACE", True)])
def test_the_provider_logs_only_if_logs_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str | None, shown: bool
) -> None:
    for name in [name for name in os.environ if name.startswith("TF_LOG")]:
        monkeypatch.delenv(name)
    if level:
        monkeypatch.setenv("TF_LOG", level)
    fake_terraform(tmp_path, monkeypatch, f"env > {tmp_path / 'environment'}")
    Terraform("local", home=tmp_path).apply()
    quiet = {"TF_LOG_SDK=ERROR", "TF_LOG_PROVIDER_AWS=ERROR"}
    assert quiet.isdisjoint((tmp_path / "environment").read_text().splitlines()) is shown


@pytest.mark.parametrize("show", [True, False])
def test_ctrl_c_lets_terraform_write_its_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, show: bool) -> None:
    started, written = tmp_path / "begun", tmp_path / "written"
    # It has started for us half a second later, when we surely wait for it.
    begin = f"trap 'sleep 1; touch {written}; exit 1' INT; sleep 0.5; touch {started}"
    fake_terraform(tmp_path, monkeypatch, f"{begin}; while true; do sleep 0.1; done")
    apply = f"""
import signal
from pathlib import Path
from tools.deployment.terraform import Terraform
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's children ignore it
Terraform("local", home=Path({str(tmp_path)!r})).apply(show={show})
"""
    command = subprocess.Popen([sys.executable, "-c", apply], start_new_session=True, stderr=subprocess.DEVNULL)  # noqa: S603
    while not started.exists():
        assert command.poll() is None
    os.killpg(command.pid, signal.SIGINT)
    assert command.wait(timeout=20) != 0
    assert written.exists()


def test_without_good_credentials_nothing_is_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    fake_terraform(tmp_path, monkeypatch, "echo 'You can apply this plan'")
    result = CliRunner().invoke(app, ["plan", "dev"])
    assert result.exit_code == ExitCode.FAILED
    assert result.stdout == ""
    assert "AWS credentials are missing or not valid" in result.stderr
