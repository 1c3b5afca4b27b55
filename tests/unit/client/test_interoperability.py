"""Cards sealed to a single-use key by our clients and by other JOSE libraries, and opened by two that are not ours."""

import json
from collections.abc import Callable
from functools import partial

import pytest
from joserfc import jwe
from joserfc.jwk import ECKey
from jwcrypto.jwe import JWE
from jwcrypto.jwk import JWK

from client.shapes import is_sealed_card
from tests.chromium import browser  # noqa: F401
from tests.samples import CARD_DATA
from tests.sealers import SEALERS, Sealer, by_chromium, by_npm_jose, header_in, header_of, issued_key

CARD = CARD_DATA | {"card_holder": "Renée Łukasz 山田", "security_code": "737"}

Opener = Callable[[str, ECKey], bytes]


def opened_by_joserfc(sealed: str, pair: ECKey) -> bytes:
    registry = jwe.JWERegistry(algorithms=["ECDH-ES", "A256GCM"])
    registry.strict_check_header = False
    return jwe.decrypt_compact(sealed, pair, registry=registry).plaintext or b""


def opened_by_jwcrypto(sealed: str, pair: ECKey) -> bytes:
    token = JWE()
    token.deserialize(sealed, JWK(**pair.as_dict(private=True)))
    return bytes(token.payload)


@pytest.fixture(params=[*SEALERS, "our page, in Chromium"])
def sealer(request: pytest.FixtureRequest) -> Sealer:
    return SEALERS.get(request.param) or partial(by_chromium, request.getfixturevalue("browser"))


@pytest.mark.parametrize("opened", [opened_by_joserfc, opened_by_jwcrypto], ids=["joserfc", "jwcrypto"])
def test_what_one_seals_another_opens(sealer: Sealer, opened: Opener) -> None:
    pair, key = issued_key()
    sealed = sealer(CARD, "pay-1", key)
    assert json.loads(opened(sealed, pair)) == CARD


def test_a_sealed_card_is_of_the_one_shape_and_says_nothing_but_how_it_was_sealed(sealer: Sealer) -> None:
    _, key = issued_key()
    sealed = sealer(CARD, "pay-1", key)
    assert is_sealed_card(sealed)
    header = header_in(sealed)
    ephemeral = header.pop("epk")
    header.pop("typ", None)
    assert header == header_of(key, "pay-1")
    assert (ephemeral.keys(), ephemeral["kty"], ephemeral["crv"]) == ({"kty", "crv", "x", "y"}, "EC", "P-256")
    assert sealed.split(".")[1] == ""


def test_no_two_sealed_cards_share_a_key(sealer: Sealer) -> None:
    _, key = issued_key()
    first, second = (sealer(CARD, "pay-1", key) for _ in range(2))
    assert header_in(first)["epk"] != header_in(second)["epk"]


def test_parties_that_a_library_names_go_into_the_key() -> None:
    pair, key = issued_key()
    parties = {"apu": "the shop's page", "apv": "the payments API"}
    sealed = by_npm_jose(CARD, "pay-1", key, parties)
    assert header_in(sealed).keys() >= {"apu", "apv"}
    for opened in (opened_by_joserfc, opened_by_jwcrypto):
        assert json.loads(opened(sealed, pair)) == CARD
