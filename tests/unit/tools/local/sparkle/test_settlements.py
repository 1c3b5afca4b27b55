from typing import Any

import pytest

from tests.unit.tools.local.sparkle.conftest import Sparkle, headers
from tools.local.sparkle.charges import ChargeBook
from tools.local.sparkle.settlements import SettlementLine


def pages(sparkle: Sparkle, limit: int) -> list[dict[str, Any]]:
    """The day's report, all pages."""
    read = [sparkle.report(limit=limit)]
    while cursor := read[-1]["next_cursor"]:
        read.append(sparkle.report(limit=limit, cursor=cursor))
    return read


def refused(sparkle: Sparkle, **query: Any) -> str:
    """The error message for this query."""
    answer = sparkle.get("/v1/settlements", query_string={"date": "2026-11-23"} | query)
    assert (answer.status_code, answer.json["error"]["code"]) == (422, "invalid_request")
    return str(answer.json["error"]["message"])


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


@pytest.mark.parametrize("day", ["", "today", "2026-02-30", "20261123", "2026-W48-1", "2026-1-3"])
def test_a_date_that_is_no_iso_day_is_refused(sparkle: Sparkle, day: str) -> None:
    assert "date" in refused(sparkle, date=day)


def test_a_report_has_control_totals_by_currency(sparkle: Sparkle) -> None:
    refund = sparkle.refund(sparkle.charge("pay-1"), amount_minor=500)
    sparkle.charge("pay-2", currency="JPY", amount_minor=500)
    sparkle.charge("pay-3", amount_minor=1000)
    sparkle.refund(sparkle.charge("pay-4", currency="EUR"))
    sparkle.fail(refund)
    report = sparkle.report()
    assert report["line_count"] == len(report["lines"]) == 7
    assert report["totals"] == [
        {"currency": "EUR", "amount_minor": 0, "fee_minor": 58},
        {"currency": "JPY", "amount_minor": 500, "fee_minor": 15},
        {"currency": "USD", "amount_minor": 2999, "fee_minor": 58 + 29},
    ]
    assert report["next_cursor"] is None


def test_a_day_without_lines_has_totals_of_nothing(sparkle: Sparkle) -> None:
    nothing = {"date": "2026-11-22", "lines": [], "line_count": 0, "totals": [], "next_cursor": None}
    sparkle.charge()
    assert sparkle.report("2026-11-22") == nothing


@pytest.mark.parametrize(("limit", "lengths"), [(1, [1] * 5), (2, [2, 2, 1]), (4, [4, 1]), (5, [5]), (10_000, [5])])
def test_a_report_is_read_page_by_page_and_each_has_the_whole_days_totals(
    sparkle: Sparkle, limit: int, lengths: list[int]
) -> None:
    for number in range(5):
        sparkle.charge(f"pay-{number}", currency=("USD", "JPY")[number % 2])
    report = sparkle.report()
    read = pages(sparkle, limit)
    assert [len(page["lines"]) for page in read] == lengths
    assert [line for page in read for line in page["lines"]] == report["lines"]
    for page in read:
        assert (page["date"], page["line_count"], page["totals"]) == ("2026-11-23", 5, report["totals"])


def test_a_page_without_a_limit_has_10000_lines(sparkle: Sparkle, monkeypatch: pytest.MonkeyPatch) -> None:
    sparkle.charge()
    lines = [SettlementLine(**sparkle.settlement()[0])] * 10_001
    monkeypatch.setattr(ChargeBook, "settlements", lambda *_: lines)
    first_page = sparkle.report()
    assert (len(first_page["lines"]), first_page["line_count"]) == (10_000, 10_001)
    rest = sparkle.report(cursor=first_page["next_cursor"])
    assert (len(rest["lines"]), rest["next_cursor"]) == (1, None)


@pytest.mark.parametrize("limit", ["", "0", "10001", "-1", "1.0", "ten", "٣", "99999999999"])
def test_a_page_has_1_to_10000_lines(sparkle: Sparkle, limit: str) -> None:
    assert "limit" in refused(sparkle, limit=limit)


@pytest.mark.parametrize("cursor", ["", "1", "next", "ÿ", "2026-11-23 1"])
def test_a_cursor_of_another_make_is_refused(sparkle: Sparkle, cursor: str) -> None:
    assert "cursor" in refused(sparkle, cursor=cursor)


@pytest.mark.parametrize(
    "inside", ["1", "2026-11-23", "2026-11-23 0", "2026-11-23 -1", "2026-11-23 01", "2026-11-24 1"]
)
def test_a_forged_cursor_is_refused(sparkle: Sparkle, inside: str) -> None:
    assert "cursor" in refused(sparkle, cursor=inside.encode().hex())


def test_a_cursor_is_good_for_its_own_day_only_and_only_as_it_was_given(sparkle: Sparkle) -> None:
    sparkle.charge("pay-1")
    sparkle.charge("pay-2")
    cursor = sparkle.report(limit=1)["next_cursor"]
    assert "cursor" in refused(sparkle, date="2026-11-24", cursor=cursor)
    assert "cursor" in refused(sparkle, cursor=cursor.upper())
    assert "cursor" in refused(sparkle, cursor=cursor[:-1])
    assert [line["reference"] for line in sparkle.report(cursor=cursor)["lines"]] == ["pay-2"]


def test_a_page_that_a_reversal_left_empty_is_the_last(sparkle: Sparkle) -> None:
    sparkle.charge("pay-1")
    sparkle.charge("pay-2")
    cursor = sparkle.report(limit=1)["next_cursor"]
    sparkle.reverse("pay-2")
    page = sparkle.report(limit=1, cursor=cursor)
    assert (page["lines"], page["line_count"], page["next_cursor"]) == ([], 1, None)


def test_a_field_that_the_report_does_not_know_is_overlooked(sparkle: Sparkle) -> None:
    assert sparkle.report(currency="USD") == sparkle.report()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\x00\xff", b'{"lines": [],  "date":"2026-11-22"}\n', b'{"a": 1, "a": 2}']
)
def test_a_replaced_report_is_exactly_these_bytes_until_it_is_put_back(sparkle: Sparkle, content: bytes) -> None:
    sparkle.charge()
    report, other_day = sparkle.report(), sparkle.report("2026-11-24")
    assert sparkle.call("PUT", "/sandbox/settlements/2026-11-23", data=content).status_code == 204
    for _ in range(2):
        answer = sparkle.http.get("/v1/settlements?date=2026-11-23", headers=headers(""))
        assert (answer.status_code, answer.mimetype, answer.data) == (200, "application/json", content)
    assert sparkle.report("2026-11-24") == other_day
    assert sparkle.call("DELETE", "/sandbox/settlements/2026-11-23").status_code == 204
    assert sparkle.report() == report


def test_a_replaced_report_may_be_replaced_again_and_put_back_twice(sparkle: Sparkle) -> None:
    report = sparkle.report()
    for line_count in (1, 2):
        seeded = report | {"line_count": line_count}
        assert sparkle.call("PUT", "/sandbox/settlements/2026-11-23", seeded).status_code == 204
        assert sparkle.report() == seeded
    for _ in range(2):
        assert sparkle.call("DELETE", "/sandbox/settlements/2026-11-23").status_code == 204
        assert sparkle.report() == report


def test_a_replaced_report_knows_no_pages(sparkle: Sparkle) -> None:
    seeded = sparkle.report() | {"next_cursor": "on and on"}
    sparkle.call("PUT", "/sandbox/settlements/2026-11-23", seeded)
    assert sparkle.report(cursor="on and on", limit=0) == seeded


def test_a_replaced_report_needs_the_api_key_and_meets_faults_too(sparkle: Sparkle) -> None:
    sparkle.call("PUT", "/sandbox/settlements/2026-11-23", data=b"{")
    sparkle.break_next("settlements", "http_429")
    assert sparkle.get("/v1/settlements?date=2026-11-23", headers={}).status_code == 401
    assert sparkle.get("/v1/settlements?date=2026-11-23").status_code == 429


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_report_is_replaced_and_put_back_by_an_iso_day(sparkle: Sparkle, method: str) -> None:
    answer = sparkle.call(method, "/sandbox/settlements/20261123", {})
    assert (answer.status_code, answer.json["error"]["code"]) == (422, "invalid_request")
