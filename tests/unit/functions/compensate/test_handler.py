from typing import Any

import pytest

from functions.compensate.handler import handler
from functions.shared.domain.errors import GatewayOutcomeUnknown, ReversalUnconfirmed
from functions.shared.domain.payment import Payment
from tests.samples import DECLINED_PAN, REQUEST, STARTED_AT, STORE, SUMMARY, TRANSACTION_ID, card, order
from tests.unit.functions.conftest import Output, World


def event(**changes: Any) -> dict[str, Any]:
    return {
        "payment_id": "payment-of-ours-1",
        "started_at": STARTED_AT,
        "payment": REQUEST.to_dict(),
        "card": SUMMARY.to_dict(),
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


def test_a_card_that_could_not_be_stored_is_rejected_and_the_gateway_never_called(world: World, output: Output) -> None:
    outcome = handler(event(payment=STORE.to_dict()), None)
    assert (outcome["status"], outcome["error"]) == ("rejected", {"Error": "LedgerUnavailable"})
    assert world.gateway.calls == []
    assert world.ledger.records == {}
    assert output.logs()[-1]["message"] == "compensate done"


def test_a_card_that_was_stored_though_the_answer_got_lost_stays_stored(world: World) -> None:
    stored = Payment.first(
        "payment-of-ours-1", "stored", STORE, SUMMARY, TRANSACTION_ID, started_at=STARTED_AT, now=STARTED_AT
    )
    world.ledger.record(stored)
    assert handler(event(payment=STORE.to_dict()), None)["status"] == "stored"
    assert world.gateway.calls == []
