"""Python functions run as they do on AWS."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.unit.tools.local.emulator.conftest import Emulator, zipped
from tools.deployment.polling import wait_for

SOURCE = """
import os, sys, time
class ExpiredCard(Exception):
    pass
def handler(event, context):
    match event:
        case {"print": text}: print(text)
        case {"raise": text}: raise ExpiredCard(text)
        case {"exit": code}: os._exit(code)
        case {"sleep": seconds}: time.sleep(seconds)
        case {"describe": _}: return {"environment": dict(os.environ), "path": sys.path}
    return event
"""


@pytest.fixture(scope="module")
def function(emulator: Emulator) -> str:
    return emulator.function(
        SOURCE, Timeout=1, Environment={"Variables": {"COLOUR": "blue"}}, LoggingConfig={"LogGroup": "/own/group"}
    )


def invoke(emulator: Emulator, function: str, event: object) -> tuple[str | None, Any]:
    answer = emulator.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
    return answer.get("FunctionError"), json.loads(answer["Payload"].read())


def logged(emulator: Emulator, group: str) -> list[str]:
    pages = emulator.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
    return [event["message"] for page in pages for event in page["events"]]


def test_an_exception_is_reported_by_its_class_message_and_stack(emulator: Emulator, function: str) -> None:
    kind, error = invoke(emulator, function, {"raise": "12/25 é"})
    assert (kind, error["errorType"], error["errorMessage"]) == ("Unhandled", "ExpiredCard", "12/25 é")
    assert "functions/module.py" in error["stackTrace"][0]


def test_an_event_comes_through_unchanged(emulator: Emulator, function: str) -> None:
    event = {"name": "O'Brien 😀 \u2028", "list": [1, 2.5, None, True]}
    assert invoke(emulator, function, event) == (None, event)


def test_a_function_that_takes_too_long_is_a_sandbox_timeout(emulator: Emulator, function: str) -> None:
    kind, error = invoke(emulator, function, {"sleep": 5})
    assert (kind, error["errorType"]) == ("Unhandled", "Sandbox.Timedout")
    assert "Task timed out after 1.00 seconds" in error["errorMessage"]
    assert invoke(emulator, function, {"next": 1}) == (None, {"next": 1})


def test_a_function_that_exits_is_an_exit_error(emulator: Emulator, function: str) -> None:
    assert invoke(emulator, function, {"exit": 3})[1]["errorType"] == "Runtime.ExitError"
    assert any("Runtime exited" in line for line in logged(emulator, "/own/group"))


def test_a_module_that_does_not_import_says_so(emulator: Emulator) -> None:
    _, error = invoke(emulator, emulator.function("import missing_package"), {})
    assert error["errorType"] == "Runtime.ImportModuleError"
    assert "missing_package" in error["errorMessage"]


@pytest.mark.parametrize("fails", ["", "import missing_package"])
def test_a_published_function_starts_before_its_first_call_and_if_it_can_t_the_call_says_why(
    emulator: Emulator, tmp_path: Path, fails: str
) -> None:
    started = tmp_path / "started"
    source = f"""
open({str(started)!r}, "a").write("x")
{fails}
def handler(event, context):
    return event
"""
    function = emulator.function(source, Publish=True)
    assert wait_for(started.exists, 10)
    error, answer = invoke(emulator, f"{function}:1", {"n": 1})
    if fails:
        assert (error, answer["errorType"]) == ("Unhandled", "Runtime.ImportModuleError")
    else:
        assert (error, answer, started.read_text()) == (None, {"n": 1}, "x")


def test_what_a_function_prints_is_in_its_log_group_once_between_start_and_report(
    emulator: Emulator, function: str
) -> None:
    for number in range(20):
        invoke(emulator, function, {"print": f"line {number} é 😀"})
    lines = logged(emulator, "/own/group")
    for number in range(20):
        at = lines.index(f"line {number} é 😀")
        assert lines[at - 1].startswith("START RequestId: ")
        assert lines[at + 1].startswith("END RequestId: ")
        assert lines[at + 2].startswith("REPORT RequestId: ")
        assert lines.count(f"line {number} é 😀") == 1


def test_output_larger_than_a_pipe_does_not_block_the_function(emulator: Emulator, function: str) -> None:
    assert invoke(emulator, function, {"print": "x" * 300_000})[0] is None


def test_a_function_sees_the_documented_environment_and_nothing_of_the_emulators(
    emulator: Emulator, function: str
) -> None:
    _, description = invoke(emulator, function, {"describe": True})
    environment = description["environment"]
    assert environment["COLOUR"] == "blue"
    assert environment["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.13"
    assert environment["AWS_ENDPOINT_URL"] == emulator.url
    assert environment["AWS_LAMBDA_LOG_GROUP_NAME"] == "/own/group"
    assert environment["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    assert not {"EMULATOR_SECRET", "AUTH", "GATEWAY_PORT", "VIRTUAL_ENV"} & environment.keys()


def test_a_function_sees_its_layers_the_later_over_the_earlier_but_no_virtualenv(emulator: Emulator) -> None:
    client = emulator.client("lambda")
    layers = tuple(
        client.publish_layer_version(
            LayerName=name,
            Content={"ZipFile": zipped({"python/colour.py": f"NAME = {name!r}", f"python/{name}.py": ""})},
        )["LayerVersionArn"]
        for name in ("red", "green")
    )
    function = emulator.function(
        """
def handler(event, context):
    import colour, importlib.util, red, green
    return [colour.NAME, importlib.util.find_spec("boto3") is None, importlib.util.find_spec("site") is not None]
""",
        layers,
    )
    assert invoke(emulator, function, {}) == (None, ["green", True, True])


def test_short_calls_at_once_share_an_environment_and_a_long_one_is_not_waited_for(emulator: Emulator) -> None:
    function = emulator.function(
        """
import os, time
def handler(event, context):
    time.sleep(event)
    return os.getpid()
""",
        Timeout=10,
    )

    def ran_in(seconds: float) -> Any:
        return invoke(emulator, function, seconds)[1]

    pid = ran_in(0)
    with ThreadPoolExecutor(8) as callers:
        assert set(callers.map(ran_in, [0.01] * 16)) == {pid}
        long = callers.submit(ran_in, 4)
        assert wait_for(lambda: ran_in(0) != pid and not long.done(), 3)
        assert long.result() == pid


def test_a_version_s_and_an_alias_s_arn_end_in_its_name(emulator: Emulator) -> None:
    arn = emulator.function("def handler(event, context): pass", Publish=True)
    client = emulator.client("lambda")
    client.create_alias(FunctionName=arn, Name="live", FunctionVersion="1")
    listed = client.list_versions_by_function(FunctionName=arn)["Versions"]
    assert {version["Version"]: version["FunctionArn"] for version in listed} == {"$LATEST": arn, "1": f"{arn}:1"}
    for qualifier in ("1", "live"):
        configuration = client.get_function_configuration(FunctionName=arn, Qualifier=qualifier)
        assert configuration["FunctionArn"] == f"{arn}:{qualifier}"
