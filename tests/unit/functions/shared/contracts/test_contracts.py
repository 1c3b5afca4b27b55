import pytest
from jsonschema import Draft4Validator

from functions.shared import contracts
from functions.shared.domain.card import Card
from tests.samples import CARD_DATA, TEST_CARDS, UNLISTED_PAN


@pytest.mark.parametrize("contract", ["tokenize", "encrypt", "charge", "persist", "compensate", "status", "cards"])
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
    assert (card["outcome"] == "declined") == ("decline_code" in card)
    assert card["outcome"] in ("approved", "declined")


def test_a_number_that_is_not_listed_is_no_test_card() -> None:
    assert not contracts.is_test_card(UNLISTED_PAN)
    assert not contracts.is_test_card("")
