from typing import Any

import pytest

from tests.unit.tools.local.sparkle.conftest import Sparkle, charge_request


def refused(sparkle: Sparkle, reference: str = "pay-1") -> str:
    """The error code with which a new charge for the reference is refused."""
    answer = sparkle.post("/v1/charges", charge_request(reference))
    assert answer.status_code == 409
    return str(answer.json["error"]["code"])


def net_minor(charge: dict[str, Any]) -> int:
    return int(charge["captured_minor"]) - int(charge["refunded_minor"])


def test_a_charge_that_arrives_after_its_reversal_is_refused(sparkle: Sparkle) -> None:
    assert sparkle.reverse() == {"reference": "pay-1", "result": "tombstoned", "charge": None}
    assert refused(sparkle) == "reference_reversed"
    assert sparkle.find() == []
    assert sparkle.charge("pay-2")["status"] == "captured"


def test_a_captured_charge_is_voided_before_it_settles(sparkle: Sparkle) -> None:
    sparkle.charge()
    reversal = sparkle.reverse()
    assert (reversal["result"], reversal["charge"]["status"]) == ("voided", "voided")
    assert net_minor(reversal["charge"]) == 0
    assert reversal["charge"]["fee_minor"] is None
    assert sparkle.settlement() == []


def test_a_captured_charge_is_refunded_once_its_day_has_settled(sparkle: Sparkle) -> None:
    sparkle.charge()
    sparkle.clock.advance(hours=12)
    reversal = sparkle.reverse()
    assert (reversal["result"], reversal["charge"]["status"]) == ("refunded", "refunded")
    assert net_minor(reversal["charge"]) == 0
    assert [line["amount_minor"] for line in sparkle.settlement("2026-11-23")] == [1999]
    assert [line["amount_minor"] for line in sparkle.settlement("2026-11-24")] == [-1999]


def test_a_charge_is_not_settled_until_the_last_millisecond_of_its_day(sparkle: Sparkle) -> None:
    sparkle.charge()
    sparkle.clock.advance(hours=11, minutes=59, seconds=59.999)
    assert sparkle.reverse()["result"] == "voided"


def test_an_authorization_is_voided(sparkle: Sparkle) -> None:
    sparkle.charge(capture=False)
    sparkle.clock.advance(days=3)
    assert sparkle.reverse()["result"] == "voided"


def test_of_a_partly_refunded_charge_the_rest_is_refunded(sparkle: Sparkle) -> None:
    charge = sparkle.charge()
    sparkle.post(f"/v1/charges/{charge['id']}/refunds", {"amount_minor": 500})
    reversal = sparkle.reverse()
    assert reversal["result"] == "refunded"
    assert net_minor(reversal["charge"]) == 0
    assert [line["amount_minor"] for line in sparkle.settlement()] == [1999, -500, -1499]


@pytest.mark.parametrize("action", ["void", "refunds"])
def test_what_was_undone_before_is_already_reversed(sparkle: Sparkle, action: str) -> None:
    charge = sparkle.charge(capture=action == "refunds")
    sparkle.post(f"/v1/charges/{charge['id']}/{action}", {})
    assert sparkle.reverse()["result"] == "already_reversed"


def test_a_declined_charge_needs_no_undoing_and_leaves_a_tombstone(sparkle: Sparkle) -> None:
    sparkle.post("/v1/charges", charge_request(number="4000000000009995"))
    reversal = sparkle.reverse()
    assert (reversal["result"], reversal["charge"]["status"]) == ("declined", "declined")
    assert refused(sparkle) == "reference_reversed"


@pytest.mark.parametrize("days", [0, 1])
@pytest.mark.parametrize("charged", [True, False])
def test_reversing_again_gives_the_same_result_and_moves_nothing(sparkle: Sparkle, charged: bool, days: int) -> None:
    if charged:
        sparkle.charge()
    sparkle.clock.advance(days=days)
    first = sparkle.reverse()
    sparkle.clock.advance(days=1)
    assert sparkle.reverse() == first
    assert sum(line["amount_minor"] for day in (23, 24, 25) for line in sparkle.settlement(f"2026-11-{day}")) == 0


@pytest.mark.parametrize(("before_minor", "result"), [(0, "refunded"), (500, "refunded"), (1999, "already_reversed")])
def test_reversing_again_makes_a_failed_refund_anew(sparkle: Sparkle, before_minor: int, result: str) -> None:
    charge = sparkle.charge()
    if before_minor:
        sparkle.refund(charge, amount_minor=before_minor)
    sparkle.clock.advance(days=1)
    first = sparkle.reverse()
    assert first["result"] == result
    for refund in sparkle.refunds(charge):
        sparkle.fail(refund)
    assert net_minor(sparkle.find()[0]) == 1999
    for _ in range(2):
        again = sparkle.reverse()
        assert (again["result"], net_minor(again["charge"])) == (result, 0)
    assert [refund["amount_minor"] for refund in sparkle.refunds(charge) if refund["status"] == "succeeded"] == [1999]


def test_a_charge_whose_refund_failed_on_the_same_day_is_voided_and_its_day_comes_to_nothing(sparkle: Sparkle) -> None:
    sparkle.fail(sparkle.refund(sparkle.charge()))
    assert sparkle.reverse()["result"] == "voided"
    assert [(line["type"], line["amount_minor"]) for line in sparkle.settlement()] == [
        ("refund", -1999),
        ("refund_failed", 1999),
    ]


def test_a_reversed_charge_is_done_with(sparkle: Sparkle) -> None:
    charge = sparkle.charge()
    sparkle.reverse()
    for action in ("capture", "void", "refunds"):
        answer = sparkle.post(f"/v1/charges/{charge['id']}/{action}", {})
        assert (answer.status_code, answer.json["error"]["code"]) == (409, "invalid_state")
    assert refused(sparkle) == "reference_reversed"


@pytest.mark.parametrize("body", [None, {}, {"reference": ""}, {"reference": 1}, {"reference": "a", "id": "b"}])
def test_a_reversal_checks_its_body(sparkle: Sparkle, body: Any) -> None:
    assert sparkle.post("/v1/reversals", body).status_code == 422
