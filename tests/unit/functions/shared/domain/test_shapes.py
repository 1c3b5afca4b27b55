import random
import re
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.shared import contracts
from functions.shared.adapters.json_schema import validate
from functions.shared.domain.errors import InvalidInput
from functions.shared.domain.shapes import (
    SEALED_CARD,
    canonical_id,
    is_code,
    is_gateway_id,
    is_id,
    is_sealed_card,
    is_token,
)
from tests.samples import SEALED, TOKEN, UNLISTED_PAN

HOSTILE = [
    UNLISTED_PAN,
    f"x{UNLISTED_PAN}",
    f"order-{UNLISTED_PAN}",
    f"{UNLISTED_PAN}_retry_1",
    "4000-0566-5566-5556",
    "4000_0566_5566_5556_x",
    "4-0-0-0-0-5-6-6-5-5-6-6-5-5-5-6",
    "order-20241128-0000123",
    "123456789012-abcdef",
    "a" * 15,
    "a" * 65,
    "",
    "order 1001 is paid for",
    "order-1001-is-paid\n",
    "ключ-идемпотентности",
    "４０００-０５６６-５５６６-５５５６",
    None,
    4000056655665556,
    [UNLISTED_PAN],
    {"id": UNLISTED_PAN},
    True,
]

ids = st.text("0123456789abcdefxyzABCDEFXYZ-_", min_size=14, max_size=66)


def keeps_the_contract(payment_id: object) -> bool:
    try:
        validate("perform", PERFORM | {"payment_id": payment_id})
    except InvalidInput:
        return False
    return True


PERFORM: dict[str, Any] = {
    "payment_id": "payment-of-ours-1",
    "operation_id": "operation-of-ours-1",
    "type": "void",
    "amount_minor": 1,
    "currency": "USD",
    "charge_id": "ch_1",
}


def test_of_100000_random_uuids_none_is_refused() -> None:
    dice = random.Random(2026)  # noqa: S311
    for _ in range(100_000):
        random_uuid = str(uuid.UUID(int=dice.getrandbits(128), version=4))
        for form in (random_uuid, random_uuid.upper(), random_uuid.replace("-", "")):
            assert is_id(form), form


@pytest.mark.parametrize("value", HOSTILE)
def test_what_could_hold_a_card_number_is_no_id(value: object) -> None:
    assert not is_id(value)
    assert not keeps_the_contract(value)


@pytest.mark.parametrize(
    "value", ["order-1001-attempt-1", "a" * 64, "-" * 16, "order-12345678901", "7B8F2AB5-3451-4013-9675-F6AD325B55DD"]
)
def test_what_shops_take_for_keys_is_one(value: str) -> None:
    assert is_id(value)
    assert keeps_the_contract(value)


@given(ids | st.uuids().map(str) | st.text(max_size=70))
def test_the_contracts_take_the_same_ids(value: str) -> None:
    assert keeps_the_contract(value) == is_id(value)


@given(ids)
def test_an_id_has_no_long_number_but_for_a_uuid(value: str) -> None:
    if is_id(value) and not re.fullmatch("[0-9A-Fa-f-]{36}|[0-9A-Fa-f]{32}", value):
        assert not re.search("[0-9]{12}", re.sub("[-_]", "", value))


@given(st.uuids())
def test_a_uuid_is_one_id_however_it_is_written(value: uuid.UUID) -> None:
    spellings = (str(value), str(value).upper(), value.hex, value.hex.upper())
    assert {canonical_id(each) for each in spellings} == {str(value)}


@given(ids)
def test_the_id_by_which_it_is_known_is_one_that_is_known_by_itself(value: str) -> None:
    if is_id(value):
        assert is_id(canonical_id(value))
        assert canonical_id(canonical_id(value)) == canonical_id(value)
        assert canonical_id(value) == value or re.fullmatch("[0-9A-Fa-f-]{36}|[0-9A-Fa-f]{32}", value)


def test_a_token_is_one() -> None:
    assert is_token(TOKEN)
    assert not any(map(is_token, [*HOSTILE, TOKEN + "\n", TOKEN.upper(), TOKEN[:-1]]))


def test_a_sealed_card_has_one_shape_everywhere() -> None:
    definition = contracts.load("definitions")["sealed_card"]
    assert definition["pattern"] == f"^{SEALED_CARD}$"
    segments = SEALED.split(".")
    others = [
        f"{UNLISTED_PAN}.a.a.a.a",
        SEALED[1:],
        SEALED + "\n",
        SEALED + ".a",
        SEALED.rsplit(".", 1)[0],
        SEALED.replace("eyJ", "eyK"),
        SEALED.replace(".aa", ".a="),
        *(".".join([*segments[:place], segments[place][1:], *segments[place + 1 :]]) for place in (1, 2, 4)),
        *(".".join([*segments[:place], "a" + segments[place], *segments[place + 1 :]]) for place in (1, 2, 4)),
        *(SEALED.replace("a" * len(number), number, 1) for number in (UNLISTED_PAN, "4000-0566_5566-5556", "1" * 12)),
        SEALED.replace("a" * 120, UNLISTED_PAN + "a" * 104),
        "eyJ" + "a" * 2000 + SEALED[203:],
    ]
    agreed = ".".join([segments[0], "", *segments[2:]])
    for sealed in (SEALED, agreed):
        assert is_sealed_card(sealed)
    for other in others:
        assert not is_sealed_card(other)
        with pytest.raises(InvalidInput):
            validate("tokenize", {"payment_id": "payment-of-ours-1", "store_request": {"card_data": other}})
    for sealed in (SEALED, agreed):
        validate("tokenize", {"payment_id": "payment-of-ours-1", "store_request": {"card_data": sealed}})


def test_a_gateway_may_name_things_as_it_likes_but_not_by_card_numbers() -> None:
    assert all(map(is_gateway_id, ["ch_1", "ch_369f67a3f2ad9749d4ad9d2c", "8515131751004933", "a" * 64, "-"]))
    refused = [
        "",
        "a" * 65,
        "ch 1",
        "ch_1\n",
        UNLISTED_PAN,
        f"ch_{UNLISTED_PAN}",
        "4000-0566-5566-5556",
        None,
        1,
        ["ch_1"],
    ]
    assert not any(map(is_gateway_id, refused))


def test_a_code_is_in_snake_case() -> None:
    assert all(map(is_code, ["insufficient_funds", "r51", "a" * 64]))
    refused = ["", "a" * 65, "Do not honor", "51", "a\n", f"a{UNLISTED_PAN}", "a4000_0566_5566_5556", None, 51, ["a"]]
    assert not any(map(is_code, refused))
