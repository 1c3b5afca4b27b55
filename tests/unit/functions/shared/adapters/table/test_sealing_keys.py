"""Keys for one payment each: issued, opened with, expired and deleted."""

import base64
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from joserfc import jwe
from joserfc.jwk import ECKey

from functions.shared.adapters.jwe import SINGLE_USE, JweCardOpener, SingleUseKeys, derived_key
from functions.shared.adapters.table.held_cards import DynamoDbHeldCards
from functions.shared.adapters.table.sealing_keys import LIFETIME, DynamoDbSealingKeys
from functions.shared.domain.errors import (
    InvalidSealedCard,
    PaymentUnderWay,
    SealedCardTampered,
    SealedForAnotherPayment,
    SealedWithTheWrongKind,
    SealingKeyExpired,
    SealingKeyUsed,
    UnknownSealingKey,
)
from functions.shared.domain.times import iso
from functions.shared.ports import HeldCard, SealingKey
from tests.fakes import FakeCardCipher
from tests.mocked_aws import EPHEMERAL_TABLE, MockedAws, new_id
from tests.samples import CARD_DATA, NOW
from tests.tampering import flipped, with_header, with_segment

LATER = iso(datetime.fromisoformat(NOW) + LIFETIME)
JUST_BEFORE = iso(datetime.fromisoformat(NOW) + LIFETIME - timedelta(milliseconds=1))


class Table:
    def __init__(self, client: Any, name: str) -> None:
        self.client, self.name = client, name
        self.keys = DynamoDbSealingKeys(client, name, FakeCardCipher())

        self.held_cards = DynamoDbHeldCards(client, name)


@pytest.fixture
def table(aws: MockedAws) -> Table:
    return Table(aws.dynamodb, EPHEMERAL_TABLE)


def sealed(key: SealingKey, payment_id: str, **changes: Any) -> str:
    """A card sealed to the key by an independent JOSE library."""
    header = {"alg": "ECDH-ES", "enc": "A256GCM", "kid": key.kid, "payment_id": payment_id} | changes
    public = ECKey.import_key({"kty": "EC", "crv": "P-256", "x": key.x, "y": key.y})
    registry = jwe.JWERegistry(algorithms=["ECDH-ES", "A256GCM"], strict_check_header=False)
    return jwe.encrypt_compact(header, json.dumps(CARD_DATA), public, registry=registry)


def opened(table: Table, card: str, payment_id: str, at: str = NOW) -> Any:
    opened = JweCardOpener({SINGLE_USE: SingleUseKeys(table.keys, lambda: at)}).open(card, payment_id)
    assert opened.single_use
    return json.loads(opened.content)


def test_the_key_derivation_is_the_standard_s_own() -> None:
    # RFC 7518, appendix C: Alice's apu, Bob's apv, and a key for A128GCM.
    # pragma: allowlist nextline secret
    secret = bytes.fromhex("9e56d91d817135d372834283bf84269cfb316ea3da806a48f6daa7798cfe90c4")
    key = derived_key(secret, "A128GCM", b"Alice", b"Bob", key_bytes=16)
    assert base64.urlsafe_b64encode(key).rstrip(b"=") == b"VqqN6vgjbSBcIijNcacQGg"


@pytest.mark.parametrize("parties", [{}, {"apu": "QWxpY2U", "apv": "Qm9i"}, {"typ": "JWE", "cty": "json"}])
def test_a_card_sealed_by_another_library_opens(table: Table, parties: dict[str, str]) -> None:
    key = table.keys.issue(payment_id := new_id(), NOW)
    assert opened(table, sealed(key, payment_id, **parties), payment_id) == CARD_DATA


def test_the_kid_is_the_thumbprint_of_the_key(table: Table) -> None:
    key = table.keys.issue(new_id(), NOW)
    assert key.kid == ECKey.import_key({"kty": "EC", "crv": "P-256", "x": key.x, "y": key.y}).thumbprint()


def test_asking_again_gives_the_same_key_until_it_expires(table: Table) -> None:
    key = table.keys.issue(payment_id := new_id(), NOW)
    assert key.expires_at == LATER
    assert table.keys.issue(payment_id, JUST_BEFORE) == key
    assert table.keys.issue(payment_id, LATER).kid != key.kid


def test_of_two_requests_at_once_both_get_the_key_of_the_first(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    payment_id = new_id()
    issued: list[SealingKey | None] = []
    encrypt = FakeCardCipher.encrypt

    def overtaken(cipher: FakeCardCipher, plaintext: bytes, context: dict[str, str]) -> bytes:
        if not issued:
            issued.append(None)
            issued[0] = table.keys.issue(payment_id, NOW)
        return encrypt(cipher, plaintext, context)

    monkeypatch.setattr(FakeCardCipher, "encrypt", overtaken)
    assert [table.keys.issue(payment_id, NOW)] == issued


def test_no_private_half_is_in_the_table(table: Table) -> None:
    key = table.keys.issue(payment_id := new_id(), NOW)
    item = table.client.get_item(TableName=table.name, Key={"payment_id": {"S": payment_id}})["Item"]
    assert table.keys.private_key(payment_id, key.kid, NOW) not in [
        value for attribute in item.values() for value in attribute.values()
    ]


def test_a_key_expires(table: Table) -> None:
    key = table.keys.issue(payment_id := new_id(), NOW)
    card = sealed(key, payment_id)
    assert opened(table, card, payment_id, JUST_BEFORE) == CARD_DATA
    with pytest.raises(SealingKeyExpired):
        opened(table, card, payment_id, LATER)


def test_after_the_payment_s_end_its_key_opens_nothing_and_is_not_replaced(table: Table) -> None:
    key = table.keys.issue(payment_id := new_id(), NOW)
    card = sealed(key, payment_id)
    table.held_cards.erase(payment_id, NOW)
    with pytest.raises(SealingKeyUsed):
        opened(table, card, payment_id)
    for at in (NOW, LATER):
        with pytest.raises(SealingKeyUsed):
            table.keys.issue(payment_id, at)


def test_a_key_that_has_stored_a_card_opens_nothing_more_and_is_not_replaced(table: Table) -> None:
    key = table.keys.issue(payment_id := new_id(), NOW)
    card = sealed(key, payment_id)
    for _ in range(2):
        table.held_cards.erase_key(payment_id)
        with pytest.raises(SealingKeyUsed):
            opened(table, card, payment_id)
        for at in (NOW, LATER):
            with pytest.raises(SealingKeyUsed):
                table.keys.issue(payment_id, at)
    # A payment may have the same id, and pay otherwise.
    table.held_cards.hold(payment_id, HeldCard(b"ciphertext"), NOW)
    assert table.held_cards.find(payment_id) == HeldCard(b"ciphertext")


def test_no_item_is_made_for_a_card_that_had_no_key(table: Table) -> None:
    table.held_cards.erase_key(payment_id := new_id())
    assert "Item" not in table.client.get_item(TableName=table.name, Key={"payment_id": {"S": payment_id}})


def test_a_payment_under_way_keeps_its_key(table: Table) -> None:
    table.keys.issue(payment_id := new_id(), NOW)
    table.held_cards.hold(payment_id, HeldCard(b"ciphertext"), NOW)
    with pytest.raises(PaymentUnderWay):
        table.keys.issue(payment_id, LATER)


def test_another_payment_s_key_opens_nothing(table: Table) -> None:
    key, other = table.keys.issue(payment_id := new_id(), NOW), table.keys.issue(other_id := new_id(), NOW)
    for card in (sealed(other, other_id), sealed(other, payment_id)):
        with pytest.raises(SealedForAnotherPayment):
            opened(table, card, payment_id)
    with pytest.raises(UnknownSealingKey):
        opened(table, sealed(key, unknown := new_id()), unknown)


def test_a_deployment_may_accept_only_the_other_kind(table: Table) -> None:
    key = table.keys.issue(payment_id := new_id(), NOW)
    with pytest.raises(SealedWithTheWrongKind, match="POST /keys"):
        JweCardOpener({}).open(sealed(key, payment_id), payment_id)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda card, header: with_segment(card, 3, flipped), SealedCardTampered),
        (lambda card, header: with_header(card, header | {"apu": "QWxpY2U"}), SealedCardTampered),
        (lambda card, header: with_header(card, header | {"apu": 1}), InvalidSealedCard),
        (lambda card, header: card.replace("..", ".AAAA.", 1), InvalidSealedCard),
        *(
            (lambda card, header, epk=epk: with_header(card, header | {"epk": header["epk"] | epk}), InvalidSealedCard)
            for epk in ({"crv": "P-384"}, {"kty": "OKP"}, {"x": "AAAA"}, {"y": 1}, {"d": "AAAA"}, {"y": "A" * 43})
        ),
        (lambda card, header: with_header(card, header | {"epk": "none"}), InvalidSealedCard),
    ],
)
def test_a_changed_card_does_not_open(table: Table, change: Any, error: type[Exception]) -> None:
    key = table.keys.issue(payment_id := new_id(), NOW)
    card = sealed(key, payment_id)
    header = json.loads(base64.urlsafe_b64decode(card.split(".")[0] + "=="))
    with pytest.raises(error):
        opened(table, change(card, header), payment_id)
