from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from functions.shared.domain.ledger import Posting, capture_entry, in_doubt_entry
from functions.shared.ports import Position
from tests.samples import NOW, payment
from tests.unit.tools.console.conftest import Bench
from tools.books.reading import Item
from tools.console.records import Break, Doubt, Entry, LedgerItems, PaymentEvent, Total, Totals, money

TODAY = date(2026, 11, 23)


@pytest.fixture
def ledger(bench: Bench) -> LedgerItems:
    return bench.payments.ledger


def test_a_payment_has_its_record_and_its_entries_in_order(bench: Bench, ledger: LedgerItems) -> None:
    suspense = in_doubt_entry(1999, "USD")
    bench.record(payment("pay-1", "reversed"), suspense, suspense.reverse(1))
    record, entries, events = ledger.payment("pay-1")
    assert record is not None
    assert (record["status"], record["amount_minor"], type(record["amount_minor"])) == ("reversed", 1999, int)
    assert [(entry.number, entry.kind, entry.posted_at, entry.reverses) for entry in entries] == [
        (1, "in_doubt", NOW, None),
        (2, "reversal", NOW, 1),
    ]
    assert entries[0].postings == (
        Posting("suspense:in_doubt", "debit", 1999, "USD"),
        Posting("liability:merchant", "credit", 1999, "USD"),
    )
    assert events == [PaymentEvent(1, "payment.reversed", NOW)]


def test_a_payment_that_is_not_there_is_nothing(ledger: LedgerItems) -> None:
    assert ledger.payment("pay-1") == (None, [], [])
    assert ledger.records([]) == {}


def test_an_entry_says_what_it_was_posted_for_and_need_not_balance(bench: Bench, ledger: LedgerItems) -> None:
    bench.put(pk="PAYMENT#pay-1", sk="ENTRY#0002", kind="refund", postings=[], posted_at=NOW, source="refund-1")
    assert ledger.payment("pay-1")[1] == [Entry(2, "refund", NOW, (), "refund-1")]


def test_more_records_than_one_request_takes_are_all_found(bench: Bench, ledger: LedgerItems) -> None:
    ids = [f"pay-{number}" for number in range(130)]
    for payment_id in ids[5:]:
        bench.put(pk=f"PAYMENT#{payment_id}", sk="PAYMENT", status="captured")
    assert sorted(ledger.records(ids)) == sorted(ids[5:])


def test_doubts_are_the_oldest_ones_first_whatever_their_shard(bench: Bench, ledger: LedgerItems) -> None:
    for minute in (5, 3, 9, 1, 7):
        bench.record(payment(f"pay-{minute}", "in_doubt", updated_at=f"2026-11-23T09:0{minute}:00.000Z"))
    bench.record(payment("pay-0", "captured"))
    assert ledger.doubts(3) == [Doubt(f"pay-{minute}", f"2026-11-23T09:0{minute}:00.000Z") for minute in (1, 3, 5)]


def test_totals_are_a_day_s_by_account_and_currency(bench: Bench, ledger: LedgerItems) -> None:
    captured = capture_entry("sparkle", 1999, "USD")
    bench.record(payment("pay-1"), captured)
    bench.record(payment("pay-2"), captured, captured.reverse(1))
    bench.record(payment("pay-3"), capture_entry("sparkle", 500, "JPY"))
    bench.record(payment("pay-4", updated_at="2026-11-22T23:59:59.999Z"), captured)
    expected = [
        Total("asset:gateway:sparkle", "JPY", 500, 0),
        Total("liability:merchant", "JPY", 0, 500),
        Total("asset:gateway:sparkle", "USD", 3998, 1999),
        Total("liability:merchant", "USD", 1999, 3998),
    ]
    assert ledger.totals(TODAY) == ledger.totals(TODAY) == Totals(expected)
    assert [total.net_minor for total in expected] == [500, -500, 1999, -1999]


def test_what_was_added_up_of_a_day_is_not_read_again(
    bench: Bench, ledger: LedgerItems, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    captured, old, new = capture_entry("sparkle", 1999, "USD"), now - timedelta(hours=1), now - timedelta(minutes=1)
    read: list[str] = []
    query = LedgerItems._query

    def noted(self: LedgerItems, *arguments: Any, **more: Any) -> Iterator[Item]:
        for item in query(self, *arguments, **more):
            read.append(item["pk"])
            yield item

    monkeypatch.setattr(LedgerItems, "_query", noted)
    for payment_id, moment in (("pay-old", old), ("pay-new", new)):
        at = f"{moment:%Y-%m-%dT%H:%M:%S.000Z}"
        bench.record(payment(payment_id, updated_at=at), captured)
    # Two days, if midnight lies in between.
    days = {old.date(), new.date()}
    first_totals = [ledger.totals(day) for day in days]
    assert set(read) == {"PAYMENT#pay-old", "PAYMENT#pay-new"}
    read.clear()
    assert [ledger.totals(day) for day in days] == first_totals
    assert set(read) == {"PAYMENT#pay-new"}


def test_payments_are_listed_by_the_day_on_which_they_were_asked_for(bench: Bench, ledger: LedgerItems) -> None:
    for number in range(6):
        bench.record(payment(f"pay-{number}", "declined", created_at=f"2026-11-2{number}T09:00:00.000Z"))
    bench.record(payment("pay-authorized", "authorized", created_at="2026-11-22T08:00:00.000Z"))
    period = None, date(2026, 11, 21), date(2026, 11, 24)
    newest_first = [each.payment_id for each in ledger.started(*period)]
    assert newest_first == ["pay-4", "pay-3", "pay-2", "pay-authorized", "pay-1"]
    assert [each.payment_id for each in ledger.started("authorized", *period[1:])] == ["pay-authorized"]
    place = Position("2026-11-23T09:00:00.000Z", "pay-3")
    assert Position.read(str(place)) == place
    assert [each.payment_id for each in ledger.started(*period, before=place)] == ["pay-2", "pay-authorized", "pay-1"]
    assert [each.payment_id for each in ledger.started(*period, after=place)] == ["pay-4"]


def test_a_payment_keeps_its_day_whatever_becomes_of_it(bench: Bench, ledger: LedgerItems) -> None:
    authorized = payment("pay-1", "authorized", created_at="2026-11-20T09:00:00.000Z", captured_minor=0)
    bench.record(authorized)
    bench.record(authorized.moved_to("captured", updated_at="2026-11-23T09:00:00.000Z"))
    day = date(2026, 11, 20)
    assert [each.payment_id for each in ledger.started("captured", day, day)] == ["pay-1"]
    assert list(ledger.started("authorized", day, day)) == []
    assert list(ledger.started(None, TODAY, TODAY)) == []


def test_a_day_that_is_closed_is_not_added_up_again(bench: Bench, ledger: LedgerItems) -> None:
    bench.put(pk="CLOSE#2026", sk="2026-11-23", totals={"asset:bank": {"USD": [5, 3]}}, closed_at=NOW)
    assert ledger.totals(TODAY) == Totals([Total("asset:bank", "USD", 5, 3)])


def test_breaks_are_the_open_ones_of_the_last_days(bench: Bench, ledger: LedgerItems) -> None:
    def put(day: str, payment_id: str, **more: str) -> None:
        bench.put(
            pk=f"BREAK#{day}",
            sk=f"amount_differs#{payment_id}#1",
            type="amount_differs",
            payment_id=payment_id,
            expected="19.99 USD",
            found="18.99 USD",
            seen_at=NOW,
            **more,
        )

    put("2026-11-23", "pay-1")
    put("2026-11-23", "pay-2", resolved_at=NOW)
    put("2026-11-17", "pay-3")
    put("2026-11-16", "pay-4")
    assert ledger.breaks(TODAY) == [
        Break(day, "amount_differs", payment_id, "19.99 USD", "18.99 USD", NOW)
        for day, payment_id in (("2026-11-23", "pay-1"), ("2026-11-17", "pay-3"))
    ]


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (1999, "USD", "19.99 USD"),
        (123_456_789, "EUR", "1,234,567.89 EUR"),
        (9900, "JPY", "9,900 JPY"),
        (5, "KWD", "0.005 KWD"),
        (0, "USD", "0.00 USD"),
        (-1999, "USD", "-19.99 USD"),
        (None, None, ""),
    ],
)
def test_money_has_its_currency_s_decimals(amount: int | None, currency: str | None, text: str) -> None:
    assert money(amount, currency) == text
