import pytest

from functions.shared.adapters.currencies import minor_unit


@pytest.mark.parametrize(("currency", "decimals"), [("USD", 2), ("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4)])
def test_a_currency_has_the_decimals_of_iso_4217(currency: str, decimals: int) -> None:
    assert minor_unit(currency) == decimals


@pytest.mark.parametrize("currency", ["ZZZ", "XAU", "XXX", "XTS", "usd", "", "USD\n", "840"])
def test_what_is_no_currency_or_has_no_minor_unit_has_none(currency: str) -> None:
    assert minor_unit(currency) is None
