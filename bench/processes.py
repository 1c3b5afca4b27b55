"""Measures each function's process on its own: its start, its memory, a warm call, and the size of its packages."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench.measure import Row, Samples, Section, Target, interleaved
from client import CardData
from tools.deployment.build import Target as Platform
from tools.deployment.build import build, runtime_client
from tools.deployment.paths import BUILD, ROOT
from tools.deployment.stack import Stack
from tools.local.emulator.search_path import search_path
from tools.trials.events import FUNCTION_EVENTS
from tools.trials.invoke import Invocations

HOME = BUILD / "bench"

CLIENTS = {
    "anchor": ("dynamodb", "kms", "s3"),
    "await_customer": ("dynamodb", "kms", "secretsmanager", "requests"),
    "cards": ("dynamodb",),
    "charge": ("dynamodb", "kms", "secretsmanager", "requests"),
    "compensate": ("dynamodb", "kms", "secretsmanager", "requests"),
    "confirm": ("dynamodb", "secretsmanager", "requests"),
    "deliver": ("dynamodb", "secretsmanager", "sqs", "requests"),
    "doubts": ("dynamodb", "stepfunctions"),
    "encrypt": ("dynamodb", "kms"),
    "follow_event": ("dynamodb", "kms", "secretsmanager", "stepfunctions", "requests"),
    "issue_key": ("dynamodb", "kms"),
    "keep": ("dynamodb",),
    "perform": ("dynamodb", "secretsmanager", "requests"),
    "persist": ("dynamodb", "kms"),
    "publish": ("dynamodb", "events"),
    "receive_event": ("secretsmanager", "sqs"),
    "reconcile": ("dynamodb", "kms", "secretsmanager", "stepfunctions", "requests"),
    "reserve": ("dynamodb", "kms", "secretsmanager", "stepfunctions", "requests"),
    "resolve": ("dynamodb", "kms", "secretsmanager", "stepfunctions", "requests"),
    "resume": ("dynamodb", "secretsmanager", "stepfunctions", "requests"),
    "screen": ("dynamodb",),
    "search": ("dynamodb",),
    "settle": ("dynamodb", "kms"),
    "status": ("dynamodb", "stepfunctions"),
    "tokenize": ("dynamodb", "kms"),
    "verify": ("dynamodb", "kms", "secretsmanager", "requests"),
}
"""The clients that each function makes when it starts: of AWS services, and `requests`, with which it calls a gateway
or a webhook's endpoint."""

CALLED = [function for function in CLIENTS if function != "anchor"]
"""The functions that are also called. Anchor's next call would go on after the last day that it has anchored, so no two
of its calls are alike."""

MIB = 1024 * 1024


@dataclass(frozen=True)
class Processes:
    """Starts processes like those of the functions, with the deployed packages."""

    stack: Stack

    @cached_property
    def packages(self) -> Path:
        return build(Platform.host())

    @cached_property
    def _code(self) -> Path:
        return self._unpack("functions.zip")

    @cached_property
    def _path(self) -> str:
        """The emulator's search path, then this repository for `bench.process`."""
        layer = self._unpack("layer.zip")
        deployed_path = search_path(str(self._code), [str(layer)], str(runtime_client()))
        return os.pathsep.join([deployed_path, str(ROOT)])

    def _unpack(self, package: str) -> Path:
        folder = HOME / Path(package).stem
        shutil.rmtree(folder, ignore_errors=True)
        with zipfile.ZipFile(self.packages / package) as archive:
            archive.extractall(folder)
        return folder

    def environment(self, function: str) -> dict[str, str]:
        """Return the environment that the emulator gives the deployed function, with credentials of its role."""
        name = self.stack.function_name(function)
        deployed = self.stack.client("lambda").get_function_configuration(FunctionName=name)
        return {
            **deployed["Environment"]["Variables"],
            **self._role_credentials(name),
            "AWS_DEFAULT_REGION": self.stack.region,
            "AWS_ENDPOINT_URL": self.stack.aws_endpoint_url or "",
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_REGION": self.stack.region,
            "HOME": tempfile.gettempdir(),
            "LANG": "en_US.UTF-8",
            "PYTHONPATH": self._path,
            # As on AWS, where the packages' folders are read-only: each process compiles modules without bytecode anew.
            "PYTHONDONTWRITEBYTECODE": "1",
            "TZ": ":UTC",
        }

    def _role_credentials(self, role_name: str) -> dict[str, str]:
        """Get credentials of a role. It trusts only AWS services, so let it trust the operator for a moment."""
        iam, sts = self.stack.client("iam"), self.stack.client("sts")
        role = iam.get_role(RoleName=role_name)["Role"]
        trust, operator = role["AssumeRolePolicyDocument"], {"AWS": sts.get_caller_identity()["Arn"]}
        operator_statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": operator}
        widened = json.dumps(trust | {"Statement": [*trust["Statement"], operator_statement]})
        iam.update_assume_role_policy(RoleName=role_name, PolicyDocument=widened)
        try:
            key = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="bench")["Credentials"]
        finally:
            iam.update_assume_role_policy(RoleName=role_name, PolicyDocument=json.dumps(trust))
        return {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
            "AWS_SESSION_TOKEN": key["SessionToken"],
        }

    def run(self, environment: dict[str, str], *arguments: str) -> tuple[float, float]:
        """Run the process, and return its wall and CPU seconds."""
        command = [sys.executable, "-S", "-m", "bench.process", *arguments]
        with tempfile.TemporaryFile() as errors:
            started = time.perf_counter()
            process = subprocess.Popen(
                command, cwd=self._code, env=environment, stdout=subprocess.DEVNULL, stderr=errors
            )
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                errors.seek(0)
                raise RuntimeError(f"bench.process {' '.join(arguments)} failed:\n{errors.read().decode()}")
        return wall, usage.ru_utime + usage.ru_stime

    def task(self, function: str) -> Path:
        """Record one call of the function on the stack, with a sealed card as in production; return the task's file."""
        event = Invocations(self.stack).event(FUNCTION_EVENTS / f"{function}.json")
        if "card_data" in event.get("request", {}):
            card = CardData(**event["request"]["card_data"])
            event["request"]["card_data"] = self.stack.payments_client().seal(card, event["payment_id"])
        HOME.mkdir(parents=True, exist_ok=True)
        file = HOME / f"{function}.json"
        file.write_text(json.dumps({"function": function, "clients": CLIENTS[function], "event": event}))
        self.run(self.environment(function), "record", str(file))
        return file


def cold_starts(processes: Processes, functions: Sequence[str], rounds: int) -> Section:
    rows = []
    for function in functions:
        environment = processes.environment(function)
        starts = ("function", function), ("floor", *CLIENTS[function])
        # The first round only loads the files into the page cache. The others start from different depths of the stack.
        measurements = [
            [processes.run(environment, "cold", str(12 * depth), *start) for start in starts]
            for depth in (0, *range(rounds))
        ][1:]
        for n, clock in enumerate(("wall", "CPU")):
            measured, floor = (
                Samples(tuple(1000 * each[which][n] for each in measurements)) for which, _ in enumerate(starts)
            )
            rows.append(Row(f"{function} {clock}", "ms", measured, floor, Target("ratio", 1.2)))
    return Section(
        "Cold start",
        "a process that imports boto3, and requests if it asks the gateway, and makes the same clients",
        rows,
        notes=(
            "A fresh process each time, from another depth of the stack: the interpreter's start, the handler's "
            "import, and all that is made with it: its clients, its contract's check, the rules.",
        ),
    )


def memory(processes: Processes, tasks: dict[str, Path], rounds: int) -> Section:
    rows = []
    for function, task in tasks.items():
        environment = processes.environment(function)

        def peak(which: str, environment: dict[str, str] = environment, task: Path = task) -> float:
            processes.run(environment, "memory", which, str(task))
            return float(json.loads(Path(f"{task}.memory").read_text())) / MIB

        measured, floor = interleaved(rounds, lambda: peak("function"), lambda: peak("floor"))
        rows.append(Row(function, "MiB", measured, floor, Target("ratio", 1.15)))
    return Section(
        "Peak memory",
        "such a process, which makes the same calls",
        rows,
        notes=("Resident, after one call, AWS and the gateway answering at once.",),
    )


def warm_calls(processes: Processes, tasks: dict[str, Path], rounds: int) -> Section:
    rows = []
    for function, task in tasks.items():
        processes.run(processes.environment(function), "warm", str(task), str(rounds), str(max(5, rounds // 10)))
        measured, floor = (
            Samples(tuple(1000 * seconds for seconds in durations))
            for durations in json.loads(Path(f"{task}.warm").read_text())
        )
        rows.append(Row(function, "ms", measured, floor, Target("difference", 1)))
    return Section(
        "Warm call",
        "the bare boto3 and requests calls that it makes, with the same answers",
        rows,
        notes=("In one process, AWS and the gateway answering at once; the log and the metrics included.",),
    )


def sizes(packages: Path) -> Section:
    """Measure the sizes of the packages as unpacked on AWS."""
    by_package: dict[str, int] = {}
    with zipfile.ZipFile(packages / "layer.zip") as layer:
        for entry in layer.infolist():
            name = entry.filename.split("/")[1].split("-")[0].removesuffix(".py")
            by_package[name] = by_package.get(name, 0) + entry.file_size
    with zipfile.ZipFile(packages / "functions.zip") as functions:
        functions_size = sum(entry.file_size for entry in functions.infolist())
    sdk = {"boto3", "botocore", "jmespath", "s3transfer"}
    listed_separately = sdk | {"cryptography"}
    sdk_size = sum(by_package[name] for name in sdk)
    rest_size = sum(size for name, size in by_package.items() if name not in listed_separately)
    largest = sorted(by_package.items(), key=lambda item: -item[1])[:8]

    def row(what: str, size: float, target: Target | None = None) -> Row:
        return Row(what, "MB", Samples((size / 1_000_000,)), None, target)

    return Section(
        "Size, unpacked",
        "nothing: the target is absolute",
        [
            row("all but boto3 and cryptography", functions_size + rest_size, Target("value", 20)),
            row("the functions' zip", functions_size),
            row("boto3, with botocore, s3transfer and jmespath", sdk_size),
            row("cryptography", by_package.get("cryptography", 0)),
            row("the layer as a zip", (packages / "layer.zip").stat().st_size),
        ],
        notes=("The largest: " + ", ".join(f"{name} {size / 1_000_000:.1f} MB" for name, size in largest) + ".",),
    )
