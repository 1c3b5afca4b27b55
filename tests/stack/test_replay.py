"""Replays, as `make replay` runs them."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ElementTree

import pytest
from typer.testing import CliRunner

from cli.__main__ import app
from cli.events import API_EVENTS
from cli.replay import replay_execution
from local.machine import Machine
from tests.stack.driver import Driver


@pytest.fixture
def replay(machine: Machine, driver: Driver) -> Any:
    """Runs `payments replay` on the stack, and gives its exit code and output."""

    def run(*arguments: object) -> tuple[int, str]:
        command = ["replay", "--stack", str(machine.stack_file), *map(str, arguments)]
        done = CliRunner().invoke(app, command)
        return done.exit_code, done.output

    return run


@pytest.fixture
def started(driver: Driver) -> Any:
    """Gives what payments were given that were started since it was asked last, by their ids."""
    states, known = driver.stack.client("stepfunctions"), set[str]()

    def new() -> dict[str, dict[str, Any]]:
        pages = states.get_paginator("list_executions").paginate(stateMachineArn=driver.stack.state_machine_arn)
        arns = [execution["executionArn"] for page in pages for execution in page["executions"]]
        found = [states.describe_execution(executionArn=arn) for arn in arns if arn not in known]
        known.update(arns)
        return {execution["name"]: json.loads(execution["input"]) for execution in found}

    new()
    return new


class TestEvents:
    def test_they_are_replayed_many_times_at_once_and_reported(self, replay: Any, started: Any, tmp_path: Path) -> None:
        events = [API_EVENTS / "approved_visa.json", API_EVENTS / "refused_*.json", API_EVENTS / "voided.json"]
        reports = ["--json", tmp_path / "replay.json", "--junit", tmp_path / "replay.xml"]
        status, shown = replay(*events, "--repeat", 4, "--concurrency", 4, *reports)
        assert status == 0
        assert shown.count("4 of 4") == 7
        replays = json.loads((tmp_path / "replay.json").read_text())["replays"]
        assert len(replays) == 28
        assert {each["as_expected"] for each in replays} == {True}
        captured = [each for each in replays if each["event"] == "approved_visa"]
        assert len({each["payment_id"] for each in captured} & started().keys()) == 4
        assert {each["body"]["status"] for each in captured} == {"captured"}
        suite = ElementTree().parse(tmp_path / "replay.xml")
        assert (suite.attrib["tests"], suite.attrib["failures"]) == ("28", "0")

    def test_one_that_does_not_go_as_expected_fails_and_says_in_what(self, replay: Any, tmp_path: Path) -> None:
        event = json.loads((API_EVENTS / "refunded_in_part.json").read_text())
        event["expected"]["payment"]["operations"][0]["amount_minor"] = 501
        (tmp_path / "refunded.json").write_text(json.dumps(event))
        status, shown = replay(tmp_path, "--junit", tmp_path / "replay.xml")
        assert status == 1
        assert "operations[0].amount_minor is 500, not 501" in " ".join(shown.replace("│", "").split())
        failure = ElementTree().parse(tmp_path / "replay.xml").find("testcase/failure")
        assert failure is not None
        assert "operations[0].amount_minor is 500, not 501" in failure.attrib["message"]

    def test_a_file_that_is_watched_is_replayed_whenever_it_changes(self, machine: Machine, tmp_path: Path) -> None:
        event = (API_EVENTS / "refused_month_13.json").read_text()
        file = tmp_path / "event.json"
        command = [sys.executable, "-m", "cli", "replay", str(file), "--watch", "--stack", str(machine.stack_file)]
        file.write_text(event)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:  # noqa: S603
            assert watching.stdout
            rounds = []
            for change in (event.replace("13/30", "12/30"), "{", event):
                rounds.append("".join(iter(watching.stdout.readline, "Watching the event files. Ctrl-C ends it.\n")))
                file.write_text(change)
            rounds.append("".join(iter(watching.stdout.readline, "Watching the event files. Ctrl-C ends it.\n")))
            watching.send_signal(signal.SIGINT)
        assert ["✓ 400" in each for each in rounds] == [True, False, False, True]
        assert "✗ 202 captured" in rounds[1]
        assert "is not an API event" in rounds[2]
        assert watching.returncode == 0

    def test_nothing_is_tried_where_nobody_answers(self, driver: Driver, tmp_path: Path) -> None:
        replace(driver.stack, api_url="http://127.0.0.1:9").save(tmp_path / "stack.json")
        done = CliRunner().invoke(app, ["replay", "--stack", str(tmp_path / "stack.json")])
        assert done.exit_code == 1
        assert "Is the stack up?" in " ".join(done.output.split())
        assert "Sample events" not in done.output


def test_a_past_execution_is_replayed_under_a_new_id(driver: Driver) -> None:
    past = driver.paid()
    again = replay_execution(driver.stack, driver.stack.execution_arn(past["payment_id"]))
    assert again["status"] == "captured"
    assert again["payment_id"] != past["payment_id"]
    assert again["card"] == past["card"]
