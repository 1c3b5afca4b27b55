import pytest

from tools.books.money import decimal, money, readable


@pytest.mark.parametrize(
    ("amount_minor", "currency", "written"),
    [
        (123450, "USD", "1,234.50 USD"),
        (1234, "JPY", "1,234 JPY"),
        (1234567, "KWD", "1,234.567 KWD"),
        (5, "USD", "0.05 USD"),
        (-123450, "USD", "-1,234.50 USD"),
        (0, "USD", "0.00 USD"),
        (0, "JPY", "0 JPY"),
        (99999999999, "USD", "999,999,999.99 USD"),
        (123450, "BGN", "1,234.50 BGN"),
        (123450, "HRK", "1,234.50 HRK"),
        (123450, "ANG", "1,234.50 ANG"),
        (123450, "BYR", "123,450 BYR"),
    ],
)
def test_money_has_its_currencys_decimals_and_thousands_separators(
    amount_minor: int, currency: str, written: str
) -> None:
    assert money(amount_minor, currency) == written
    assert str(decimal(amount_minor, currency)) == written.split()[0].replace(",", "")


def test_amounts_in_a_text_are_made_readable_and_nothing_else_is() -> None:
    text = "2 of charge ch_1 of 123450 USD, once, as on 2026-11-23, and -5 JPY"
    assert readable(text) == "2 of charge ch_1 of 1,234.50 USD, once, as on 2026-11-23, and -5 JPY"
    assert readable("19.99 USD and 1,234,500 JPY") == "19.99 USD and 1,234,500 JPY"
