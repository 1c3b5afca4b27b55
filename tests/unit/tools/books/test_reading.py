"""Sums must not depend on which days are closed. Days and times as people write them."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.reconcile.reconcile_day import Cursor, Reconciliation
from functions.shared.domain.ledger import JournalEntry, capture_entry, refund_entry, settlement_entry
from functions.shared.domain.times import end_of_day, now
from tests.fakes import FakeBooks, FakeBreaks, FakeExecutions, FakeGateway, FakeLedger, only
from tests.samples import ACCOUNTS, payment
from tools.books import reading as module
from tools.books.reading import (
    BooksReader,
    LedgerError,
    Totals,
    days,
    first_day_of,
    parse_day,
    parse_period,
    parse_time,
)

FIRST = "2024-02-27"
DAYS = list(days(FIRST, "2024-03-02"))

entries = st.one_of(
    st.builds(capture_entry, st.just("sparkle"), st.integers(1, 10**9), st.sampled_from(["USD", "JPY", "KWD"])),
    st.builds(refund_entry, st.just("sparkle"), st.integers(1, 10**9), st.just("USD"), st.just("op-1")),
    st.builds(
        settlement_entry, st.just("sparkle"), st.integers(101, 999), st.integers(0, 100), st.just("EUR"), st.just("l")
    ),
)
times = st.builds(
    lambda day, seconds, ms: f"{day}T{timedelta(seconds=seconds)!s:0>8}.{ms:03}Z",
    st.sampled_from(DAYS),
    st.integers(0, 86399),
    st.sampled_from([0, 1, 999]),
)


def close(books: FakeBooks, ledger: FakeLedger, day: str) -> None:
    """Close a day as reconciliation does."""
    run = Reconciliation(
        day,
        "run",
        "2024-03-09T02:00:00.000Z",
        only(FakeGateway()),
        ledger,
        books,
        FakeBreaks(),
        FakeExecutions(),
        lambda _: None,
    )
    run.step(Cursor("close"))


class TestTotals:
    @settings(max_examples=200, deadline=None)
    @given(
        journal=st.lists(st.tuples(times, entries), max_size=12),
        closed=st.sets(st.sampled_from(DAYS)),
        until=st.one_of(times, st.sampled_from(DAYS).map(end_of_day)),
    )
    def test_totals_from_closed_days_equal_the_sum_of_the_postings(
        self, journal: list[tuple[str, JournalEntry]], closed: set[str], until: str
    ) -> None:
        ledger = FakeLedger()
        for n, (at, entry) in enumerate(journal):
            ledger.record(*payment(f"pay-{n}", updated_at=at).post(entry))
        books = FakeBooks(ledger)
        opened = BooksReader(ledger, books, FIRST, ACCOUNTS)
        from_postings = opened.totals(until)
        for day in closed:
            close(books, ledger, day)
        expected = Counter[Any]()
        for at, entry in journal:
            for posting in entry.postings if at <= until else ():
                expected[posting.account, posting.currency, posting.direction] += posting.amount_minor
        assert opened.totals(until) == from_postings == expected

    def test_only_open_days_and_a_part_of_the_last_day_are_read(self) -> None:
        ledger = FakeLedger()
        books, read = FakeBooks(ledger), list[str]()
        for day in (DAYS[0], DAYS[1], DAYS[3], DAYS[4]):
            close(books, ledger, day)
        opened = BooksReader(ledger, books, FIRST, ACCOUNTS)
        opened.totals(end_of_day(DAYS[4]), on_day=read.append)
        assert read == [DAYS[2]]
        opened.totals(f"{DAYS[4]}T12:00:00.000Z", on_day=read.append)
        assert read[1:] == [DAYS[2], DAYS[4]]

    def test_before_the_first_day_there_is_nothing(self) -> None:
        assert (
            BooksReader(FakeLedger(), FakeBooks(FakeLedger()), FIRST, ACCOUNTS).totals(end_of_day("2024-02-26"))
            == Totals()
        )


class TestTheFirstDay:
    def test_the_first_day_is_that_of_the_tables_creation(self) -> None:
        books = FakeBooks(FakeLedger())
        books.closed["2024-03-01"] = {}
        assert first_day_of(books, "2024-02-27") == "2024-02-27"

    def test_the_first_day_of_a_restored_table_is_that_of_its_first_close(self) -> None:
        books = FakeBooks(FakeLedger())
        books.closed |= {day: {"asset:bank": {"USD": (1, 1)}} for day in days("2021-11-05", "2024-02-26")}
        assert first_day_of(books, "2024-02-27") == "2021-11-05"

    def test_an_empty_closed_day_before_the_table_does_not_count(self) -> None:
        books = FakeBooks(FakeLedger())
        books.closed["2024-02-01"] = {}
        assert first_day_of(books, "2024-02-27") == "2024-02-27"


class TestDaysAndTimes:
    @pytest.fixture(autouse=True)
    def _noon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "now", lambda: "2024-02-29T12:00:00.000Z")

    def test_the_default_is_today_and_now(self) -> None:
        assert parse_day(None) == "2024-02-29"
        assert parse_time(None) == "2024-02-29T12:00:00.000Z"
        assert parse_period(None, None) == ("2024-02-29", "2024-02-29")

    @pytest.mark.parametrize(
        ("text", "time"),
        [
            ("2024-02-28", "2024-02-28T23:59:59.999Z"),
            ("2024-02-29", "2024-02-29T12:00:00.000Z"),  # so far
            ("2024-02-29T11:00:00Z", "2024-02-29T11:00:00.000Z"),
            ("2024-02-29T11:00:00.123456", "2024-02-29T11:00:00.123Z"),
            ("2024-02-29T13:30:00+02:00", "2024-02-29T11:30:00.000Z"),
        ],
    )
    def test_a_time_is_a_moment_or_the_end_of_a_day_in_utc(self, text: str, time: str) -> None:
        assert parse_time(text) == time

    @pytest.mark.parametrize("text", ["yesterday", "2024-02-30", "20240228", "2024-W09-1", "2024-2-28", ""])
    def test_what_is_no_day_is_refused(self, text: str) -> None:
        with pytest.raises(LedgerError, match=f"'{text}' is not a day"):
            parse_day(text)
        with pytest.raises(LedgerError, match="is not a day"):
            parse_time(text)

    def test_an_invalid_time_is_refused(self) -> None:
        with pytest.raises(LedgerError, match="is not a time"):
            parse_time("2024-02-28T25:00:00Z")

    def test_a_future_day_or_time_is_refused(self) -> None:
        for refuse in (parse_day, parse_time):
            with pytest.raises(LedgerError, match="2024-03-01 has not begun; today is 2024-02-29"):
                refuse("2024-03-01")
        with pytest.raises(LedgerError, match="is in the future"):
            parse_time("2024-02-29T12:00:00.001Z")

    def test_a_period_does_not_end_before_it_begins(self) -> None:
        with pytest.raises(LedgerError, match="the period contains no day"):
            parse_period("2024-02-28", "2024-02-27")


def test_now_has_the_ledgers_format() -> None:
    assert datetime.fromisoformat(now()).tzinfo == UTC
    assert len(now()) == len("2026-11-23T09:00:00.000Z")
    assert date.fromisoformat(now()[:10])
