"""Disputes of a charge, by the contract: what they take, return and forbid."""

from typing import Any

import pytest

from tests.unit.tools.local.sparkle.conftest import Sparkle


def path_of(charge: dict[str, Any]) -> str:
    return f"/sandbox/charges/{charge['id']}/dispute"


def dispute(sparkle: Sparkle, charge: dict[str, Any], **body: Any) -> dict[str, Any]:
    """Open a dispute unless the body says otherwise, and return the charge."""
    answer = sparkle.post(path_of(charge), body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json)


def refused(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json["error"]["code"]


def test_a_dispute_is_of_what_is_not_refunded_or_of_a_part_of_it(sparkle: Sparkle) -> None:
    charge = sparkle.charge()
    sparkle.refund(charge, amount_minor=499)
    first = dispute(sparkle, charge, amount_minor=1000, reason="product_not_received")
    assert first["disputes"][0] == first["disputes"][0] | {
        "status": "open",
        "amount_minor": 1000,
        "reason": "product_not_received",
        "opened_at": "2026-11-23T12:00:00.000Z",
        "ended_at": None,
    }
    second = dispute(sparkle, charge)
    assert [each["amount_minor"] for each in second["disputes"]] == [1000, 500]
    assert (second["status"], second["disputed_minor"]) == ("partially_refunded", 1500)
    assert refused(sparkle.post(path_of(charge), {})) == (422, "amount_exceeds_captured")


def test_only_what_was_captured_can_be_disputed(sparkle: Sparkle) -> None:
    charge = sparkle.charge(capture=False)
    assert refused(sparkle.post(path_of(charge), {})) == (409, "invalid_state")


def test_what_is_disputed_is_not_refunded_unless_it_was_won(sparkle: Sparkle) -> None:
    charge = dispute(sparkle, sparkle.charge(), amount_minor=1500)
    refunds = f"/v1/charges/{charge['id']}/refunds"
    assert refused(sparkle.post(refunds, {"amount_minor": 500})) == (409, "charge_disputed")
    assert refused(sparkle.post(refunds, {"amount_minor": 2000})) == (422, "amount_exceeds_captured")
    assert sparkle.post(refunds, {}).json["amount_minor"] == 499
    assert refused(sparkle.post(refunds, {})) == (409, "charge_disputed")
    won = dispute(sparkle, charge, outcome="won")
    assert (won["disputes"][0]["status"], won["disputed_minor"]) == ("won", 0)
    assert sparkle.post(refunds, {}).json["amount_minor"] == 1500


def test_a_lost_dispute_has_cost_its_amount(sparkle: Sparkle) -> None:
    charge = dispute(sparkle, sparkle.charge(), outcome="lost")
    assert (charge["status"], charge["disputed_minor"], charge["disputes"][0]["status"]) == ("captured", 1999, "lost")
    assert refused(sparkle.post(f"/v1/charges/{charge['id']}/refunds", {})) == (409, "charge_disputed")


@pytest.mark.parametrize("outcome", ["won", "lost"])
def test_the_bank_decides_the_oldest_open_dispute_or_one_that_is_opened_for_it(sparkle: Sparkle, outcome: str) -> None:
    charge = sparkle.charge()
    for amount_minor in (300, 500):
        dispute(sparkle, charge, amount_minor=amount_minor)
    for decided in (["open"], [outcome], [outcome, outcome]):
        charge = dispute(sparkle, charge, outcome=outcome, amount_minor=199)
        assert [each["status"] for each in charge["disputes"]] == [outcome, *decided]
    assert [each["amount_minor"] for each in charge["disputes"]] == [300, 500, 199]


@pytest.mark.parametrize("outcome", ["win", "", None])
def test_another_outcome_is_refused(sparkle: Sparkle, outcome: str | None) -> None:
    assert refused(sparkle.post(path_of(sparkle.charge()), {"outcome": outcome})) == (422, "invalid_request")


def test_the_report_has_what_was_taken_with_the_fee_and_what_returned_without(sparkle: Sparkle) -> None:
    charge = dispute(sparkle, sparkle.charge(), amount_minor=700)
    sparkle.clock.advance(days=9)
    dispute(sparkle, charge, outcome="won")
    dispute(sparkle, charge, outcome="lost")
    lines = sparkle.settlement("2026-11-23")[1:] + sparkle.settlement("2026-12-02")
    assert [(line["type"], line["amount_minor"], line["fee_minor"]) for line in lines] == [
        ("dispute", -700, 1500),
        ("dispute_reversal", 700, 0),
        ("dispute", -1999, 1500),
    ]
    assert {(line["charge_id"], line["reference"], line["refund_reference"]) for line in lines} == {
        (charge["id"], charge["reference"], None)
    }
    assert lines[0]["id"] == lines[1]["id"] == charge["disputes"][0]["id"]


def test_while_a_dispute_is_open_nothing_is_reversed(sparkle: Sparkle) -> None:
    charge = dispute(sparkle, sparkle.charge())
    reversal: dict[str, Any] = {"reference": charge["reference"]}
    assert refused(sparkle.post("/v1/reversals", reversal)) == (409, "charge_disputed")
    dispute(sparkle, charge, outcome="won")
    reversed_ = sparkle.reverse(charge["reference"])
    assert (reversed_["result"], reversed_["charge"]["status"]) == ("refunded", "refunded")


def test_what_a_lost_dispute_has_cost_counts_as_given_back(sparkle: Sparkle) -> None:
    charge = dispute(sparkle, sparkle.charge(), outcome="lost", amount_minor=1500)
    reversed_ = sparkle.reverse(charge["reference"])
    assert (reversed_["result"], reversed_["charge"]["refunded_minor"]) == ("refunded", 499)
    assert sparkle.reverse(charge["reference"]) == reversed_


def test_every_step_is_reported(sparkle: Sparkle) -> None:
    reported: list[dict[str, Any]] = []
    sparkle.book.report = reported.append
    charge = dispute(sparkle, dispute(sparkle, sparkle.charge()), outcome="won")
    dispute(sparkle, charge, outcome="lost")
    events = [each for each in reported if each["dispute_id"]]
    assert [each["type"] for each in events] == ["dispute.opened", "dispute.won", "dispute.opened", "dispute.lost"]
    assert {(each["charge_id"], each["reference"]) for each in events} == {(charge["id"], charge["reference"])}
