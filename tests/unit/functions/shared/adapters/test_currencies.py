import pytest
from iso4217 import Currency

from functions.shared.adapters.currencies import decimals, minor_unit


@pytest.mark.parametrize(("currency", "places"), [("USD", 2), ("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4)])
def test_a_currency_has_the_decimals_of_iso_4217(currency: str, places: int) -> None:
    assert minor_unit(currency) == places


@pytest.mark.parametrize("currency", ["ZZZ", "XAU", "XXX", "XTS", "usd", "", "USD\n", "840"])
def test_what_is_no_currency_or_has_no_minor_unit_has_none(currency: str) -> None:
    assert minor_unit(currency) is None


@pytest.mark.parametrize("currency", [each.code for each in Currency])
def test_every_currency_of_today_is_among_those_that_the_books_know_for_ever(currency: str) -> None:
    assert decimals(currency) == minor_unit(currency)


@pytest.mark.parametrize(("currency", "places"), [("BGN", 2), ("HRK", 2), ("ANG", 2), ("SLL", 2), ("BYR", 0)])
def test_a_currency_that_iso_4217_has_dropped_is_not_taken_and_keeps_its_decimals(currency: str, places: int) -> None:
    assert minor_unit(currency) is None
    assert decimals(currency) == places
