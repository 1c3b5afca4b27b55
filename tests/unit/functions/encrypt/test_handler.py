import base64
import hashlib
import json
from typing import Any

import pytest

from functions.encrypt.handler import handler
from functions.shared.domain.errors import InvalidCardNumber, UnknownToken
from functions.shared.ports import HeldCard, StoredCard
from tests.samples import CARD_DATA, FINGERPRINT, HOLDER, KEPT_UNTIL, NETWORK_TRANSACTION_ID, PAN, SUMMARY, TOKEN
from tests.unit.functions.conftest import Output, World


def event(card: dict[str, Any]) -> dict[str, Any]:
    return {
        "payment_id": "payment-of-ours-1",
        "card": SUMMARY.to_dict(),
        "request": {"amount_minor": 1999, "currency": "USD"} | card,
    }


def test_the_transaction_s_id_leaves_and_neither_the_card_nor_its_ciphertext_does(world: World, output: Output) -> None:
    answer = handler(event({"card_data": CARD_DATA, "token": None}), None)
    held_card = world.held_cards.cards["payment-of-ours-1"]
    assert answer == {"transaction_id": hashlib.sha256(held_card.ciphertext).hexdigest()}
    assert json.loads(world.card_cipher.decrypt(held_card.ciphertext, {"token": TOKEN})) == CARD_DATA
    assert {line["payment_id"] for line in output.logs()} == {"payment-of-ours-1"}
    assert PAN not in output.text
    assert HOLDER not in output.text


def test_a_card_to_be_stored_leaves_encrypted_and_is_not_held(world: World) -> None:
    store = {"payment_id": "payment-of-ours-1", "card": SUMMARY.to_dict(), "store_request": {"card_data": CARD_DATA}}
    answer = handler(store, None)
    assert answer.keys() == {"ciphertext"}
    ciphertext = base64.b64decode(answer["ciphertext"])
    assert json.loads(world.card_cipher.decrypt(ciphertext, {"token": TOKEN})) == CARD_DATA
    assert world.held_cards.cards == {}


def test_a_card_that_is_not_to_be_kept_is_bound_to_its_number(world: World) -> None:
    handler(event({"card_data": CARD_DATA}) | {"card": SUMMARY.without_token().to_dict()}, None)
    held_card = world.held_cards.cards["payment-of-ours-1"]
    assert json.loads(world.card_cipher.decrypt(held_card.ciphertext, {"fingerprint": FINGERPRINT})) == CARD_DATA


def test_a_card_number_that_is_none_is_not_encrypted(world: World, output: Output) -> None:
    wrong = CARD_DATA | {"card_number": "4242424242424241"}
    with pytest.raises(InvalidCardNumber):
        handler(event({"card_data": wrong}), None)
    assert "4242424242424241" not in str(output.logs())


def test_a_stored_card_is_charged_as_it_was_encrypted(world: World) -> None:
    world.card_vault.cards[TOKEN] = StoredCard(SUMMARY, b"ciphertext", KEPT_UNTIL, NETWORK_TRANSACTION_ID)
    assert handler(event({"token": TOKEN, "card_data": None}), None) == {
        "transaction_id": hashlib.sha256(b"ciphertext").hexdigest(),
    }
    held_card = HeldCard(b"ciphertext", network_transaction_id=NETWORK_TRANSACTION_ID)
    assert world.held_cards.cards["payment-of-ours-1"] == held_card


def test_a_card_that_was_erased_since_tokenize_saw_it_is_unknown(world: World) -> None:
    with pytest.raises(UnknownToken):
        handler(event({"token": TOKEN}), None)
