import json
from typing import Any

import pytest

from functions.shared import runtime
from functions.shared.domain.errors import InvalidInput, Unavailable
from functions.status.handler import handler
from tests.samples import payment
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
