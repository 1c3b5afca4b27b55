import json
from typing import Any

import pytest

from functions.shared.adapters.json_schema import validate
from functions.shared.domain.card import Card
from functions.shared.domain.errors import (
    CardDataMustBeSealed,
    CardNumberInText,
    InvalidCardNumber,
    InvalidInput,
    InvalidSealedCard,
    PaymentError,
    SensitiveAuthenticationData,
)
from functions.shared.ports import CardOpener, Opened
from functions.shared.use_cases.open_card import open_card
from tests.samples import CARD_DATA, PAN, SECURITY_CODE, UNLISTED_PAN


class Opener:
    """Decrypts everything to the given card."""

    def __init__(self, content: bytes, *, single_use: bool) -> None:
        self.opened = Opened(content, single_use)

    def open(self, sealed: str, payment_id: str) -> Opened:
        assert (sealed, payment_id) == ("sealed", "pay-1")
        return self.opened


def opened(value: Any, *, single_use: bool = True) -> Card:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    opener = Opener(content, single_use=single_use)
    return open_card("sealed", "pay-1", card_opener=lambda: opener, validate=validate)


def never() -> CardOpener:
    raise AssertionError("Plain card data needs no opener.")


def test_a_sealed_card_may_have_any_valid_number() -> None:
    assert opened(CARD_DATA | {"card_number": UNLISTED_PAN}).pan == UNLISTED_PAN


def test_a_plain_card_must_be_a_published_test_card() -> None:
    assert open_card(CARD_DATA, "pay-1", card_opener=never, validate=validate).pan == PAN
    with pytest.raises(CardDataMustBeSealed):
        open_card(CARD_DATA | {"card_number": UNLISTED_PAN}, "pay-1", card_opener=never, validate=validate)


def test_a_security_code_is_accepted_under_a_single_use_key() -> None:
    card = opened(CARD_DATA | {"security_code": SECURITY_CODE})
    assert card.security_code == SECURITY_CODE
    assert "security_code" not in card.to_card_data()
    assert opened(CARD_DATA).security_code is None


@pytest.mark.parametrize("single_use", [True, False])
@pytest.mark.parametrize("name", ["cvv", "CVC", "cvv2", "Security_Code", "card-security-code", "CID", "csc"])
def test_a_security_code_by_another_name_is_refused_and_not_repeated(name: str, single_use: bool) -> None:
    with pytest.raises(SensitiveAuthenticationData) as raised:
        opened(CARD_DATA | {name: SECURITY_CODE}, single_use=single_use)
    assert SECURITY_CODE not in str(raised.value)


def test_a_security_code_under_a_static_key_is_refused() -> None:
    with pytest.raises(SensitiveAuthenticationData) as raised:
        opened(CARD_DATA | {"security_code": SECURITY_CODE}, single_use=False)
    assert SECURITY_CODE not in str(raised.value)


@pytest.mark.parametrize("code", ["98", "98765", "9 7", "", "a87", 987, None])
def test_a_security_code_has_three_or_four_digits(code: Any) -> None:
    with pytest.raises((InvalidInput, InvalidSealedCard)) as raised:
        opened(CARD_DATA | {"security_code": code})
    assert not code or str(code) not in str(raised.value)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (b"\xff\xfe", InvalidSealedCard),
        (b"not json", InvalidSealedCard),
        *((b"[" * depth, InvalidSealedCard) for depth in (900, 1_100, 100_000)),
        *((b"[" * depth + b"]" * depth, InvalidSealedCard) for depth in (100, 900, 960, 1_100, 100_000)),
        *(
            (json.dumps(CARD_DATA)[:-1].encode() + b', "card_holder": ' + deep + b"}", InvalidSealedCard)
            for deep in (b"[" * 940 + b"]" * 940, b'{"a":' * 980 + b"1" + b"}" * 980, b"[" * 5000 + b"]" * 5000)
        ),
        (b'{"card_number": NaN}', InvalidSealedCard),
        (json.dumps(CARD_DATA)[:-1].encode() + b', "card_number": "1"}', InvalidSealedCard),
        (json.dumps(CARD_DATA | {"card_holder": "a"}).replace('"a"', '"\\ud800"').encode(), InvalidSealedCard),
        (json.dumps(CARD_DATA)[:-1].encode() + b', "n": ' + b"9" * 5000 + b"}", InvalidSealedCard),
        (CARD_DATA | {"card_holder": f"J. Doe {PAN[:8]}.{PAN[8:]}"}, CardNumberInText),
        ([CARD_DATA], InvalidSealedCard),
        ("4242", InvalidSealedCard),
        ({"card_number": PAN}, InvalidSealedCard),
        (CARD_DATA | {"card_number": 4242424242424242}, InvalidSealedCard),
        (CARD_DATA | {"note": "hello"}, InvalidSealedCard),
        (CARD_DATA | {"card_number": PAN[:-1] + "1"}, InvalidCardNumber),
    ],
)
def test_what_was_sealed_must_be_a_card(value: Any, error: type[PaymentError]) -> None:
    with pytest.raises(error) as raised:
        opened(value)
    assert type(raised.value) is error
    assert PAN[:-1] not in str(raised.value)


def test_a_test_card_in_the_clear_has_no_number_for_a_holder_either() -> None:
    with pytest.raises(CardNumberInText, match="card_holder"):
        open_card(CARD_DATA | {"card_holder": f"x{PAN}"}, "pay-1", card_opener=never, validate=validate)


@pytest.mark.parametrize("depth", range(850, 1_000, 10))
def test_no_depth_is_too_deep_to_be_told(depth: int) -> None:
    """Such a value can be parsed, but can't be encoded in a message."""
    deep = f'{{"card_number": {"[" * depth}{"]" * depth}}}'.encode()
    with pytest.raises(InvalidSealedCard):
        opened(deep)
