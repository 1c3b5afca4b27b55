"""Replays of events and of past executions, as by `make replay`."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ElementTree

import pytest
from typer.testing import CliRunner

from client import seal
from tests.stack.driver import CARD_DATA, PAYMENT, SEEN_AFTER_SECONDS, Driver
from tools.cli.__main__ import app
from tools.deployment.polling import wait_for
from tools.deployment.stack import Stack, StackError, new_payment_id
from tools.local.machine import Machine
from tools.output import ExitCode
from tools.trials.events import API_EVENTS
from tools.trials.replay_executions import FinalStatus, executions_by_name, latest_executions

NOT_OURS = "4000056655665556"
REFERENCES = {"merchant_reference": "order-7", "description": "tea", "amount_minor": 2300, "currency": "EUR"}


@pytest.fixture
def replay(machine: Machine, driver: Driver) -> Any:
    """Runs `payments replay` on the stack, and returns its exit code and output."""

    def run(*arguments: object) -> tuple[int, str]:
        command = ["replay", "--stack", str(machine.stack_file), *map(str, arguments)]
        result = CliRunner().invoke(app, command)
        return result.exit_code, result.output

    return run


class PatientDriver(Driver):
    """Wait until the payment's execution has ended too."""

    def ended(self, payment_id: str) -> dict[str, Any]:
        payment = super().ended(payment_id)
        time.sleep(SEEN_AFTER_SECONDS + 0.2)
        return payment


@pytest.fixture
def driver(driver: Driver) -> Driver:
    return PatientDriver(driver.stack)


@pytest.fixture
def started(driver: Driver) -> Any:
    """Return the inputs of the payments that were started since the last call, by payment id."""
    states = driver.stack.client("stepfunctions")

    def arns() -> set[str]:
        time.sleep(SEEN_AFTER_SECONDS)
        pages = states.get_paginator("list_executions").paginate(stateMachineArn=driver.stack.state_machine_arn)
        return {execution["executionArn"] for page in pages for execution in page["executions"]}

    known_arns = arns()

    def new() -> dict[str, dict[str, Any]]:
        new_arns = arns() - known_arns
        known_arns.update(new_arns)
        executions = [states.describe_execution(executionArn=arn) for arn in new_arns]
        return {execution["name"]: json.loads(execution["input"]) for execution in executions}

    return new


def sealed(driver: Driver, card_data: dict[str, str], payment_id: str) -> str:
    return seal(card_data, payment_id, driver.stack.call("GET", "/keys").json()["keys"][0])


class TestEvents:
    def test_they_are_replayed_many_times_at_once_and_reported(self, replay: Any, started: Any, tmp_path: Path) -> None:
        events = [API_EVENTS / "approved_visa.json", API_EVENTS / "refused_*.json", API_EVENTS / "voided.json"]
        reports = ["--json-file", tmp_path / "replay.json", "--junit", tmp_path / "replay.xml"]
        status, output = replay(*events, "--repeat", 4, "--concurrency", 4, *reports)
        assert status == 0
        assert output.count("4 of 4") == 7
        replays = json.loads((tmp_path / "replay.json").read_text())["replays"]
        assert len(replays) == 28
        assert {each["as_expected"] for each in replays} == {True}
        captured = [each for each in replays if each["event"] == "approved_visa"]
        assert len({each["payment_id"] for each in captured} & started().keys()) == 4
        assert {each["body"]["status"] for each in captured} == {"captured"}
        suite = ElementTree().parse(tmp_path / "replay.xml")
        assert (suite.attrib["tests"], suite.attrib["failures"]) == ("28", "0")

    def test_an_unexpected_result_fails_with_its_differences(self, replay: Any, tmp_path: Path) -> None:
        event = json.loads((API_EVENTS / "refunded_in_part.json").read_text())
        event["expected"]["payment"]["operations"][0]["amount_minor"] = 501
        (tmp_path / "refunded.json").write_text(json.dumps(event))
        status, output = replay(tmp_path, "--junit", tmp_path / "replay.xml")
        assert status == 1
        assert "operations[0].amount_minor is 500, not 501" in " ".join(output.replace("│", "").split())
        failure = ElementTree().parse(tmp_path / "replay.xml").find("testcase/failure")
        assert failure is not None
        assert "operations[0].amount_minor is 500, not 501" in failure.attrib["message"]

    def test_a_watched_file_is_replayed_whenever_it_changes(self, machine: Machine, tmp_path: Path) -> None:
        event = (API_EVENTS / "refused_month_13.json").read_text()
        file = tmp_path / "event.json"
        command = [
            sys.executable,
            "-m",
            "tools.cli",
            "replay",
            str(file),
            "--watch",
            "--stack",
            str(machine.stack_file),
        ]
        file.write_text(event)

        def hear_ctrl_c() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it

        watching = subprocess.Popen(  # noqa: S603
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=hear_ctrl_c
        )
        with watching:
            assert watching.stdout
            rounds = []
            for change in (event.replace("13/30", "12/30"), "{", event):
                rounds.append("".join(iter(watching.stdout.readline, "Watching the event files. Ctrl-C stops it.\n")))
                file.write_text(change)
            rounds.append("".join(iter(watching.stdout.readline, "Watching the event files. Ctrl-C stops it.\n")))
            watching.send_signal(signal.SIGINT)
        assert ["✓ 400" in each for each in rounds] == [True, False, False, True]
        assert "✗ 202 captured" in rounds[1]
        assert "is not an API event" in rounds[2]
        assert watching.returncode == 0

    def test_nothing_is_replayed_if_the_stack_does_not_answer(self, driver: Driver, tmp_path: Path) -> None:
        replace(driver.stack, api_url="http://127.0.0.1:9").save(tmp_path / "stack.json")
        result = CliRunner().invoke(app, ["replay", "--stack", str(tmp_path / "stack.json")])
        assert result.exit_code == ExitCode.FAILED
        assert "make up" in " ".join(result.output.split())
        assert "Sample events" not in result.output


class TestPastExecutions:
    def test_an_execution_with_a_test_card_is_replayed_unchanged(
        self, driver: Driver, replay: Any, started: Any
    ) -> None:
        past = driver.paid(**REFERENCES, capture=False)
        execution = driver.execution(past["payment_id"])
        assert execution is not None
        started()
        status, output = replay("--execution", execution["executionArn"])
        assert status == 0
        [(payment_id, request)] = started().items()
        # Only the API adds the caller.
        assert request == {name: value for name, value in json.loads(execution["input"]).items() if name != "caller"}
        new = driver.stack.payment(payment_id)
        assert {name: new[name] for name in ("status", "card", "amount_minor", "currency", "merchant_reference")} == {
            name: past[name] for name in ("status", "card", "amount_minor", "currency", "merchant_reference")
        }
        assert payment_id in output
        assert "= SUCCEEDED · authorized" in output

    def test_a_sealed_card_is_replaced_by_the_test_card_of_choice(
        self, driver: Driver, replay: Any, started: Any
    ) -> None:
        payment_id = new_payment_id()
        driver.pay(
            payment_id, card_data=sealed(driver, CARD_DATA | {"card_number": NOT_OURS}, payment_id), **REFERENCES
        )
        past = driver.ended(payment_id)
        started()
        status, output = replay("--execution", payment_id, "--card", "4000000000009995")
        assert status == 0
        [(new_id, request)] = started().items()
        assert request.pop("card_data")["card_number"] == "4000000000009995"
        assert request == REFERENCES
        new = driver.stack.payment(new_id)
        assert (past["status"], new["status"], new["decline_code"]) == ("captured", "declined", "insufficient_funds")
        assert "…9995 for a sealed one" in output
        assert "≠ SUCCEEDED · declined" in output

    def test_a_token_is_replaced_too_and_several_can_be_replayed_at_once(
        self, driver: Driver, replay: Any, started: Any
    ) -> None:
        _, stored = driver.post("/cards", {"card_data": CARD_DATA})
        by_token = driver.paid(card_data=None, token=stored.json()["card"]["token"])["payment_id"]
        by_card = driver.paid(capture=False)["payment_id"]
        started()
        status, _ = replay("--execution", by_card, "--execution", by_token, "--concurrency", 2)
        assert status == 0
        new = started()
        assert not any("token" in request for request in new.values())
        assert {driver.stack.payment(payment_id)["status"] for payment_id in new} == {"authorized", "captured"}

    def test_a_card_in_the_clear_that_is_no_test_card_goes_nowhere(
        self, driver: Driver, replay: Any, started: Any
    ) -> None:
        """The API refuses it, but somebody may have started an execution by hand."""
        past = driver.start_by_hand(PAYMENT | {"card_data": CARD_DATA | {"card_number": NOT_OURS}, "pan": NOT_OURS})
        driver.ended(past)
        started()
        status, output = replay("--execution", past)
        assert status == 0
        assert NOT_OURS not in output + json.dumps(started())

    def test_an_input_that_is_no_payment_is_not_replayed(self, driver: Driver, replay: Any, started: Any) -> None:
        past = driver.start_by_hand([NOT_OURS])
        driver.ended(past)
        started()
        status, output = replay("--execution", past)
        assert status == 1
        assert "not replayed" in output
        assert NOT_OURS not in output
        assert not started()

    def test_they_are_chosen_by_how_they_ended_and_when_they_started(
        self, driver: Driver, replay: Any, started: Any
    ) -> None:
        ago = driver.paid(currency="ZZZ")["payment_id"]
        time.sleep(0.01)
        since = datetime.now(UTC)
        failed = [driver.paid(currency="ZZZ")["payment_id"] for _ in range(3)]
        paid = driver.paid()["payment_id"]
        until = datetime.now(UTC)
        time.sleep(0.01)
        later = driver.paid(currency="ZZZ")["payment_id"]

        def chosen(
            status: FinalStatus | None, since: datetime | None, until: datetime | None, limit: int = 20
        ) -> list[str]:
            return [execution["name"] for execution in latest_executions(driver.stack, status, since, until, limit)]

        assert chosen(FinalStatus.FAILED, since, until) == failed
        assert chosen(None, since, until) == [*failed, paid]
        assert chosen(FinalStatus.SUCCEEDED, since, None) == [paid]
        assert chosen(FinalStatus.FAILED, since, None, limit=2) == [failed[-1], later]
        assert ago in chosen(FinalStatus.FAILED, None, since, limit=1000)
        assert chosen(FinalStatus.TIMED_OUT, since, until) == []

        started()
        status, output = replay("--status", "failed", "--since", since.isoformat(), "--until", until.isoformat())
        assert status == 0
        assert all(name in output for name in failed)
        assert len(started()) == 3
        assert output.count("= FAILED · PaymentRejected") == 3

    def test_one_that_still_runs_is_not_chosen(self, driver: Driver) -> None:
        since, payment_id = datetime.now(UTC), new_payment_id()
        driver.set_fault(payment_id, "charge", "slow", seconds=2)
        driver.pay(payment_id)
        assert latest_executions(driver.stack, None, since, None, 20) == []
        driver.ended(payment_id)
        [execution] = latest_executions(driver.stack, None, since, None, 20)
        assert execution["name"] == payment_id

    def test_nothing_is_replayed_if_nothing_matches(self, replay: Any, started: Any) -> None:
        status, output = replay("--since", "2100-01-01")
        assert (status, output.strip()) == (0, "No execution matches.")
        assert not started()

    def test_those_of_another_stack_are_replayed_on_this_one(
        self, driver: Driver, other_stack: Stack, replay: Any, started: Any, tmp_path: Path
    ) -> None:
        states = other_stack.client("stepfunctions")
        request = PAYMENT | {"card_data": "eyJh.bc.d.e.f", "merchant_reference": "order-8"}
        states.start_execution(
            stateMachineArn=other_stack.state_machine_arn, name=(name := new_payment_id()), input=json.dumps(request)
        )
        other_stack.save(tmp_path / "other.json")
        assert wait_for(lambda: latest_executions(other_stack, FinalStatus.SUCCEEDED, None, None, 1), 20)
        started()
        status, output = replay("--from-stack", tmp_path / "other.json")
        assert status == 0
        assert name in output
        [payment_id] = started()
        new = driver.stack.payment(payment_id)
        assert (new["status"], new["merchant_reference"]) == ("captured", "order-8")
        status, output = replay("--execution", f"{other_stack.execution_arn(name)}")
        assert status == ExitCode.FAILED
        assert "--from-stack" in output

    def test_operations_and_unknown_executions_are_refused_and_none_is_replayed(
        self, driver: Driver, replay: Any, started: Any
    ) -> None:
        payment_id = driver.paid()["payment_id"]
        operation_id, _ = driver.post(f"/payments/{payment_id}/refunds", {})
        driver.operation(payment_id, operation_id)
        started()
        for other, message in (
            (driver.operation_arn(operation_id), "Only payments can be replayed"),
            ("p-0", "no execution"),
        ):
            status, output = replay("--execution", payment_id, "--execution", other)
            assert status == ExitCode.FAILED
            assert message in " ".join(output.split())
        assert not started()

    def test_a_card_that_is_no_test_card_is_refused_and_not_repeated(self, driver: Driver, replay: Any) -> None:
        status, output = replay("--execution", driver.paid()["payment_id"], "--card", NOT_OURS)
        assert status == ExitCode.FAILED
        assert "not a published test card" in output
        assert NOT_OURS not in output


@pytest.fixture
def other_stack(driver: Driver) -> Iterator[Stack]:
    """A stack whose payments do nothing."""
    states = driver.stack.client("stepfunctions")
    definition = {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}
    role = states.describe_state_machine(stateMachineArn=driver.stack.state_machine_arn)["roleArn"]
    machine = states.create_state_machine(name="other-payment", definition=json.dumps(definition), roleArn=role)
    yield replace(driver.stack, state_machine_arn=machine["stateMachineArn"])
    states.delete_state_machine(stateMachineArn=machine["stateMachineArn"])


def test_executions_are_named_by_arn_or_payment_id(driver: Driver) -> None:
    payment_id = driver.paid()["payment_id"]
    by_id, by_arn = executions_by_name(driver.stack, [payment_id, driver.stack.execution_arn(payment_id)])
    assert by_id["executionArn"] == by_arn["executionArn"]
    with pytest.raises(StackError, match="There is no execution"):
        executions_by_name(driver.stack, [new_payment_id()])
