import json
from typing import Any

import pytest

from functions.persist.handler import METRICS, handler
from functions.shared.domain.errors import InvalidInput, LedgerConflict, LedgerUnavailable
from functions.shared.domain.payment import Status
from functions.shared.ports import HeldCard
from tests.aws_facts import facts
from tests.fakes import LEDGER_DOWN
from tests.samples import (
    NETWORK_TRANSACTION_ID,
    REQUEST,
    STARTED_AT,
    SUMMARY,
    TOKEN,
    TRANSACTION_ID,
    charge_of,
    payment,
)
from tests.unit.functions.conftest import Output, World


def event(outcome: str, **changes: Any) -> dict[str, Any]:
    decline_code = "do_not_honor" if outcome == "declined" else None
    paid = payment("payment-of-ours-1", outcome, decline_code=decline_code)  # type: ignore[arg-type]
    charge = {"outcome": outcome, "gateway": "sparkle", "charge_id": "ch_1", "decline_code": decline_code}
    if outcome in METRICS:
        charge["shown"] = charge_of(paid).to_dict()  # type: ignore[assignment]
    return {
        "payment_id": "payment-of-ours-1",
        "started_at": STARTED_AT,
        "payment": REQUEST.to_dict(),
        "card": SUMMARY.to_dict(),
        "transaction_id": TRANSACTION_ID,
        "charge": charge,
        "flags": [],
    } | changes


@pytest.mark.parametrize("outcome", ["captured", "authorized", "declined"])
def test_what_the_gateway_decided_is_recorded_and_counted(world: World, output: Output, outcome: str) -> None:
    recorded = handler(event(outcome), None)
    paid = world.ledger.records["payment-of-ours-1"].payment
    assert recorded["status"] == paid.status == outcome
    assert (paid.transaction_id, paid.charge_id) == (TRANSACTION_ID, "ch_1")
    assert paid.decline_code == ("do_not_honor" if outcome == "declined" else None)
    assert (paid.created_at, paid.updated_at > STARTED_AT) == (STARTED_AT, True)
    assert output.metrics() == {METRICS[outcome]: [1.0]}
    assert {line["payment_id"] for line in output.logs()} == {"payment-of-ours-1"}


def test_the_networks_id_is_stored_with_the_card_and_leaves_no_trace(world: World, output: Output) -> None:
    world.held_cards.hold("payment-of-ours-1", HeldCard(b"ciphertext"), STARTED_AT)
    captured = event("captured")
    recorded = handler(
        captured | {"charge": captured["charge"] | {"network_transaction_id": NETWORK_TRANSACTION_ID}}, None
    )
    assert world.card_vault.cards[TOKEN].network_transaction_id == NETWORK_TRANSACTION_ID
    assert NETWORK_TRANSACTION_ID not in output.text + str(recorded) + str(world.ledger.records)


def test_what_a_rule_denied_is_recorded_by_the_cause_of_screens_error_and_no_decline_of_the_gateway(
    world: World, output: Output
) -> None:
    verdict = {"action": "deny", "rule": "amount_cap", "decline_code": "screened:amount_cap", "flags": ["amount_high"]}
    cause = {"errorMessage": json.dumps(verdict), "errorType": "PaymentDenied", "stackTrace": []}
    assert set(facts("lambda_errors")["cause_has"]) <= set(cause)
    denied = {name: event("captured")[name] for name in ("payment_id", "started_at", "payment", "card")}
    assert handler(denied | {"denied": json.dumps(cause)}, None)["status"] == "declined"
    recorded = world.ledger.records["payment-of-ours-1"].payment
    assert (recorded.status, recorded.decline_code) == ("declined", "screened:amount_cap")
    assert (recorded.flags, recorded.card) == (("amount_high",), SUMMARY.without_token())
    assert (recorded.transaction_id, recorded.charge_id) == (None, None)
    assert output.metrics() == {"PaymentDeclined": [1.0]}
    assert (world.card_vault.cards, world.velocity_counter.declines) == ({}, {})


@pytest.mark.parametrize("status", ["captured", "declined", "refunded", "voided"])
def test_of_a_payment_that_was_recorded_before_it_says_what_the_record_says(
    world: World, output: Output, status: Status
) -> None:
    recorded = payment("payment-of-ours-1", status, charge_id="ch_of_long_ago")
    world.ledger.record(recorded)
    assert handler(event("recorded", charge={"outcome": "recorded"}), None) == recorded.outcome()
    assert world.ledger.records["payment-of-ours-1"].payment == recorded
    assert (world.card_vault.cards, output.metrics()) == ({}, {})


@pytest.mark.parametrize("status", ["reversed", "in_doubt"])
def test_a_payment_that_was_recorded_before_as_a_failure_fails_again(world: World, status: Status) -> None:
    world.ledger.record(recorded := payment("payment-of-ours-1", status))
    with pytest.raises(LedgerConflict, match=status):
        handler(event("recorded", charge={"outcome": "recorded"}), None)
    assert world.ledger.records["payment-of-ours-1"].payment == recorded


def test_what_could_not_be_recorded_is_not_counted(world: World, output: Output) -> None:
    world.ledger.faults.arm("record", LEDGER_DOWN)
    with pytest.raises(LedgerUnavailable):
        handler(event("captured"), None)
    assert output.metrics() == {}


def test_an_outcome_that_nobody_knows_is_not_recorded(world: World, output: Output) -> None:
    with pytest.raises(InvalidInput):
        handler(event("pending"), None)
    assert world.ledger.records == {}
    assert output.logs()[-1]["reason"].startswith("charge/outcome breaks the contract")


def test_a_charge_that_was_moved_meanwhile_is_counted_as_what_was_asked_for(world: World, output: Output) -> None:
    authorized = event("authorized")
    authorized["charge"]["shown"] |= {"status": "captured", "captured_minor": 600}
    assert handler(authorized, None)["status"] == "captured"
    assert output.metrics() == {"PaymentAuthorized": [1.0]}


def test_a_rejected_payment_is_erased_and_not_recorded(world: World, output: Output) -> None:
    world.held_cards.hold("payment-of-ours-1", HeldCard(b"ciphertext"), STARTED_AT)
    handler({"payment_id": "payment-of-ours-1", "rejected": "ExpiredCard"}, None)
    assert (world.held_cards.cards, world.held_cards.ended) == ({}, {"payment-of-ours-1"})
    assert world.ledger.records == {}
    assert output.metrics() == {}


@pytest.mark.parametrize("kind", ["captured", "recorded", "denied"])
def test_what_is_held_is_erased_once_the_payment_is_recorded(world: World, kind: str) -> None:
    verdict = json.dumps({"decline_code": "screened:amount_cap", "flags": []})
    denied = {name: event("captured")[name] for name in ("payment_id", "started_at", "payment", "card")}
    events = {
        "captured": event("captured"),
        "recorded": event("recorded", charge={"outcome": "recorded"}),
        "denied": denied | {"denied": json.dumps({"errorMessage": verdict})},
    }
    if kind == "recorded":
        world.ledger.record(payment("payment-of-ours-1"))
    world.held_cards.hold("payment-of-ours-1", HeldCard(b"ciphertext"), STARTED_AT)
    world.held_cards.faults.arm("erase", LEDGER_DOWN)
    with pytest.raises(LedgerUnavailable):
        handler(events[kind], None)
    assert "payment-of-ours-1" in world.ledger.records
    handler(events[kind], None)
    assert world.held_cards.cards == {}
