from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.shared.domain.ledger import (
    GENESIS_HASH,
    JournalEntry,
    PostedEntry,
    Posting,
    capture_entry,
    entries_in_effect,
    in_doubt_entry,
    refund_entry,
    refund_in_doubt_entry,
    settlement_entry,
)
from tests.balances import balances

accounts = st.sampled_from(["asset:gateway:sparkle", "liability:merchant", "suspense:in_doubt", "expense:fees"])
currencies = st.sampled_from(["USD", "JPY", "KWD"])
amounts = st.integers(1, 999_999_999_999)


@st.composite
def entries(draw: st.DrawFn) -> JournalEntry:
    """Balanced entries with any number of legs, in any number of currencies."""
    postings: list[Posting] = []
    for currency in draw(st.lists(currencies, min_size=1, unique=True)):
        legs = draw(st.lists(st.tuples(accounts, amounts), min_size=1, max_size=4))
        postings += [Posting(account, "debit", amount, currency) for account, amount in legs]
        postings.append(Posting(draw(accounts), "credit", sum(amount for _, amount in legs), currency))
    return JournalEntry("capture", tuple(draw(st.permutations(postings))))


@given(entries(), st.data())
def test_an_entry_with_one_amount_changed_cannot_exist(entry: JournalEntry, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(entry.postings) - 1))
    other = data.draw(amounts.filter(lambda amount: amount != entry.postings[place].amount_minor))
    postings = list(entry.postings)
    postings[place] = replace(postings[place], amount_minor=other)
    with pytest.raises(ValueError, match="equal in every currency"):
        JournalEntry("capture", tuple(postings))


@given(entries(), st.data())
def test_an_entry_with_a_posting_missing_cannot_exist(entry: JournalEntry, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(entry.postings) - 1))
    with pytest.raises(ValueError, match=r"two postings|equal in every currency"):
        JournalEntry("capture", entry.postings[:place] + entry.postings[place + 1 :])


def test_a_debit_in_one_currency_is_not_balanced_by_a_credit_in_another() -> None:
    with pytest.raises(ValueError, match="equal in every currency"):
        JournalEntry("capture", (Posting("a", "debit", 100, "USD"), Posting("b", "credit", 100, "EUR")))


@pytest.mark.parametrize("amount", [0, -1])
def test_a_posting_of_nothing_or_less_cannot_exist(amount: int) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        JournalEntry("capture", (Posting("a", "debit", amount, "USD"), Posting("b", "credit", amount, "USD")))


@pytest.mark.parametrize("postings", [(), (Posting("a", "debit", 1, "USD"),)])
def test_an_entry_has_at_least_two_postings(postings: tuple[Posting, ...]) -> None:
    with pytest.raises(ValueError, match="at least two postings"):
        JournalEntry("capture", postings)


@given(entries())
def test_an_entry_and_its_reversal_leave_every_account_at_zero(entry: JournalEntry) -> None:
    assert balances([entry, entry.reverse(1)]) == {}
    assert (entry.reverse(1).kind, entry.reverse(1).reverses) == ("reversal", 1)


@given(entries())
def test_reversed_twice_the_postings_are_the_same(entry: JournalEntry) -> None:
    assert entry.reverse(1).reverse(2).postings == entry.postings


def test_an_entry_cannot_be_changed() -> None:
    entry = capture_entry("sparkle", 1999, "USD")
    with pytest.raises(FrozenInstanceError):
        entry.postings = ()  # type: ignore[misc]


def test_a_capture_makes_the_gateway_owe_us_what_we_owe_the_merchant() -> None:
    entry = capture_entry("sparkle", 1999, "USD")
    assert entry.kind == "capture"
    assert balances([entry]) == {("asset:gateway:sparkle", "USD"): 1999, ("liability:merchant", "USD"): -1999}


def test_doubt_parks_the_money_in_suspense() -> None:
    entry = in_doubt_entry(1999, "USD")
    assert entry.kind == "in_doubt"
    assert balances([entry]) == {("suspense:in_doubt", "USD"): 1999, ("liability:merchant", "USD"): -1999}


def test_a_refund_is_taken_from_what_we_owe_the_merchant() -> None:
    entry = refund_entry("sparkle", 500, "USD", "op-1")
    assert (entry.kind, entry.source) == ("refund", "op-1")
    assert balances([entry]) == {("asset:gateway:sparkle", "USD"): -500, ("liability:merchant", "USD"): 500}


def test_doubt_about_a_refund_parks_what_may_be_gone() -> None:
    entry = refund_in_doubt_entry(500, "USD", "op-1")
    assert balances([entry]) == {("suspense:in_doubt", "USD"): -500, ("liability:merchant", "USD"): 500}


@pytest.mark.parametrize(
    ("amount_minor", "fee_minor", "bank", "fees"),
    [
        (1999, 58, 1941, 58),
        (1999, 0, 1999, 0),
        (10, 10, 0, 10),
        (10, 12, -2, 12),
        (-500, 0, -500, 0),
        (-500, 3, -503, 3),
    ],
)
def test_a_settlement_pays_the_gateways_debt_into_the_bank_less_its_fee(
    amount_minor: int, fee_minor: int, bank: int, fees: int
) -> None:
    entry = settlement_entry("sparkle", amount_minor, fee_minor, "USD", "ch_1")
    expected = {
        ("asset:bank", "USD"): bank,
        ("expense:fees", "USD"): fees,
        ("asset:gateway:sparkle", "USD"): -amount_minor,
    }
    assert balances([entry]) == {key: total for key, total in expected.items() if total}


def chained(*entries: JournalEntry) -> list[PostedEntry]:
    posted: list[PostedEntry] = []
    for number, entry in enumerate(entries, start=1):
        previous = posted[-1].hash if posted else GENESIS_HASH
        posted.append(
            PostedEntry.after(previous, entry, payment_id="pay-1", number=number, posted_at="2026-11-23T09:00:00.000Z")
        )
    return posted


def test_what_was_undone_and_what_undoes_it_stand_no_longer() -> None:
    doubt, capture = in_doubt_entry(1, "USD"), capture_entry("sparkle", 1, "USD")
    assert [posted.number for posted in entries_in_effect(chained(doubt, doubt.reverse(1), capture))] == [3]


@pytest.mark.parametrize(
    "change",
    [
        lambda posted: replace(posted, entry=capture_entry("sparkle", 2, "USD")),
        lambda posted: replace(posted, entry=replace(posted.entry, kind="refund")),
        lambda posted: replace(posted, entry=replace(posted.entry, source="op-1")),
        lambda posted: replace(posted, entry=replace(posted.entry, reverses=1)),
        lambda posted: replace(posted, posted_at="2026-11-23T09:00:00.001Z"),
        lambda posted: replace(posted, payment_id="pay-2"),
        lambda posted: replace(posted, number=2),
        lambda posted: replace(posted, previous_hash="1" * 64),
        lambda posted: replace(posted, hash="1" * 64),
    ],
)
def test_an_entry_that_was_changed_is_not_what_its_hash_was_made_of(
    change: Callable[[PostedEntry], PostedEntry],
) -> None:
    (posted,) = chained(capture_entry("sparkle", 1, "USD"))
    assert posted.is_intact
    assert not change(posted).is_intact
