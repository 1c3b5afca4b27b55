"""Tasks wait for their tokens as on AWS."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.tools.local.emulator.conftest import Emulator
from tests.unit.tools.local.emulator.test_executions import INVOKE
from tools.deployment.polling import wait_for

KEEP_TOKEN = """
from pathlib import Path
def handler(event, context):
    if "token" not in event:
        raise LookupError("no token")
    Path(event["file"]).write_text(event["token"])
"""


class Waiting:
    """An execution whose task waits for its token."""

    def __init__(self, emulator: Emulator, file: Path, timeout_seconds: int) -> None:
        self.states = emulator.client("stepfunctions")
        task = asking(emulator.function(KEEP_TOKEN), {"file": str(file), "token.$": "$$.Task.Token"}, timeout_seconds)
        machine = emulator.state_machine({"Ask": task}, INVOKE)
        self.arn = self.states.start_execution(stateMachineArn=machine, input="{}")["executionArn"]
        self.token = wait_for(lambda: file.read_text() if file.exists() else "", 20)
        assert self.token

    def send(self, output: str = "{}") -> None:
        self.states.send_task_success(taskToken=self.token, output=output)

    def history(self) -> Any:
        return self.states.get_execution_history(executionArn=self.arn)["events"]

    def refusal(self, output: str = "{}") -> str:
        with pytest.raises(self.states.exceptions.ClientError) as refused:
            self.send(output)
        return str(refused.value.response["Error"]["Code"])


def asking(function: str, payload: dict[str, str], timeout_seconds: int = 60) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "Parameters": {"FunctionName": function, "Payload": payload},
        "TimeoutSeconds": timeout_seconds,
        "End": True,
    }


def test_a_task_waits_for_its_token_and_ends_with_what_comes_with_it(emulator: Emulator, tmp_path: Path) -> None:
    waiting = Waiting(emulator, tmp_path / "token", 60)
    assert waiting.states.describe_execution(executionArn=waiting.arn)["status"] == "RUNNING"
    assert wait_for(lambda: waiting.history()[-1]["type"] == "TaskSubmitted", 5)
    assert waiting.history()[-2]["taskScheduledEventDetails"]["timeoutInSeconds"] == 60
    waiting.send('{"answered": true}')
    ended = emulator.finished(waiting.arn)
    assert (ended["status"], ended["output"]) == ("SUCCEEDED", '{"answered": true}')


def test_a_token_is_good_for_one_answer_in_json(emulator: Emulator, tmp_path: Path) -> None:
    waiting = Waiting(emulator, tmp_path / "token", 60)
    assert waiting.refusal("answered") == "InvalidOutput"
    waiting.send()
    assert waiting.refusal() == "TaskTimedOut"
    emulator.finished(waiting.arn)
    assert waiting.refusal() == "TaskTimedOut"
    waiting.token = "no such token"
    assert waiting.refusal() == "InvalidToken"


def test_a_task_whose_token_nobody_sends_times_out(emulator: Emulator, tmp_path: Path) -> None:
    waiting = Waiting(emulator, tmp_path / "token", 1)
    ended = emulator.finished(waiting.arn)
    assert (ended["status"], ended["error"]) == ("FAILED", "States.Timeout")
    assert waiting.refusal() == "TaskTimedOut"


def test_a_stopped_execution_s_task_waits_no_longer(emulator: Emulator, tmp_path: Path) -> None:
    waiting = Waiting(emulator, tmp_path / "token", 60)
    waiting.states.stop_execution(executionArn=waiting.arn)
    assert waiting.refusal() == "TaskTimedOut"
    assert emulator.finished(waiting.arn)["status"] == "ABORTED"


def test_a_function_that_fails_fails_the_task_at_once(emulator: Emulator) -> None:
    machine = emulator.state_machine({"Ask": asking(emulator.function(KEEP_TOKEN), {})}, INVOKE)
    ended = emulator.run(machine)
    assert (ended["status"], ended["error"]) == ("FAILED", "LookupError")
