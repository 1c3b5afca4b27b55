from collections import Counter
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.shared.domain.ledger import JournalEntry, Posting, capture_entry, in_doubt_entry

accounts = st.sampled_from(["asset:gateway:sparkle", "liability:merchant", "suspense:in_doubt", "expense:fees"])
currencies = st.sampled_from(["USD", "JPY", "KWD"])
amounts = st.integers(1, 99_999_999)


@st.composite
def entries(draw: st.DrawFn) -> JournalEntry:
    """Balanced entries with any number of legs, in any number of currencies."""
    postings: list[Posting] = []
    for currency in draw(st.lists(currencies, min_size=1, unique=True)):
        legs = draw(st.lists(st.tuples(accounts, amounts), min_size=1, max_size=4))
        postings += [Posting(account, "debit", amount, currency) for account, amount in legs]
        postings.append(Posting(draw(accounts), "credit", sum(amount for _, amount in legs), currency))
    return JournalEntry("capture", tuple(draw(st.permutations(postings))))


def balances(*journal: JournalEntry) -> Counter[tuple[str, str]]:
    totals: Counter[tuple[str, str]] = Counter()
    for entry in journal:
        for posting in entry.postings:
            sign = 1 if posting.direction == "debit" else -1
            totals[posting.account, posting.currency] += sign * posting.amount_minor
    return totals


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
    assert not any(balances(entry, entry.reverse()).values())
    assert entry.reverse().kind == "reversal"


@given(entries())
def test_reversed_twice_the_postings_are_the_same(entry: JournalEntry) -> None:
    assert entry.reverse().reverse().postings == entry.postings


def test_an_entry_cannot_be_changed() -> None:
    entry = capture_entry("sparkle", 1999, "USD")
    with pytest.raises(FrozenInstanceError):
        entry.postings = ()  # type: ignore[misc]


def test_a_capture_makes_the_gateway_owe_us_what_we_owe_the_merchant() -> None:
    entry = capture_entry("sparkle", 1999, "USD")
    assert entry.kind == "capture"
    assert balances(entry) == {("asset:gateway:sparkle", "USD"): 1999, ("liability:merchant", "USD"): -1999}


def test_doubt_parks_the_money_in_suspense() -> None:
    entry = in_doubt_entry(1999, "USD")
    assert entry.kind == "in_doubt"
    assert balances(entry) == {("suspense:in_doubt", "USD"): 1999, ("liability:merchant", "USD"): -1999}
