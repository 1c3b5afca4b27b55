from typing import Any

import pytest

from functions.settle.handler import handler
from functions.shared.domain.charge import Charge, Refund, RefundStatus
from functions.shared.domain.ledger import capture_entry
from functions.shared.use_cases.perform_operation import Performed
from tests.samples import LATER, NOW, charge_of, operation_request, payment
from tests.unit.functions.conftest import Output, World

PAID = payment("payment-of-ours-1")


def refunded(status: RefundStatus) -> Charge:
    return charge_of(PAID, refunds=(Refund("re_1", "operation-of-ours-1", status, 500, NOW),))


@pytest.mark.parametrize(
    ("performed", "status", "metric"),
    [
        (Performed(refunded("succeeded")), "succeeded", "OperationSucceeded"),
        (Performed(refunded("pending")), "processing", "OperationPending"),
        (Performed(refunded("failed")), "rejected", "OperationRejected"),
        (Performed(charge_of(PAID), "invalid_state"), "rejected", "OperationRejected"),
        (Performed(reason="States.Timeout"), "in_doubt", "OperationInDoubt"),
    ],
)
def test_what_became_of_it_is_recorded_and_counted(
    world: World, output: Output, performed: Performed, status: str, metric: str
) -> None:
    paid, entries = PAID.post(capture_entry("sparkle", 1999, "USD"))
    world.ledger.record(paid, entries)
    world.ledger.record(paid.reserve(operation_request(paid, "refund", 500, "operation-of-ours-1"), LATER))
    settled = handler(
        {"payment_id": "payment-of-ours-1", "operation_id": "operation-of-ours-1", "performed": performed.to_dict()},
        None,
    )
    assert settled["status"] == status
    assert world.ledger.records["payment-of-ours-1"].payment.operations[0].status == status
    assert output.metrics() == {metric: [1.0]}
    assert {line["payment_id"] for line in output.logs()} == {"payment-of-ours-1"}


def test_who_is_overtaken_by_another_refund_settles_without_a_retry_of_the_state_machine(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid, entries = payment("payment-of-ours-1").post(capture_entry("sparkle", 1999, "USD"))
    world.ledger.record(paid, entries)
    reserved = paid.reserve(operation_request(paid, "refund", 500, "operation-of-ours-1"), LATER)
    world.ledger.record(reserved)
    record = world.ledger.record

    def overtaken(*version: Any, **previous: Any) -> None:
        monkeypatch.setattr(world.ledger, "record", record)
        record(reserved.reserve(operation_request(paid, "refund", 300), LATER))
        record(*version, **previous)

    monkeypatch.setattr(world.ledger, "record", overtaken)
    performed = Performed(refunded("succeeded")).to_dict()
    event = {"payment_id": "payment-of-ours-1", "operation_id": "operation-of-ours-1", "performed": performed}
    assert handler(event, None)["status"] == "succeeded"
    recorded = world.ledger.records["payment-of-ours-1"].payment
    assert (recorded.refunded_minor, [each.status for each in recorded.operations]) == (
        500,
        ["succeeded", "processing"],
    )
