"""Velocity in a Java process, one for all tests."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.mapping_templates import Message

PROGRAM = Path(__file__).parent / "Render.java"
JARS = [
    Path("/usr/share/java") / f"{name}.jar" for name in ("velocity", "commons-collections3", "commons-lang", "gson")
]
"""The jars of Debian's packages velocity and libgoogle-gson-java."""
QUICKLY = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xms256m")
"""With little compiling, and with more memory than garbage. It ends after some seconds."""


class Job(NamedTuple):
    template: str
    message: Message
    absent: str | None = ""


class Rendered(NamedTuple):
    """The result of a template: its text and `$context.responseOverride`, both None if it failed."""

    text: str | None
    override: dict[str, Any] | None


Velocity = Callable[[Job], Rendered]


@pytest.fixture(scope="session")
def velocity() -> Iterator[Velocity]:
    if not shutil.which("javac") or not all(jar.is_file() for jar in JARS):
        pytest.skip("No Velocity. Install Debian's packages velocity, libgoogle-gson-java and default-jdk-headless.")
    command = ["java", *QUICKLY, "-cp", ":".join(map(str, JARS)), str(PROGRAM)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        requests, answers = process.stdin, process.stdout
        assert requests
        assert answers

        def rendered(job: Job) -> Rendered:
            variables: dict[str, Any] = {"context": job.message.context, "stageVariables": {}}
            request = {"template": job.template, "absent": job.absent} | variables | asdict(job.message)
            print(json.dumps(request), file=requests, flush=True)
            answer = json.loads(answers.readline())
            if "error" in answer:
                return Rendered(None, None)
            return Rendered(answer["text"], answer["context"]["responseOverride"])

        yield rendered
