"""Compares the table of brands with independent public sources, one per row."""

import json

import pytest

from functions.shared.domain.card_number import BRANDS, brand_of
from tools.deployment.paths import FUNCTIONS

SECOND_SOURCES = [
    # Wikipedia, "Payment card number", as of 2024-07-19 (in a public program); and d-edge/Cardizer, which follows it.
    ("amex", ["34", "37"], [15]),
    ("diners", ["36", "38", "39"], [14, 16, 19]),
    ("discover", ["6011", "644", "649", "6500"], [16, 19]),
    ("jcb", ["3528", "3589"], [16, 17, 18, 19]),
    ("maestro", ["5018", "5020", "5038", "5893", "6304", "6759", "6761", "6762", "6763"], [12, 16, 17, 18, 19]),
    ("mastercard", ["51", "55", "2221", "2720"], [16]),
    ("mir", ["2200", "2201", "2202", "2203", "2204"], [16, 17, 18, 19]),
    ("napas", ["9704"], [16, 19]),
    ("humo", ["9860"], [16]),
    ("uzcard", ["8600", "5614"], [16]),
    ("rupay", ["60", "6522", "82", "8199", "5085"], [16]),
    ("troy", ["9792"], [16]),
    ("uatp", ["1"], [15]),
    ("unionpay", ["62"], [16, 17, 18, 19]),
    ("verve", ["506099", "506198", "650002", "650027", "507865", "507964"], [16, 18, 19]),
    ("visa", ["4"], [16, 19]),
    # Razorpay's patterns of networks, and those of a chat application: RuPay beside Discover.
    ("rupay", ["508500", "508999", "606985", "607984", "608500", "652150", "652999", "653149"], [16]),
    ("discover", ["652149", "653150"], [16]),
    # A payment provider's identification of cards in Uzbekistan: khodjiyev2o/Afsona-Tok, utils/card_identifier.py.
    ("uzcard", ["860000", "860099", "561468"], [16]),
    ("humo", ["986001", "986010"], [16]),
    # The patterns of a Brazilian shop's front end, in public code.
    ("elo", ["401178", "438935", "504175", "506699", "506778", "509000", "509999", "627780", "636368", "650031"], [16]),
    # bePaid's kit for Android, begateway/begateway-android-sdk.
    ("belkart", ["9112"], [16]),
    # jquery.payment and its like: JCB's older cards, UnionPay's short ones, Hipercard.
    ("jcb", ["2131", "1800"], [15]),
    ("unionpay", ["6200"], [14, 15]),
    ("hipercard", ["606282"], [16]),
]


@pytest.mark.parametrize(("brand", "prefixes", "lengths"), SECOND_SOURCES)
def test_another_source_agrees(brand: str, prefixes: list[str], lengths: list[int]) -> None:
    brands = {brand_of(prefix.ljust(length, "0")) for prefix in prefixes for length in lengths}
    assert brands == {brand}


def test_no_brand_is_without_another_source() -> None:
    assert {brand for brand, *_ in SECOND_SOURCES} == BRANDS


@pytest.mark.parametrize("prefix", ["59", "61", "640", "643", "66", "68", "69", "7", "83", "90", "2205", "0"])
def test_what_is_nobodys_is_no_maestro(prefix: str) -> None:
    assert {brand_of(prefix.ljust(length, "0")) for length in range(12, 20)} == {None}


def test_the_table_says_where_it_is_from_and_ranges_run_upwards() -> None:
    table = json.loads((FUNCTIONS / "shared" / "domain" / "card_brands.json").read_text())
    assert table["sources"]
    assert table["seen"]
    for brand in table["brands"]:
        for prefixes in brand["begins"]:
            first, _, last = prefixes.partition("-")
            assert not last or (len(first) == len(last) and first < last)
