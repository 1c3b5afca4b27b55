import pytest

from tests.unit.local.sparkle.conftest import Sparkle


def test_a_day_settles_its_charges_with_their_fees_and_its_refunds(sparkle: Sparkle) -> None:
    charge = sparkle.charge("pay-1")
    sparkle.charge("pay-2", currency="JPY", amount_minor=500)
    sparkle.refund(charge, amount_minor=99)
    lines = sparkle.settlement()
    assert [(ln["reference"], ln["type"], ln["amount_minor"], ln["fee_minor"], ln["currency"]) for ln in lines] == [
        ("pay-1", "charge", 1999, 58, "USD"),
        ("pay-2", "charge", 500, 15, "JPY"),
        ("pay-1", "refund", -99, 0, "USD"),
    ]
    assert {line["settled_at"] for line in lines} == {"2026-11-23T23:59:59.999Z"}
    assert lines[0]["charge_id"] == lines[2]["charge_id"] == charge["id"]


def test_a_movement_settles_on_its_own_utc_day(sparkle: Sparkle) -> None:
    charge = sparkle.charge(capture=False)
    sparkle.clock.advance(days=1)
    sparkle.post(f"/v1/charges/{charge['id']}/capture", {})
    sparkle.clock.advance(days=1)
    sparkle.post(f"/v1/charges/{charge['id']}/refunds", {})
    assert sparkle.settlement("2026-11-23") == []
    assert [line["type"] for line in sparkle.settlement("2026-11-24")] == ["charge"]
    assert [line["type"] for line in sparkle.settlement("2026-11-25")] == ["refund"]


def test_a_line_says_what_moved_and_under_which_reference(sparkle: Sparkle) -> None:
    charge = sparkle.charge()
    named, nameless = sparkle.refund(charge, amount_minor=500, refund_reference="return-1"), sparkle.refund(charge)
    sparkle.fail(named)
    assert [(line["type"], line["id"], line["refund_reference"]) for line in sparkle.settlement()] == [
        ("charge", charge["id"], None),
        ("refund", named["id"], "return-1"),
        ("refund", nameless["id"], None),
        ("refund_failed", named["id"], "return-1"),
    ]


def test_a_failed_refund_comes_back_on_the_day_on_which_it_failed(sparkle: Sparkle) -> None:
    charge = sparkle.charge()
    refund = sparkle.refund(charge, amount_minor=500)
    sparkle.clock.advance(days=3)
    sparkle.fail(refund)
    lines = sparkle.settlement("2026-11-23") + sparkle.settlement("2026-11-26")
    assert [(line["type"], line["amount_minor"], line["fee_minor"]) for line in lines] == [
        ("charge", 1999, 58),
        ("refund", -500, 0),
        ("refund_failed", 500, 0),
    ]
    assert lines[2]["charge_id"] == charge["id"]


def test_an_authorization_and_a_void_settle_nothing(sparkle: Sparkle) -> None:
    sparkle.charge("pay-1", capture=False)
    voided = sparkle.charge("pay-2", capture=False)
    sparkle.post(f"/v1/charges/{voided['id']}/void", {})
    assert sparkle.settlement() == []


@pytest.mark.parametrize("date", ["", "today", "2026-02-30", "20261123", "2026-W48-1", "2026-1-3"])
def test_a_date_that_is_no_iso_day_is_refused(sparkle: Sparkle, date: str) -> None:
    answer = sparkle.get(f"/v1/settlements?date={date}")
    assert (answer.status_code, answer.json["error"]["code"]) == (422, "invalid_request")
