from typing import Any

import pytest

from functions.reserve.handler import handler
from functions.shared.domain.errors import PaymentNotFound
from tests.samples import STARTED_AT, charge_of, payment, refund_request
from tests.unit.functions.conftest import Output, World

EVENT: dict[str, Any] = {
    "operation_id": "operation-of-ours-1",
    "requested_at": STARTED_AT,
    "request": {"operation": "refund", "payment_id": "payment-of-ours-1", "amount_minor": 500},
}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the time to a second after the request."""
    monkeypatch.setattr("functions.shared.runtime.now", lambda: "2026-11-23T09:00:01.000Z")


def test_what_may_be_done_is_handed_on_with_all_that_the_gateway_needs(world: World, output: Output) -> None:
    paid = payment("payment-of-ours-1")
    world.ledger.record(paid)
    world.gateway.charges[paid.payment_id] = charge_of(paid)
    assert handler(EVENT, None) == {
        "payment_id": "payment-of-ours-1",
        "operation_id": "operation-of-ours-1",
        "type": "refund",
        "amount_minor": 500,
        "currency": "USD",
        "charge_id": "ch_1",
        "status": "processing",
        "error": {"Error": None},
    }
    assert output.metrics() == {}
    assert {line["payment_id"] for line in output.logs()} == {"payment-of-ours-1"}


def test_an_amount_is_an_integer_however_it_was_written(world: World) -> None:
    paid = payment("payment-of-ours-1")
    world.ledger.record(paid)
    world.gateway.charges[paid.payment_id] = charge_of(paid)
    reserved = handler(EVENT | {"request": EVENT["request"] | {"amount_minor": 500.0}}, None)
    assert repr(reserved["amount_minor"]) == "500"


def test_what_may_not_be_done_is_a_value_and_counted(world: World, output: Output) -> None:
    world.ledger.record(payment("payment-of-ours-1", status="declined"))
    rejected = handler(EVENT, None)
    assert (rejected["status"], rejected["error"]) == ("rejected", {"Error": "invalid_state"})
    assert output.metrics() == {"OperationRejected": [1.0]}


def test_a_payment_that_nobody_knows_is_an_error(world: World, output: Output) -> None:
    with pytest.raises(PaymentNotFound):
        handler(EVENT | {"requested_at": "2026-11-23T08:59:00.000Z"}, None)
    assert output.metrics() == {}


def test_who_is_overtaken_by_another_refund_reserves_what_is_left_without_a_retry_of_the_state_machine(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.ledger.record(paid := payment("payment-of-ours-1"))
    world.gateway.charges["payment-of-ours-1"] = charge_of(paid)
    record = world.ledger.record

    def overtaken(*version: Any, **previous: Any) -> None:
        monkeypatch.setattr(world.ledger, "record", record)
        record(paid.reserve(refund_request(paid, 1000), STARTED_AT))
        record(*version, **previous)

    monkeypatch.setattr(world.ledger, "record", overtaken)
    assert handler(EVENT, None)["status"] == "processing"
    assert world.ledger.records["payment-of-ours-1"].payment.refundable_minor == 499
