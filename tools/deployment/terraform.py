"""Runs Terraform, with the AWS provider from a local mirror if there is one."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from tools.deployment.paths import BUILD, ROOT, TERRAFORM
from tools.deployment.private import PRIVATE_UMASK
from tools.output import counted

# The usual folders for unpacked provider mirrors (HOST/hashicorp/aws/VERSION/PLATFORM/…), at most one level deep.
_MIRROR_PREFIXES = [Path.home() / ".terraform.d"] + [
    Path(os.sep, *parts) for parts in (("opt",), ("usr", "share"), ("usr", "local", "share"), ("var", "lib"))
]

# Terraform and its provider are large and end soon. A sixth of their time went into collecting garbage, which Go's
# variable makes rarer, and 7 % of a plan into logs that the provider writes and Terraform leaves out.
_LESS_GARBAGE_COLLECTION = {"GOGC": "400"}
_NO_LOGS_OF_THE_PROVIDER = {"TF_LOG_SDK": "ERROR", "TF_LOG_PROVIDER_AWS": "ERROR"}

# STS answers in every region, whichever the deployment is for.
_STS_REGION = "us-east-1"

# What the configuration reads: folders in its own, and those beside it.
_FOLDERS, _BESIDE = ("api", "environments"), ("build/packages", "functions", "statemachine")
_IN_A_FILE = """terraform {
  backend "local" {}
}
"""
# Terraform writes a state in S3 every twenty seconds. It would write a file after each resource: a third of its work.
_IN_S3 = """terraform {{
  backend "s3" {{
    bucket         = "{bucket}"
    key            = "terraform.tfstate"
    use_path_style = true
  }}
}}
"""

Progress = Callable[[str], AbstractContextManager[Callable[[str], object]]]
"""Shows what is being done while it is open: at first a text, then those that the callback is given."""


class TerraformError(Exception):
    """Terraform is missing or failed; the message says what to do."""


def find_mirror() -> Path | None:
    """An unpacked mirror of the AWS provider: `TERRAFORM_PLUGIN_DIR`, or else one under the usual prefixes."""
    if folder := os.environ.get("TERRAFORM_PLUGIN_DIR"):
        return Path(folder)
    for prefix in _MIRROR_PREFIXES:
        for provider in sorted(prefix.glob("*/*/hashicorp/aws/*/*/terraform-provider-aws_*")):
            return provider.parents[5]
    return None


def program() -> str:
    """Terraform's path. Raises TerraformError if it is not installed."""
    if path := shutil.which("terraform"):
        return path
    raise TerraformError("Terraform is not installed. Install Terraform 1.9 or newer, and see that it is on the PATH.")


def environment_of_terraform() -> dict[str, str]:
    """The variables of this process, with those that save Terraform work unless they are set."""
    own = {name: value for name, value in os.environ.items() if name != "TF_CLI_CONFIG_FILE"}
    logs_are_wanted = any(name.startswith("TF_LOG") for name in own)
    return {**_LESS_GARBAGE_COLLECTION, **({} if logs_are_wanted else _NO_LOGS_OF_THE_PROVIDER), **own}


def forget_hashes(folder: Path) -> None:
    """Remove the provider's hash from the lock file in a folder with Terraform's configuration.

    Every command would hash the provider, all 700 MB of it. Where it is only used with the local emulator, it is enough
    that `terraform init` has done so.
    """
    lock_file = folder / ".terraform.lock.hcl"
    if lock_file.exists():
        lock_file.write_text(re.sub(r"\n *hashes = \[[^]]*\]", "", lock_file.read_text()))


@dataclass(frozen=True, slots=True)
class Terraform:
    """The project's Terraform for one environment, with its own data folder.

    `home` is a local stack's own folder; with None Terraform runs in the repository's folder, with the backend that is
    configured there, in a workspace named like the environment. A local stack's state is in `state_bucket`, in its own
    S3, where it ends with what it describes. `environment` is added to the process environment. `progress` shows how
    far it is wherever Terraform's own output isn't shown.
    """

    name: str
    home: Path | None = None
    state_bucket: str = ""
    environment: Mapping[str, str] | None = None
    progress: Progress = lambda first: nullcontext(lambda text: None)

    @classmethod
    def on_aws(cls, name: str) -> Self:
        """Terraform for an environment that has a file of variables. Raises TerraformError."""
        environments = sorted(file.stem for file in (TERRAFORM / "environments").glob("*.tfvars"))
        if name not in environments:
            raise TerraformError(
                f"There is no environment {name!r}. terraform/environments has: {', '.join(environments)}."
            )
        return cls(name)

    def account(self) -> str:
        """The AWS account of the credentials. Raises TerraformError if there are no valid credentials.

        This is checked first, because Terraform without credentials would print an incomplete plan.
        """
        try:
            return str(self.client("sts", boto3.Session().region_name or _STS_REGION).get_caller_identity()["Account"])
        except (BotoCoreError, ClientError) as error:
            raise TerraformError(f"AWS credentials are missing or not valid: {error}") from None

    def init(self) -> str:
        """Initialise, preferably from a mirror. Returns where the provider came from."""
        mirror = find_mirror()
        self._init("-reconfigure", mirror)
        if self.home is None:
            # Each environment has a workspace, so that a deployment never takes over another's resources.
            self._run("workspace", "select", "-or-create", self.name)
        return f"the mirror {mirror}" if mirror else "the registry"

    def check(self) -> None:
        """Check that the code is formatted and valid; needs no backend and no credentials."""
        self._run("fmt", "-check", "-diff", "-recursive")
        self._init("-backend=false", find_mirror())
        self._run("validate")

    def plan(self, *arguments: str) -> None:
        self._run("plan", "-input=false", *self._var_files(), *arguments, show=True)

    def apply(self, *arguments: str, show: bool = False) -> None:
        # An apply mostly waits, and the local emulator doesn't throttle.
        at_once = ("-parallelism=40",) if self.home else ()
        self._change("apply", "Deploying with Terraform", *at_once, *arguments, show=show)

    def destroy(self, *arguments: str, show: bool = False) -> None:
        self._change("destroy", "Destroying with Terraform", *arguments, show=show)

    def _change(self, command: str, what: str, *arguments: str, show: bool) -> None:
        """Change the resources: without confirmation and with `progress`, or in Terraform's own words (`show`)."""
        options = ("-input=false", *self._var_files(), *arguments)
        if show:
            self._run(command, *options, show=True)
            return
        with self.progress(what) as say:
            self._run(command, "-auto-approve", *options, on_line=_Changed(what, say))

    def delete_workspace(self) -> None:
        """Delete the workspace, which must be empty, and this machine's files for it."""
        self._run("workspace", "select", "default")
        self._run("workspace", "delete", self.name)
        shutil.rmtree(self._home)

    def client(self, service: Any, region: str | None = None) -> Any:
        """A boto3 client for the account that Terraform deploys to, by default in the environment's region."""
        environment = {**os.environ, **(self.environment or {})}
        return boto3.client(
            service,
            region_name=region or environment.get("AWS_REGION"),
            endpoint_url=environment.get("AWS_ENDPOINT_URL"),
            aws_access_key_id=environment.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=environment.get("AWS_SECRET_ACCESS_KEY"),
            aws_session_token=environment.get("AWS_SESSION_TOKEN"),
        )

    def outputs(self) -> dict[str, Any]:
        answer = json.loads(self._run("output", "-json"))
        return {name: output["value"] for name, output in answer.items()}

    def deployed(self, type: str | None = None) -> dict[str, Any]:
        """The values of each deployed resource, of this type if one is named, by address."""

        def address(resource: Mapping[str, Any], instance: Mapping[str, Any]) -> str:
            key = f"[{json.dumps(instance['index_key'])}]" if "index_key" in instance else ""
            return f"{resource['type']}.{resource['name']}{key}"

        return {
            address(resource, instance): instance["attributes"]
            for resource in self._state()
            if resource["mode"] == "managed" and type in (None, resource["type"])
            for instance in resource["instances"]
        }

    def evaluate(self, expression: str) -> Any:
        """Evaluate an expression over the environment's variables."""
        answer = self._run("console", *self._var_files(), stdin=f"jsonencode({expression})")
        if not answer:
            raise TerraformError(f"{program()} gave no answer. Is it Terraform 1.9 or newer?")
        # Terraform prints warnings before it if the variables contain what the state lacks.
        return json.loads(json.loads(answer.splitlines()[-1]))

    def forget(self, address: str) -> bool:
        """Stop managing a resource and all its instances, without changing them. Returns whether it was managed."""
        if address not in [f"{resource['type']}.{resource['name']}" for resource in self._state()]:
            return False
        self._run("state", "rm", address)
        return True

    def _state(self) -> list[dict[str, Any]]:
        """The resources in the state, each with its instances."""
        state = self._run("state", "pull")
        resources: list[dict[str, Any]] = json.loads(state)["resources"] if state else []
        return resources

    def _init(self, option: str, mirror: Path | None) -> None:
        with self.progress("Initialising Terraform") as say:

            def show_step(line: str) -> None:
                if step := re.match(r"(?:- )?((?:Initializing|Finding|Installing|Installed|Using) .+)", line):
                    say(f"Initialising Terraform: {step[1].rstrip('.')}")

            plugin_dir = (f"-plugin-dir={mirror}",) if mirror else ()
            self._run("init", "-input=false", option, *plugin_dir, on_line=show_step)
        if self.home:
            forget_hashes(self._folder())

    @property
    def _home(self) -> Path:
        return self.home or BUILD / "terraform" / self.name

    def _folder(self) -> Path:
        """Where Terraform runs: the configuration, or a local stack's links to it.

        There an override file names the stack's own backend, whichever is configured for AWS, and no *.tfvars is read
        but the environment's.
        """
        if self.home is None:
            return TERRAFORM
        folder = self.home / "configuration" / "terraform"
        folder.mkdir(parents=True, exist_ok=True)
        links = {folder / entry.name: entry for entry in (*TERRAFORM.glob("*.tf"), *map(TERRAFORM.joinpath, _FOLDERS))}
        links |= {folder.parent / beside: ROOT / beside for beside in _BESIDE}
        for gone in {link for link in folder.iterdir() if link.is_symlink()} - links.keys():
            gone.unlink()
        for link, target in links.items():
            link.parent.mkdir(exist_ok=True)
            with suppress(FileExistsError):
                link.symlink_to(target)
        backend = _IN_S3.format(bucket=self.state_bucket) if self.state_bucket else _IN_A_FILE
        (folder / "backend_override.tf").write_text(backend)
        return folder

    @property
    def keys_file(self) -> Path:
        """The file with the keys' generations, once keys were rotated. It belongs to the environment, and so into
        version control."""
        folder = self.home or TERRAFORM / "environments"
        return folder / f"{self.name}.keys.tfvars.json"

    def _var_files(self) -> Sequence[str]:
        """The environment's own variable files, then those that commands have written, which take precedence."""
        written = sorted(self.keys_file.parent.glob(f"{self.name}.*.tfvars.json"))
        return (f"-var-file=environments/{self.name}.tfvars", *(f"-var-file={file}" for file in written))

    def _run(
        self,
        *arguments: str,
        show: bool = False,
        stdin: str = "",
        on_line: Callable[[str], object] = lambda line: None,
    ) -> str:
        """Run Terraform. Returns its output, or nothing if the output is shown. Raises TerraformError."""
        environment = {
            **environment_of_terraform(),
            **(self.environment or {}),
            "TF_DATA_DIR": str(self._home / "terraform-data"),
            "TF_IN_AUTOMATION": "1",
        }
        command = [program(), f"-chdir={self._folder()}", *arguments]
        if show:
            if _end(subprocess.Popen(command, env=environment, umask=PRIVATE_UMASK)):
                raise TerraformError(f"terraform {arguments[0]} failed: see above.")
            return ""
        plain = {"NO_COLOR": "1", "TF_CLI_ARGS": "-no-color"}
        with tempfile.TemporaryFile("w+") as input_file, tempfile.TemporaryFile("w+") as errors:
            input_file.write(stdin)
            input_file.seek(0)
            process = subprocess.Popen(
                command,
                env=environment | plain,
                stdin=input_file,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                umask=PRIVATE_UMASK,
            )
            lines: list[str] = []

            def read() -> None:
                for line in process.stdout or ():
                    lines.append(line)
                    on_line(line)

            status = _end(process, read)
            errors.seek(0)
            error_text, output = errors.read(), "".join(lines)
        if status:
            raise TerraformError(f"terraform {arguments[0]} failed:\n{(error_text or output).strip()}")
        return output


def _end(process: "subprocess.Popen[Any]", read: Callable[[], None] = lambda: None) -> int:
    """Wait until Terraform has ended, reading its output meanwhile. Returns its exit code.

    Ctrl-C reaches Terraform too, which stops by itself after saving its state. If we killed it, the state would stay
    locked, and some resources would be in no state. A second Ctrl-C makes Terraform stop at once.
    """
    try:
        read()
        return process.wait()
    except KeyboardInterrupt:
        read()
        process.wait()
        raise


class _Changed:
    """Counts the resources that were changed, by the lines that Terraform prints."""

    def __init__(self, what: str, say: Callable[[str], object]) -> None:
        self._what, self._say, self._total, self._done = what, say, 0, 0

    def __call__(self, line: str) -> None:
        if planned := re.match(r"Plan: (?:\d+ to import, )?(\d+) to add, (\d+) to change, (\d+) to destroy", line):
            self._total = sum(map(int, planned.groups()))
        elif re.search(r": (Creation|Modifications|Destruction) complete after ", line):
            self._done += 1
            self._say(f"{self._what}: {self._done} of {counted(self._total, 'resource')}")
