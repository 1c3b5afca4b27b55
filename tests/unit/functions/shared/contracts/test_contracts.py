import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft4Validator

from functions.shared import contracts
from functions.shared.adapters.json_schema import validate
from functions.shared.domain.card import Card
from functions.shared.domain.errors import InvalidInput
from tests.samples import CARD_DATA, TEST_CARDS, UNLISTED_PAN

REFUSED_TEXT: str = contracts.load("definitions")["refused_text"]["pattern"]


def utf16_units(text: str) -> str:
    """The text as ECMA 262's regular expressions see it: each half of a surrogate pair is one character."""
    units = text.encode("utf-16-be", "surrogatepass")
    return "".join(chr(int.from_bytes(units[start : start + 2], "big")) for start in range(0, len(units), 2))


def parsed(text: str) -> str:
    """The text as from a JSON parser: adjacent halves are joined to pairs."""
    return text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "surrogatepass")


@pytest.mark.parametrize(
    "contract",
    [
        "anchor",
        "tokenize",
        "screen",
        "rules",
        "rule",
        "encrypt",
        "charge",
        "persist",
        "compensate",
        "status",
        "cards",
        "doubts",
    ],
)
def test_a_contract_is_a_valid_schema(contract: str) -> None:
    Draft4Validator.check_schema(contracts.load(contract))


@pytest.mark.parametrize("name", [name for name in contracts.load("definitions") if name != "$schema"])
def test_what_the_contracts_share_is_a_valid_schema(name: str) -> None:
    Draft4Validator.check_schema(contracts.load("definitions")[name])


@pytest.mark.parametrize("pan", TEST_CARDS)
def test_every_published_test_card_can_be_used(pan: str) -> None:
    assert Card.from_card_data(CARD_DATA | {"card_number": pan}).brand == TEST_CARDS[pan]["brand"]
    assert contracts.is_test_card(pan)


@pytest.mark.parametrize("pan", TEST_CARDS)
def test_a_test_card_that_is_declined_says_why_and_no_other_does(pan: str) -> None:
    card = TEST_CARDS[pan]
    if card["outcome"] != "challenged":  # then either may follow
        assert (card["outcome"] == "declined") == ("decline_code" in card)
    assert card["outcome"] in ("approved", "declined", "challenged")


def test_a_number_that_is_not_listed_is_no_test_card() -> None:
    assert not contracts.is_test_card(UNLISTED_PAN)
    assert not contracts.is_test_card("")


@pytest.mark.parametrize(
    "text",
    [
        "order-1001",
        "Zoë O'Brien",
        "é 中文 שלום हिन्दी",
        "😀😀",
        "👩‍👩‍👧",
        "5678901234567",
        "2024112845321234",
        "tel. 030 1234567, room 42",
        "2026-11-23 19:99",
        "१२३४",
    ],
)
def test_ordinary_text_is_taken(text: str) -> None:
    assert not re.search(REFUSED_TEXT, text)
    assert not re.search(REFUSED_TEXT, utf16_units(text))


@pytest.mark.parametrize(
    "text",
    [
        "a\x00",
        "a\n",
        "\x85",
        "\u202e",
        "\ufeff",
        "\ufffd",
        "b\ud800",
        "a\udc00",
        "😀\ud83d",
        "\ude00😀",
    ],
)
def test_control_characters_and_halves_of_pairs_are_refused(text: str) -> None:
    assert re.search(REFUSED_TEXT, text)
    assert re.search(REFUSED_TEXT, utf16_units(text))
    with pytest.raises(InvalidInput):
        validate("card_data", CARD_DATA | {"card_holder": text})


@given(st.text(st.characters() | st.characters(categories=["Cs"]) | st.sampled_from("0123456789 -")))
def test_refused_text_is_the_same_for_code_points_and_for_utf16_units(text: str) -> None:
    text = parsed(text)
    assert bool(re.search(REFUSED_TEXT, text)) == bool(re.search(REFUSED_TEXT, utf16_units(text)))
