from functions.perform.handler import handler
from tests.samples import LATER, card, operation_request, order, payment
from tests.unit.functions.conftest import Output, World


def test_what_was_reserved_is_asked_of_the_gateway(world: World, output: Output) -> None:
    charge = world.gateway.charge(order(), card(), "payment-of-ours-1-charge")
    paid = payment("payment-of-ours-1", charge_id=charge.charge_id)
    world.ledger.record(paid)
    world.ledger.record(paid.reserve(operation_request(paid, "refund", 500, "operation-of-ours-1"), LATER))
    event = {
        "payment_id": "payment-of-ours-1",
        "operation_id": "operation-of-ours-1",
        "type": "refund",
        "amount_minor": 500,
        "currency": "USD",
        "charge_id": charge.charge_id,
    }
    performed = handler(event, None)
    refunded = world.gateway.charges["pay-1"]
    assert performed == {"charge": refunded.to_dict(), "reason": None}
    assert [refund.amount_minor for refund in refunded.refunds] == [500]
    assert {line["payment_id"] for line in output.logs()} == {"payment-of-ours-1"}
