from typing import Any

import pytest

from functions.resolve.handler import handler
from functions.shared import runtime
from functions.shared.domain.errors import GatewayOutcomeUnknown, PaymentNotFound, PaymentUnderWay, ReversalUnconfirmed
from functions.shared.domain.ledger import capture_entry, in_doubt_entry
from functions.shared.ports import Execution
from tests.samples import LATER, NOW, card, operation_request, order, payment
from tests.unit.functions.conftest import Output, World

EVENT = {"payment_id": "payment-of-ours-1", "operation_id": None, "ask_gateway": True}
LOOK = EVENT | {"ask_gateway": False, "started_at": NOW}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the time to just after resolve's start."""
    monkeypatch.setattr(runtime, "now", lambda: LATER)


def in_doubt(world: World) -> None:
    world.ledger.record(
        *payment("payment-of-ours-1", status="in_doubt", reversing=True).post(in_doubt_entry(1999, "USD"))
    )


def test_a_doubt_that_is_cleared_is_counted(world: World, output: Output) -> None:
    in_doubt(world)
    assert handler(EVENT, None) == {"payment_id": "payment-of-ours-1", "operation_id": None, "status": "reversed"}
    assert output.metrics() == {"PaymentResolved": [1.0]}


def test_a_look_asks_nobody_and_counts_nothing(world: World, output: Output) -> None:
    in_doubt(world)
    assert handler(LOOK, None)["status"] == "in_doubt"
    assert (world.gateway.calls, output.metrics()) == ([], {})


def test_from_the_look_on_somebody_looks_after_it_but_not_when_somebody_asks_by_hand(
    world: World, output: Output
) -> None:
    in_doubt(world)
    handler(EVENT, None)
    assert world.attendance.attended == set()
    handler(LOOK, None)
    nonsense = Execution(False, "OperationRejected", "InvalidInput", {}, NOW, LATER)
    for operation_id in ("refund-of-ours-1", "4242424242424242"):  # the second was started by hand
        world.operation_executions.executions[operation_id] = nonsense
        handler(LOOK | {"payment_id": None, "operation_id": operation_id}, None)
    assert world.attendance.attended == {("payment", "payment-of-ours-1"), ("operation", "refund-of-ours-1")}


@pytest.mark.parametrize(
    "look",
    [
        LOOK | {"started_at": "2026-11-23T08:00:00.000Z"},
        {name: value for name, value in LOOK.items() if name != "started_at"},
    ],
    ids=["late", "by hand"],
)
def test_a_look_that_nobody_may_wait_for_any_more_looks_after_nothing(
    world: World, output: Output, look: dict[str, Any]
) -> None:
    in_doubt(world)
    assert handler(look, None)["status"] == "in_doubt"
    assert world.attendance.attended == set()


def test_who_looks_too_early_does_not_look_after_it(world: World, output: Output) -> None:
    """This execution of resolve ends. If the payment's execution fails later, another one must resolve it."""
    with pytest.raises(PaymentNotFound):
        handler(LOOK, None)
    world.executions.executions["payment-of-ours-1"] = Execution(True, None, None, {"amount_minor": 1999}, NOW, None)
    with pytest.raises(PaymentUnderWay):
        handler(LOOK, None)
    assert world.attendance.attended == set()


def test_a_look_at_an_execution_that_is_not_seen_to_have_ended_is_repeated_and_later_it_is_processing(
    world: World, output: Output
) -> None:
    world.executions.executions["payment-of-ours-1"] = Execution(True, None, None, {"amount_minor": 1999}, NOW, None)
    with pytest.raises(PaymentUnderWay):
        handler(LOOK, None)
    assert handler(EVENT, None)["status"] == "processing"


def test_a_charge_that_is_not_what_was_asked_for_is_counted(world: World, output: Output) -> None:
    world.gateway.charge(order("payment-of-ours-1", amount_minor=2999), card(), "payment-of-ours-1-charge")
    in_doubt(world)
    handler(EVENT, None)
    assert world.ledger.records["payment-of-ours-1"].payment.error == "GatewayMismatch"
    assert output.metrics() == {"PaymentResolved": [1.0], "GatewayMismatch": [1.0]}


def test_a_doubt_that_stays_is_an_error_and_not_counted(world: World, output: Output) -> None:
    in_doubt(world)
    world.gateway.faults.arm("reverse", GatewayOutcomeUnknown("No answer."))
    with pytest.raises(ReversalUnconfirmed):
        handler(EVENT, None)
    assert output.metrics() == {}
    assert {line["payment_id"] for line in output.logs()} == {"payment-of-ours-1"}


def test_an_operation_is_resolved_by_its_own_id(world: World, output: Output) -> None:
    charge = world.gateway.charge(order("payment-of-ours-1"), card(), "payment-of-ours-1-charge")
    paid, entries = payment("payment-of-ours-1", charge_id=charge.charge_id).post(capture_entry("sparkle", 1999, "USD"))
    world.ledger.record(paid, entries)
    world.ledger.record(paid.reserve(operation_request(paid, "refund", 500, "operation-of-ours-1"), LATER))
    request = {"operation": "refund", "payment_id": "payment-of-ours-1", "amount_minor": 500}
    world.operation_executions.executions["operation-of-ours-1"] = Execution(False, None, None, request, NOW, LATER)
    event = {"payment_id": None, "operation_id": "operation-of-ours-1", "ask_gateway": True}
    assert handler(event, None) == {
        "payment_id": "payment-of-ours-1",
        "operation_id": "operation-of-ours-1",
        "status": "succeeded",
    }
    assert output.metrics() == {"OperationResolved": [1.0]}
