from typing import Any

import pytest

from tests.unit.tools.local.sparkle.conftest import Sparkle


def test_refunds_go_on_until_the_captured_amount_is_used_up(sparkle: Sparkle) -> None:
    charge = sparkle.charge()
    path = f"/v1/charges/{charge['id']}/refunds"
    first = sparkle.post(path, {"amount_minor": 500})
    assert (first.status_code, first.json["amount_minor"]) == (201, 500)
    assert first.json["charge"]["status"] == "partially_refunded"
    too_much = sparkle.post(path, {"amount_minor": 1500})
    assert (too_much.status_code, too_much.json["error"]["code"]) == (422, "amount_exceeds_captured")
    rest = sparkle.post(path, {})
    assert (rest.json["amount_minor"], rest.json["charge"]["status"]) == (1499, "refunded")
    assert rest.json["charge"]["refunded_minor"] == 1999
    assert rest.json["id"] != first.json["id"]
    for body in ({}, {"amount_minor": 1}):
        answer = sparkle.post(path, body)
        assert (answer.status_code, answer.json["error"]["code"]) == (422, "amount_exceeds_captured")


def test_only_what_was_captured_can_be_refunded(sparkle: Sparkle) -> None:
    charge = sparkle.charge(capture=False)
    answer = sparkle.post(f"/v1/charges/{charge['id']}/refunds", {})
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "invalid_state")


def test_a_refund_has_the_reference_it_was_made_with_or_none(sparkle: Sparkle) -> None:
    charge = sparkle.charge()
    named, nameless = sparkle.refund(charge, amount_minor=500, refund_reference="return-1"), sparkle.refund(charge)
    assert (named["refund_reference"], named["status"], named["amount_minor"]) == ("return-1", "succeeded", 500)
    assert (nameless["refund_reference"], nameless["status"], nameless["amount_minor"]) == (None, "succeeded", 1499)


@pytest.mark.parametrize("again", [{}, {"amount_minor": 1}, {"amount_minor": 2000}])
@pytest.mark.parametrize("first", [{}, {"amount_minor": 500}])
def test_a_refund_reference_is_refunded_once_whatever_the_key_and_the_amount(
    sparkle: Sparkle, first: dict[str, int], again: dict[str, int]
) -> None:
    charge = sparkle.charge()
    refund = sparkle.refund(charge, refund_reference="return-1", **first)
    answer = sparkle.post(f"/v1/charges/{charge['id']}/refunds", again | {"refund_reference": "return-1"})
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "refund_reference_used")
    assert sparkle.refunds(charge) == [refund]
    assert sparkle.find()[0]["refunded_minor"] == refund["amount_minor"]


def test_a_refund_with_a_reference_is_replayed_to_its_own_key(sparkle: Sparkle) -> None:
    charge = sparkle.charge()
    path, body = f"/v1/charges/{charge['id']}/refunds", {"amount_minor": 500, "refund_reference": "return-1"}
    first, again = (sparkle.post(path, body, key="k") for _ in range(2))
    assert (again.status_code, again.json) == (201, first.json)
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_refund_reference_belongs_to_one_charge(sparkle: Sparkle) -> None:
    charges = [sparkle.charge("pay-1"), sparkle.charge("pay-2")]
    refunds = [sparkle.refund(charge, refund_reference="return-1") for charge in charges]
    assert [sparkle.refunds(charge) for charge in charges] == [[refund] for refund in refunds]


def test_a_refused_refund_leaves_its_reference_free(sparkle: Sparkle) -> None:
    charge = sparkle.charge()
    too_much = {"amount_minor": 2000, "refund_reference": "return-1"}
    assert sparkle.post(f"/v1/charges/{charge['id']}/refunds", too_much).status_code == 422
    assert sparkle.refunds(charge) == []
    assert sparkle.refund(charge, refund_reference="return-1")["amount_minor"] == 1999


def test_refunds_are_listed_oldest_first_with_the_charge_as_it_is_now(sparkle: Sparkle) -> None:
    charge = sparkle.charge()
    assert sparkle.refunds(charge) == []
    first = sparkle.refund(charge, amount_minor=500, refund_reference="return-1")
    sparkle.clock.advance(hours=1)
    second = sparkle.refund(charge)
    now = second["charge"]
    assert (first["charge"]["status"], now["status"]) == ("partially_refunded", "refunded")
    assert sparkle.refunds(charge) == [first | {"charge": now}, second]


def test_a_refund_is_found_by_its_reference(sparkle: Sparkle) -> None:
    charge = sparkle.charge()
    sparkle.refund(charge, amount_minor=1)
    refund = sparkle.refund(charge, amount_minor=2, refund_reference="return-1")
    sparkle.refund(sparkle.charge("pay-2"), refund_reference="return-2")
    assert sparkle.refunds(charge, refund_reference="return-1") == [refund]
    assert sparkle.refunds(charge, refund_reference="return-2") == []


def test_the_refund_of_a_reversal_is_listed_and_has_no_reference(sparkle: Sparkle) -> None:
    charge = sparkle.charge()
    sparkle.refund(charge, amount_minor=500, refund_reference="return-1")
    reversal = sparkle.reverse()
    refund = sparkle.refunds(charge)[1]
    assert (refund["refund_reference"], refund["status"], refund["amount_minor"]) == (None, "succeeded", 1499)
    assert refund["charge"] == reversal["charge"]


@pytest.mark.parametrize("refund_reference", ["", "r" * 129, 1, None])
def test_a_refund_reference_has_1_to_128_characters(sparkle: Sparkle, refund_reference: object) -> None:
    path = f"/v1/charges/{sparkle.charge()['id']}/refunds"
    answer = sparkle.post(path, {"refund_reference": refund_reference})
    assert (answer.status_code, answer.json["error"]["code"]) == (422, "invalid_request")
    assert "refund_reference" in answer.json["error"]["message"]
    longest = sparkle.post(path, {"refund_reference": "r" * 128})
    assert longest.status_code == 201


@pytest.mark.parametrize("query", ["?refund_reference=", f"?refund_reference={'r' * 129}", "?reference=return-1"])
def test_a_search_for_refunds_checks_its_query(sparkle: Sparkle, query: str) -> None:
    answer = sparkle.get(f"/v1/charges/{sparkle.charge()['id']}/refunds{query}")
    assert (answer.status_code, answer.json["error"]["code"]) == (422, "invalid_request")


def test_an_unknown_charge_has_no_list_of_refunds(sparkle: Sparkle) -> None:
    answer = sparkle.get("/v1/charges/ch_unknown/refunds")
    assert (answer.status_code, answer.json["error"]["code"]) == (404, "charge_not_found")


def test_a_failed_refund_leaves_the_charge_as_it_was_before(sparkle: Sparkle) -> None:
    charge = sparkle.charge()
    first, second = sparkle.refund(charge, amount_minor=500), sparkle.refund(charge)
    failed = sparkle.fail(second)
    assert failed == second | {"status": "failed", "charge": failed["charge"]}
    assert without_refunds(failed["charge"]) == without_refunds(first["charge"])
    assert sparkle.refunds(charge) == [first | {"charge": failed["charge"]}, failed]
    assert without_refunds(sparkle.fail(first)["charge"]) == without_refunds(charge)
    assert [refund["status"] for refund in sparkle.refunds(charge)] == ["failed", "failed"]


def test_the_earlier_of_two_refunds_may_fail_too(sparkle: Sparkle) -> None:
    charge = sparkle.charge()
    first, _ = sparkle.refund(charge, amount_minor=500), sparkle.refund(charge)
    charge_left = sparkle.fail(first)["charge"]
    assert (charge_left["status"], charge_left["refunded_minor"]) == ("partially_refunded", 1499)


def test_what_a_failed_refund_brought_back_can_be_refunded_under_a_new_reference_only(sparkle: Sparkle) -> None:
    charge = sparkle.charge()
    sparkle.fail(sparkle.refund(charge, refund_reference="return-1"))
    answer = sparkle.post(f"/v1/charges/{charge['id']}/refunds", {"refund_reference": "return-1"})
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "refund_reference_used")
    assert sparkle.refund(charge, refund_reference="return-2")["amount_minor"] == 1999


def test_a_refund_fails_once(sparkle: Sparkle) -> None:
    charge = sparkle.charge()
    refund = sparkle.refund(charge)
    sparkle.fail(refund)
    for end in ("fail", "succeed"):
        answer = sparkle.post(f"/sandbox/refunds/{refund['id']}/{end}")
        assert (answer.status_code, answer.json["error"]["code"]) == (409, "invalid_state")
    assert without_refunds(sparkle.find()[0]) == without_refunds(charge)


def test_an_unknown_refund_cannot_fail(sparkle: Sparkle) -> None:
    answer = sparkle.post("/sandbox/refunds/re_unknown/fail")
    assert (answer.status_code, answer.json["error"]["code"]) == (404, "refund_not_found")


def test_a_refund_is_replayed_as_it_was_though_it_has_failed(sparkle: Sparkle) -> None:
    path = f"/v1/charges/{sparkle.charge()['id']}/refunds"
    first = sparkle.post(path, {}, key="k")
    sparkle.fail(first.json)
    assert sparkle.post(path, {}, key="k").json == first.json


def without_refunds(charge: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in charge.items() if name != "refunds"}


def test_a_charge_shows_its_refunds(sparkle: Sparkle) -> None:
    charge = sparkle.charge()
    refunds = [sparkle.refund(charge, amount_minor=500, refund_reference="return-1"), sparkle.refund(charge)]
    listed = sparkle.find()[0]["refunds"]
    assert listed == [{name: refund[name] for name in listed[0]} for refund in refunds]


def test_a_pending_refund_gives_nothing_back_yet_and_its_money_is_refunded_by_nobody_else(sparkle: Sparkle) -> None:
    charge = sparkle.charge()
    sparkle.break_next("refund", "refund_pending")
    pending = sparkle.refund(charge, amount_minor=1500)
    assert (pending["status"], pending["charge"]["status"], pending["charge"]["refunded_minor"]) == (
        "pending",
        "captured",
        0,
    )
    answer = sparkle.post(f"/v1/charges/{charge['id']}/refunds", {"amount_minor": 500})
    assert (answer.status_code, answer.json["error"]["code"]) == (422, "amount_exceeds_captured")
    assert [line["type"] for line in sparkle.settlement()] == ["charge"]
    assert sparkle.refund(charge)["amount_minor"] == 499


def test_a_pending_refund_succeeds_once_and_settles_then(sparkle: Sparkle) -> None:
    charge = sparkle.charge()
    sparkle.break_next("refund", "refund_pending")
    pending = sparkle.refund(charge)
    sparkle.clock.advance(days=1)
    succeeded = sparkle.post(f"/sandbox/refunds/{pending['id']}/succeed").json
    assert (succeeded["status"], succeeded["charge"]["status"]) == ("succeeded", "refunded")
    assert [line["type"] for line in sparkle.settlement("2026-11-24")] == ["refund"]
    again = sparkle.post(f"/sandbox/refunds/{pending['id']}/succeed")
    assert (again.status_code, again.json["error"]["code"]) == (409, "invalid_state")


def test_a_pending_refund_that_fails_has_settled_nothing(sparkle: Sparkle) -> None:
    charge = sparkle.charge()
    sparkle.break_next("refund", "refund_pending")
    failed = sparkle.fail(sparkle.refund(charge))
    assert (failed["status"], failed["charge"]["status"]) == ("failed", "captured")
    assert [line["type"] for line in sparkle.settlement()] == ["charge"]
    assert sparkle.refund(charge)["amount_minor"] == 1999


def test_a_refund_may_fail_at_once(sparkle: Sparkle) -> None:
    sparkle.break_next("refund", "refund_failed")
    refund = sparkle.refund(sparkle.charge())
    assert (refund["status"], refund["charge"]["refunded_minor"]) == ("failed", 0)


def test_a_reversal_voids_nothing_that_a_refund_may_yet_give_back(sparkle: Sparkle) -> None:
    charge = sparkle.charge()
    sparkle.break_next("refund", "refund_pending")
    pending = sparkle.refund(charge, amount_minor=1500)
    assert sparkle.reverse()["result"] == "refunded"
    sparkle.fail(pending)
    assert sparkle.reverse()["charge"]["status"] == "refunded"
