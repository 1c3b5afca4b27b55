from typing import Any

import pytest

from tests.unit.tools.local.sparkle.conftest import Sparkle

NOW = "2026-11-23T12:00:00.000Z"
DAY_SECONDS = 86_400


def shift(sparkle: Sparkle, offset_seconds: int) -> str:
    answer = sparkle.post("/sandbox/clock", {"offset_seconds": offset_seconds})
    assert answer.status_code == 200, answer.text
    return str(answer.json["now"])


def put_back(sparkle: Sparkle) -> str:
    answer = sparkle.call("DELETE", "/sandbox/clock")
    assert answer.status_code == 200, answer.text
    return str(answer.json["now"])


@pytest.mark.parametrize(
    ("offset_seconds", "now"),
    [
        (0, NOW),
        (1, "2026-11-23T12:00:01.000Z"),
        (-DAY_SECONDS, "2026-11-22T12:00:00.000Z"),
        (400 * DAY_SECONDS, "2027-12-28T12:00:00.000Z"),
        (-400 * DAY_SECONDS, "2025-10-19T12:00:00.000Z"),
    ],
)
def test_the_clock_is_shifted_from_the_machines_until_it_is_put_back(
    sparkle: Sparkle, offset_seconds: int, now: str
) -> None:
    assert shift(sparkle, offset_seconds) == now
    assert put_back(sparkle) == NOW


def test_shifts_do_not_add_up_and_the_clock_goes_on(sparkle: Sparkle) -> None:
    shift(sparkle, -DAY_SECONDS)
    sparkle.clock.advance(minutes=5)
    assert shift(sparkle, -DAY_SECONDS) == "2026-11-22T12:05:00.000Z"


def test_what_is_new_is_stamped_with_the_shifted_time_and_what_was_there_keeps_its_own(sparkle: Sparkle) -> None:
    old = sparkle.charge("pay-1")
    shift(sparkle, -DAY_SECONDS)
    yesterday = "2026-11-22T12:00:00.000Z"
    new = sparkle.charge("pay-2", capture=False)
    captured = sparkle.post(f"/v1/charges/{new['id']}/capture", {}).json
    assert (captured["created_at"], captured["captured_at"]) == (yesterday, yesterday)
    assert sparkle.refund(new)["created_at"] == yesterday
    assert sparkle.requests()[-1]["received_at"] == yesterday
    assert sparkle.find("pay-1") == [old]
    assert [line["type"] for line in sparkle.settlement("2026-11-22")] == ["charge", "refund"]
    assert [line["type"] for line in sparkle.settlement("2026-11-23")] == ["charge"]


@pytest.mark.parametrize(("offset_days", "result"), [(-1, "refunded"), (0, "voided"), (1, "voided")])
def test_a_charge_is_settled_if_its_day_is_over_by_the_clock_that_was_put_back(
    sparkle: Sparkle, offset_days: int, result: str
) -> None:
    shift(sparkle, offset_days * DAY_SECONDS)
    sparkle.charge()
    put_back(sparkle)
    assert sparkle.reverse()["result"] == result


def test_a_day_is_over_when_the_clock_is_shifted_past_it(sparkle: Sparkle) -> None:
    sparkle.charge()
    shift(sparkle, DAY_SECONDS)
    assert sparkle.reverse()["result"] == "refunded"


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"offset_seconds": None},
        {"offset_seconds": "1"},
        {"offset_seconds": 1.0},
        {"offset_seconds": True},
        {"offset_seconds": 400 * DAY_SECONDS + 1},
        {"offset_seconds": -400 * DAY_SECONDS - 1},
        {"offset_seconds": 1, "offset_days": 1},
    ],
)
def test_a_shift_that_makes_no_sense_is_refused_and_the_clock_stays(sparkle: Sparkle, body: Any) -> None:
    answer = sparkle.post("/sandbox/clock", body)
    assert (answer.status_code, answer.json["error"]["code"]) == (422, "invalid_request")
    assert sparkle.charge()["created_at"] == NOW
