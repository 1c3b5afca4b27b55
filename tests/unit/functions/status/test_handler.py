import json
from typing import Any

import pytest

from functions.shared import runtime
from functions.shared.domain.errors import InvalidInput, Unavailable
from functions.shared.ports import Execution
from functions.status.handler import handler
from tests.samples import STARTED_AT, payment
from tests.unit.functions.conftest import Output, World

UUID = "c56a4180-65aa-42ec-a945-5fd21dec0538"
EVENT: dict[str, Any] = {
    "pathParameters": {"payment_id": "payment-of-ours-1"},
    "headers": {"Authorization": "secret-signature"},
}


def test_a_payment_is_answered_and_its_id_logged_but_not_the_request(world: World, output: Output) -> None:
    world.ledger.record(payment("payment-of-ours-1"))
    answer = handler(EVENT, None)
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["status"] == "captured"
    assert {line["payment_id"] for line in output.logs()} == {"payment-of-ours-1"}
    assert "secret-signature" not in output.text


@pytest.mark.parametrize("written", [UUID, UUID.upper(), UUID.replace("-", "")])
def test_a_uuid_is_one_payment_however_it_is_written(world: World, output: Output, written: str) -> None:
    world.ledger.record(payment(UUID))
    answer = handler({"pathParameters": {"payment_id": written}}, None)
    assert json.loads(answer["body"])["payment_id"] == UUID
    assert {line["payment_id"] for line in output.logs()} == {UUID}


def test_an_unknown_payment_is_404(world: World, output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[float] = []
    monkeypatch.setattr(runtime, "sleep", paused.append)
    answer = handler(EVENT, None)
    assert paused
    assert (answer["statusCode"], json.loads(answer["body"])["error"]["code"]) == (404, "payment_not_found")
    assert output.logs()


@pytest.mark.parametrize("broken", ["ledger", "executions"])
def test_what_cannot_be_read_is_503_and_not_404(world: World, output: Output, broken: str) -> None:
    if broken == "ledger":
        world.ledger.faults.arm("find", Unavailable("DynamoDB: AccessDenied arn:aws"))
    else:
        world.executions.error = Unavailable("Step Functions: AccessDenied arn:aws")
    answer = handler(EVENT, None)
    assert (answer["statusCode"], json.loads(answer["body"])["error"]["code"]) == (503, "service_unavailable")
    assert "arn:aws" not in answer["body"]


@pytest.mark.parametrize(
    "path",
    [{"payment_id": "payment-of-ours-1"}, {"payment_id": "payment-of-ours-1", "operation_id": "refund-of-ours-1"}],
)
@pytest.mark.parametrize(
    "wait",
    ["", "26", "-1", "+1", "1.5", "1e1", "05", "00", " 5", "5 ", "٣", "²", "20s", "true", "4000056655665556", "9" * 99],
)
def test_a_wait_that_is_no_number_of_seconds_up_to_25_is_refused(
    world: World, output: Output, wait: str, path: dict[str, str]
) -> None:
    world.ledger.faults.arm("find", Unavailable("Not to be asked."))
    answer = handler({"pathParameters": path, "queryStringParameters": {"wait": wait}}, None)
    error = json.loads(answer["body"])["error"]
    assert (answer["statusCode"], error["code"]) == (400, "invalid_request")
    assert error["message"] == "wait is a whole number of seconds from 0 to 25."


def test_a_wait_that_is_refused_is_neither_logged_nor_answered(world: World, output: Output) -> None:
    for wait in ("4000056655665556", "4000056655665556 or so"):
        answer = handler(EVENT | {"queryStringParameters": {"wait": wait}}, None)
        assert "4000056655665556" not in output.text + answer["body"]


@pytest.mark.parametrize(
    ("query", "waited"),
    [(None, 0), ({}, 0), ({"other": "1"}, 0), ({"wait": "0"}, 0), ({"wait": "1"}, 1), ({"wait": "25"}, 25)],
)
def test_a_payment_that_runs_is_waited_for_as_long_as_is_asked(
    world: World, monkeypatch: pytest.MonkeyPatch, query: dict[str, str] | None, waited: int
) -> None:
    paused: list[float] = []
    monkeypatch.setattr(runtime, "sleep", paused.append)
    world.executions.executions["payment-of-ours-1"] = Execution(True, None, None, {}, STARTED_AT, None)
    answer = handler(EVENT | {"queryStringParameters": query}, None)
    assert (answer["statusCode"], json.loads(answer["body"])["status"]) == (200, "processing")
    assert sum(paused) == pytest.approx(waited)


@pytest.mark.parametrize("parameters", [None, {}, [], "payment-of-ours-1", {"payment_id": None}, {"payment_id": 1}])
def test_a_request_without_a_payments_id_is_invalid(world: World, output: Output, parameters: object) -> None:
    with pytest.raises(InvalidInput):
        handler(EVENT | {"pathParameters": parameters}, None)
    assert "payment_id" not in output.logs()[-1]


@pytest.mark.parametrize("parameters", [None, [], "payment-of-ours-1", {}, {"payment_id": None}])
def test_an_event_without_a_payment_id_is_invalid_input(world: World, output: Output, parameters: object) -> None:
    with pytest.raises(InvalidInput):
        handler({"pathParameters": parameters}, None)
    assert output.logs()[-1]["error"] == "InvalidInput"
