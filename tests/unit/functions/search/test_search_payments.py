import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from functions.search.handler import handler
from functions.search.search_payments import MAX_DAYS, MAX_DAYS_READ, MAX_RECORDS_READ, MAX_REFERENCE_LENGTH
from functions.shared import runtime
from functions.shared.contracts import load
from functions.shared.domain.payment import Payment
from tests.fakes import LEDGER_DOWN
from tests.samples import NOW, payment
from tests.unit.functions.conftest import Output, World

TODAY = NOW[:10]
TOMORROW = (date.fromisoformat(TODAY) + timedelta(1)).isoformat()
NO_DAY = urlsafe_b64encode(b"2026-11-00T09:00:00.000Z~").decode().rstrip("=")
CARD_IN_TEXT = "order 4111 1111 1111 1111"

pytestmark = pytest.mark.usefixtures("output")


def search(**parameters: str) -> dict[str, Any]:
    named = {name.removesuffix("_"): value for name, value in parameters.items()}
    answer = handler({"queryStringParameters": named or None}, None)
    assert answer["statusCode"] == 200, answer
    assert answer["headers"]["Cache-Control"] == "no-store"
    page: dict[str, Any] = json.loads(answer["body"])
    return page


def ids(page: dict[str, Any]) -> list[str]:
    return [each["payment_id"] for each in page["payments"]]


def pages(**parameters: str) -> Iterator[list[str]]:
    page = search(**parameters)
    yield ids(page)
    while page["next_cursor"]:
        page = search(**parameters, cursor=page["next_cursor"])
        yield ids(page)


def record(world: World, payment_id: str, at: str, status: Any = "captured", **changes: Any) -> Payment:
    recorded = payment(payment_id, status, created_at=at, **changes)
    world.ledger.record(recorded)
    return recorded


@pytest.fixture
def days(world: World) -> World:
    """A captured payment at nine of each of thirty days, declined ones at ten of every tenth."""
    for day in range(1, 31):
        record(world, f"payment-of-day-{day:02}", f"2026-11-{day:02}T09:00:00.000Z", merchant_reference=f"order-{day}")
    for day in (10, 20, 30):
        record(world, f"declined-on-day-{day}", f"2026-11-{day}T10:00:00.000Z", "declined")
    return world


def test_a_payment_is_found_by_its_reference_as_it_is_shown_by_its_id(world: World) -> None:
    record(world, "payment-of-order-1", "2020-01-31T09:00:00.000Z", merchant_reference="order 1/ä")
    record(world, "payment-of-order-2", "2020-01-31T09:00:00.000Z", merchant_reference="order 1")
    page = search(merchant_reference="order 1/ä")
    assert ids(page) == ["payment-of-order-1"]
    assert page["payments"][0]["card"]["last4"] == "4242"
    assert page["payments"][0].keys() >= {"status", "operations", "captured_minor", "next_action"}
    assert search(merchant_reference="order") == {"payments": [], "next_cursor": None}


def test_without_a_word_the_payments_of_today_are_found(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "now", lambda: NOW)
    record(world, "payment-of-today-1", f"{TODAY}T09:00:00.000Z")
    record(world, "payment-of-today-2", f"{TODAY}T09:00:01.000Z", "declined")
    record(world, "payment-of-before", "2020-01-31T09:00:00.000Z")
    assert ids(search()) == ["payment-of-today-2", "payment-of-today-1"]


@pytest.mark.parametrize(
    "period",
    [
        {},
        {"from_": TODAY},
        {"from_": f"{TODAY}T09:00:00Z"},
        {"from_": (date.fromisoformat(TODAY) - timedelta(MAX_DAYS - 1)).isoformat()},
        {"to": TODAY},
        {"from_": TODAY, "to": TODAY},
        {"merchant_reference": "all"},
    ],
    ids=str,
)
@pytest.mark.parametrize("limit", ["1", "2"])
def test_a_search_goes_on_where_it_was_when_the_day_ends(
    world: World, monkeypatch: pytest.MonkeyPatch, period: dict[str, str], limit: str
) -> None:
    for n in range(4):
        record(world, f"payment-of-today-{n}", f"{TODAY}T09:00:0{n}.000Z", merchant_reference="all")
    monkeypatch.setattr(runtime, "now", lambda: f"{TODAY}T23:59:59.999Z")
    read = pages(limit=limit, **period)
    found = next(read)
    record(world, "payment-of-tomorrow", f"{TOMORROW}T00:00:00.000Z", merchant_reference="all")
    monkeypatch.setattr(runtime, "now", lambda: f"{TOMORROW}T00:00:00.000Z")
    found += [id for page in read for id in page]
    assert found == [f"payment-of-today-{n}" for n in (3, 2, 1, 0)]


@pytest.mark.parametrize(
    ("from_", "to", "ids"),
    [
        ("2026-11-10", "2026-11-20", ["declined-on-day-20", "declined-on-day-10"]),
        ("2026-11-10T10:00:00Z", "2026-11-20T10:00:00Z", ["declined-on-day-20", "declined-on-day-10"]),
        ("2026-11-10T10:00:00.001Z", "2026-11-20T09:59:59.999Z", []),
        ("2026-11-10T11:00:00+01:00", "2026-11-10T11:00:00+01:00", ["declined-on-day-10"]),
        ("2026-11-11", "2026-11-19", []),
    ],
)
def test_the_first_and_the_last_moment_belong_to_the_period(days: World, from_: str, to: str, ids: list[str]) -> None:
    assert [id for page in pages(status="declined", from_=from_, to=to) for id in page] == ids


@pytest.mark.parametrize("limit", ["1", "2", "7", "50", "100"])
def test_every_payment_is_on_one_page_newest_first(days: World, limit: str) -> None:
    read = list(pages(from_="2026-11-01", to="2026-11-30", limit=limit))
    ids = [id for page in read for id in page]
    assert ids == sorted(ids, key=lambda id: (id[-2:], id.startswith("declined")), reverse=True)
    assert len(ids) == 33
    assert max(map(len, read)) <= int(limit)


def test_payments_of_the_same_moment_are_all_found(world: World) -> None:
    same = sorted(f"payment-number-{n:02}" for n in range(7))
    for payment_id in same:
        record(world, payment_id, "2026-11-23T09:00:00.000Z", merchant_reference="all")
    for parameters in ({"merchant_reference": "all"}, {"from_": "2026-11-23", "to": "2026-11-23"}):
        assert [id for page in pages(limit="2", **parameters) for id in page] == same[::-1]


def test_a_page_reads_a_week_and_says_where_to_go_on(days: World) -> None:
    read = list(pages(status="declined", from_="2026-11-01", to="2026-11-29"))
    assert read[0] == []
    assert [id for page in read for id in page] == ["declined-on-day-20", "declined-on-day-10"]
    assert len(read) == -(-29 // MAX_DAYS_READ)


def test_a_page_reads_no_more_records_than_it_may(world: World) -> None:
    for n in range(MAX_RECORDS_READ + 20):
        declined = {"status": "declined"} if n == 0 else {}
        record(world, f"payment-number-{n:04}", f"2026-11-23T09:00:00.{n:03}Z", merchant_reference="all", **declined)
    read = list(pages(merchant_reference="all", status="declined"))
    assert read == [[], ["payment-number-0000"]]


def test_what_has_changed_since_it_was_listed_counts_as_it_is_now(world: World) -> None:
    authorized = record(world, "payment-of-order-1", "2026-11-23T09:00:00.000Z", "authorized", captured_minor=0)
    listed = list(world.payment_index.on("2026-11-23", "authorized", "0", "9"))
    world.ledger.record(authorized.moved_to("captured"))
    world.payment_index.on = lambda *_, **__: iter(listed)  # type: ignore[method-assign]
    assert search(status="authorized", from_="2026-11-23", to="2026-11-23") == {"payments": [], "next_cursor": None}


def test_a_reference_and_a_status_must_both_fit(world: World) -> None:
    for n, status in enumerate(("captured", "declined")):
        record(world, f"payment-number-{n}-of-it", f"2026-11-2{n}T09:00:00.000Z", status, merchant_reference="order-1")
    assert ids(search(merchant_reference="order-1", status="declined")) == ["payment-number-1-of-it"]
    assert ids(search(merchant_reference="order-1", to="2026-11-20")) == ["payment-number-0-of-it"]
    assert ids(search(merchant_reference="order-1", from_="2026-11-21")) == ["payment-number-1-of-it"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"reference": "order-1"}, "parameters must"),
        ({"merchant_reference": ""}, "merchant_reference must"),
        ({"merchant_reference": "x" * 65}, "merchant_reference must"),
        ({"status": "processing"}, "status must"),
        ({"status": ""}, "status must"),
        ({"from": "yesterday"}, "times must"),
        ({"from": "2026-02-30"}, "times must"),
        ({"to": "2026-11-29T09:00:00"}, "times must"),
        ({"to": "2026-11-29T09:00Z"}, "times must"),
        ({"to": "2026-11-29 09:00:00Z"}, "times must"),
        ({"to": "2026-W48"}, "times must"),
        ({"to": "20261129"}, "times must"),
        ({"to": "２０２６-11-29"}, "times must"),
        ({"to": "9999-12-31T23:59:59-01:00"}, "times must"),
        ({"from": "2026-11-30", "to": "2026-11-29"}, "from must not"),
        ({"from": "2025-11-28", "to": "2026-11-29"}, "at most 366 days"),
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "%"}, "cursor"),
        ({"cursor": "ä"}, "cursor"),
        ({"cursor": "MjAyNi0xMS0yOX5wYXk"}, "cursor"),
        ({"cursor": CARD_IN_TEXT}, "cursor"),
        ({"cursor": NO_DAY, "from": "2026-10-01", "to": "2026-11-30"}, "cursor"),
        ({CARD_IN_TEXT: CARD_IN_TEXT}, "parameters must"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused_without_repeating_it(
    world: World, parameters: dict[str, str], message: str
) -> None:
    answer = handler({"queryStringParameters": parameters}, None)
    error = json.loads(answer["body"])["error"]
    assert (answer["statusCode"], error["code"]) == (400, "invalid_request")
    assert message in error["message"]
    assert CARD_IN_TEXT not in error["message"]


def test_a_ledger_that_is_down_is_503(world: World, output: Output) -> None:
    record(world, "payment-of-today-1", f"{TODAY}T09:00:00.000Z")
    world.ledger.faults.arm("payments", LEDGER_DOWN)
    assert handler({"queryStringParameters": None}, None)["statusCode"] == 503
    assert "unavailable" in [line["message"] for line in output.logs()]


def test_nothing_of_the_search_is_logged(world: World, output: Output) -> None:
    search(merchant_reference=CARD_IN_TEXT)
    assert CARD_IN_TEXT not in json.dumps(output.logs())


def test_the_longest_reference_of_a_payment_can_be_searched_for() -> None:
    assert load("definitions")["merchant_reference"]["maxLength"] == MAX_REFERENCE_LENGTH
