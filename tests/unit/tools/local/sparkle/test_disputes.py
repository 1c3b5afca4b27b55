"""Disputes of a charge, by the contract: what they take, return and forbid."""

from typing import Any

import pytest

from tests.unit.tools.local.sparkle.conftest import Sparkle


def dispute(sparkle: Sparkle, charge: dict[str, Any], **body: Any) -> dict[str, Any]:
    """Open a dispute, and return the charge."""
    answer = sparkle.post(f"/sandbox/charges/{charge['id']}/disputes", body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json)


def end(sparkle: Sparkle, charge: dict[str, Any], how: str) -> dict[str, Any]:
    """End the newest dispute, and return the charge."""
    answer = sparkle.post(f"/sandbox/disputes/{charge['disputes'][-1]['id']}/{how}")
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
    path = f"/sandbox/charges/{charge['id']}/disputes"
    assert refused(sparkle.post(path, {})) == (422, "amount_exceeds_captured")


def test_only_what_was_captured_can_be_disputed(sparkle: Sparkle) -> None:
    charge = sparkle.charge(capture=False)
    assert refused(sparkle.post(f"/sandbox/charges/{charge['id']}/disputes", {})) == (409, "invalid_state")


def test_what_is_disputed_is_not_refunded_unless_it_was_won(sparkle: Sparkle) -> None:
    charge = dispute(sparkle, sparkle.charge(), amount_minor=1500)
    refunds = f"/v1/charges/{charge['id']}/refunds"
    assert refused(sparkle.post(refunds, {"amount_minor": 500})) == (409, "charge_disputed")
    assert refused(sparkle.post(refunds, {"amount_minor": 2000})) == (422, "amount_exceeds_captured")
    assert sparkle.post(refunds, {}).json["amount_minor"] == 499
    assert refused(sparkle.post(refunds, {})) == (409, "charge_disputed")
    won = end(sparkle, charge, "win")
    assert (won["disputes"][0]["status"], won["disputed_minor"]) == ("won", 0)
    assert sparkle.post(refunds, {}).json["amount_minor"] == 1500


def test_a_lost_dispute_has_cost_its_amount(sparkle: Sparkle) -> None:
    charge = end(sparkle, dispute(sparkle, sparkle.charge()), "lose")
    assert (charge["status"], charge["disputed_minor"], charge["disputes"][0]["status"]) == ("captured", 1999, "lost")
    assert refused(sparkle.post(f"/v1/charges/{charge['id']}/refunds", {})) == (409, "charge_disputed")


@pytest.mark.parametrize("first", ["win", "lose"])
@pytest.mark.parametrize("second", ["win", "lose"])
def test_a_dispute_ends_once(sparkle: Sparkle, first: str, second: str) -> None:
    charge = end(sparkle, dispute(sparkle, sparkle.charge()), first)
    path = f"/sandbox/disputes/{charge['disputes'][0]['id']}/{second}"
    assert refused(sparkle.post(path)) == (409, "invalid_state")
    assert refused(sparkle.post("/sandbox/disputes/dp_none/win")) == (404, "dispute_not_found")


def test_the_report_has_what_was_taken_with_the_fee_and_what_returned_without(sparkle: Sparkle) -> None:
    charge = dispute(sparkle, sparkle.charge(), amount_minor=700)
    sparkle.clock.advance(days=9)
    end(sparkle, charge, "win")
    end(sparkle, dispute(sparkle, charge), "lose")
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
    end(sparkle, charge, "win")
    reversed_ = sparkle.reverse(charge["reference"])
    assert (reversed_["result"], reversed_["charge"]["status"]) == ("refunded", "refunded")


def test_what_a_lost_dispute_has_cost_counts_as_given_back(sparkle: Sparkle) -> None:
    charge = end(sparkle, dispute(sparkle, sparkle.charge(), amount_minor=1500), "lose")
    reversed_ = sparkle.reverse(charge["reference"])
    assert (reversed_["result"], reversed_["charge"]["refunded_minor"]) == ("refunded", 499)
    assert sparkle.reverse(charge["reference"]) == reversed_


def test_every_step_is_reported(sparkle: Sparkle) -> None:
    reported: list[dict[str, Any]] = []
    sparkle.book.report = reported.append
    charge = end(sparkle, dispute(sparkle, sparkle.charge()), "win")
    end(sparkle, dispute(sparkle, charge), "lose")
    events = [each for each in reported if each["dispute_id"]]
    assert [each["type"] for each in events] == ["dispute.opened", "dispute.won", "dispute.opened", "dispute.lost"]
    assert {(each["charge_id"], each["reference"]) for each in events} == {(charge["id"], charge["reference"])}
