"""GET /payments/{payment_id}/operations/{operation_id}."""

import json
from dataclasses import replace
from typing import Any

import pytest

from functions.shared import runtime
from functions.shared.domain.errors import Unavailable
from functions.shared.ports import Execution
from functions.status.handler import handler
from tests.samples import LATER, STARTED_AT, operation_request, payment
from tests.unit.functions.conftest import World

PAYMENT, OPERATION = "payment-of-ours-1", "operation-of-ours-1"
RUNNING = Execution(
    True, None, None, {"payment_id": PAYMENT, "operation": "refund", "amount_minor": 500}, STARTED_AT, None
)
NOT_RECORDED = {
    "payment_id": PAYMENT,
    "operation_id": OPERATION,
    "type": "refund",
    "amount_minor": 500,
    "status": "processing",
    "error": None,
    "created_at": STARTED_AT,
    "source": None,
}


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    paused: list[float] = []
    monkeypatch.setattr(runtime, "sleep", paused.append)
    return paused


def read_operation(
    world: World, payment_id: str = PAYMENT, operation_id: str = OPERATION
) -> tuple[int, dict[str, Any]]:
    answer = handler({"pathParameters": {"payment_id": payment_id, "operation_id": operation_id}}, None)
    return answer["statusCode"], json.loads(answer["body"])


def test_a_recorded_operation_is_shown_as_the_payment_shows_it(world: World) -> None:
    paid = payment(PAYMENT)
    world.ledger.record(paid)
    world.ledger.record(paid.reserve(operation_request(paid, "refund", 500, OPERATION), LATER))
    assert read_operation(world) == (200, NOT_RECORDED | {"created_at": LATER})


def test_one_that_is_not_recorded_yet_is_processing(world: World) -> None:
    world.operation_executions.executions[OPERATION] = RUNNING
    assert read_operation(world) == (200, NOT_RECORDED)


def test_one_whose_payment_is_unknown_or_was_rejected_is_rejected_here(world: World) -> None:
    world.operation_executions.executions[OPERATION] = replace(
        RUNNING, running=False, error="OperationRejected", cause="PaymentNotFound"
    )
    assert read_operation(world) == (200, NOT_RECORDED | {"status": "rejected", "error": "payment_not_found"})


@pytest.mark.parametrize(("error", "code"), [("States.Timeout", "states_timeout"), (None, None)])
def test_one_that_ended_otherwise_and_is_not_recorded_is_in_doubt(
    world: World, error: str | None, code: str | None
) -> None:
    world.operation_executions.executions[OPERATION] = replace(RUNNING, running=False, error=error)
    assert read_operation(world) == (200, NOT_RECORDED | {"status": "in_doubt", "error": code})


def test_a_key_that_was_used_for_another_payment_is_a_conflict_that_says_so(world: World) -> None:
    world.operation_executions.executions[OPERATION] = RUNNING
    status, body = read_operation(world, payment_id="another-payment-of-ours")
    assert (status, body["error"]["code"]) == (409, "key_used_for_another_request")


def test_one_that_nobody_knows_is_looked_for_and_then_404(world: World, pauses: list[float]) -> None:
    world.ledger.record(payment(PAYMENT))
    status, body = read_operation(world)
    assert (status, body["error"]["code"], round(sum(pauses), 6)) == (404, "operation_not_found", 1)


@pytest.mark.parametrize("ids", [("x", OPERATION), (PAYMENT, "x"), (PAYMENT, "4000056655665556")])
def test_what_can_be_no_id_is_404_without_a_look(world: World, ids: tuple[str, str], pauses: list[float]) -> None:
    world.ledger.faults.arm("find", Unavailable("Not to be asked."))
    assert (read_operation(world, *ids)[0], pauses) == (404, [])


def test_what_cannot_be_read_is_503(world: World) -> None:
    world.operation_executions.error = Unavailable("Step Functions: down")
    assert read_operation(world)[0] == 503
