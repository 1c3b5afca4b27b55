from typing import Any

import pytest

from functions.compensate.handler import handler
from functions.shared.domain.errors import GatewayOutcomeUnknown, ReversalUnconfirmed
from tests.samples import DECLINED_PAN, REQUEST, STARTED_AT, SUMMARY, TRANSACTION_ID, card, order
from tests.unit.functions.conftest import Output, World


def event(**changes: Any) -> dict[str, Any]:
    return {
        "payment_id": "payment-of-ours-1",
        "started_at": STARTED_AT,
        "payment": REQUEST.to_dict(),
        "card": SUMMARY.to_dict(),
        "gateway": "sparkle",
        "transaction_id": TRANSACTION_ID,
        "flags": [],
        "charge": {"outcome": "unknown"},
        "error": "LedgerUnavailable",
    } | changes


def test_a_reversed_payment_is_counted_and_tells_what_led_to_it(world: World, output: Output) -> None:
    world.gateway.charge(order("payment-of-ours-1"), card(), "payment-of-ours-1-charge")
    outcome = handler(event(), None)
    assert (outcome["status"], outcome["error"]) == ("reversed", {"Error": "LedgerUnavailable"})
    assert world.ledger.records["payment-of-ours-1"].payment.status == "reversed"
    assert output.metrics() == {"PaymentReversed": [1.0]}
    assert {line["payment_id"] for line in output.logs()} == {"payment-of-ours-1"}


def test_a_failure_is_counted_and_the_doubt_recorded_before_it_is_raised(world: World, output: Output) -> None:
    world.gateway.faults.arm("reverse", GatewayOutcomeUnknown("No answer."))
    with pytest.raises(ReversalUnconfirmed):
        handler(event(), None)
    assert world.ledger.records["payment-of-ours-1"].payment.status == "in_doubt"
    assert output.metrics() == {"CompensationFailed": [1.0]}


def test_a_charge_that_is_not_what_was_asked_for_is_counted(world: World, output: Output) -> None:
    world.gateway.charge(order("payment-of-ours-1", amount_minor=2999), card(), "payment-of-ours-1-charge")
    assert handler(event(), None)["error"] == {"Error": "GatewayMismatch"}
    assert output.metrics() == {"PaymentReversed": [1.0], "GatewayMismatch": [1.0]}


def test_a_decline_that_comes_to_light_is_no_reversal(world: World, output: Output) -> None:
    world.gateway.charge(order("payment-of-ours-1"), card(DECLINED_PAN), "payment-of-ours-1-charge")
    assert handler(event(), None)["status"] == "declined"
    assert "PaymentReversed" not in output.metrics()
