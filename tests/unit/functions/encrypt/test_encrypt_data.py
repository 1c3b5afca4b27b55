import base64
import hashlib
import json

import pytest

from functions.encrypt.encrypt_data import encrypt_card, encrypt_data
from functions.shared.domain.errors import KeyServiceUnavailable, KeyUnusable
from tests.fakes import FakeCardCipher
from tests.samples import CARD, CARD_DATA, HOLDER, PAN, TOKEN

CONTEXT = {"token": TOKEN}


def test_the_card_can_be_read_again_under_its_own_token_only() -> None:
    cipher = FakeCardCipher()
    ciphertext = encrypt_data(CARD_DATA, CONTEXT, cipher=cipher)
    assert json.loads(cipher.decrypt(ciphertext, CONTEXT)) == CARD_DATA
    with pytest.raises(KeyUnusable):
        cipher.decrypt(ciphertext, {"token": "tok_of_another_card"})


def test_the_transactions_id_is_the_hash_of_the_ciphertext() -> None:
    cipher = FakeCardCipher()
    encrypted = encrypt_card(CARD, CONTEXT, cipher=cipher)
    ciphertext = base64.b64decode(encrypted["ciphertext"], validate=True)
    assert encrypted["transaction_id"] == hashlib.sha256(ciphertext).hexdigest()
    assert json.loads(cipher.decrypt(ciphertext, CONTEXT)) == CARD_DATA


def test_what_leaves_shows_nothing_of_the_card() -> None:
    encrypted = repr(encrypt_card(CARD, CONTEXT, cipher=FakeCardCipher()))
    assert PAN not in encrypted
    assert HOLDER not in encrypted


def test_a_holder_in_any_script_comes_back_unchanged() -> None:
    cipher = FakeCardCipher()
    card_data = CARD_DATA | {"card_holder": "Zoë 山田 🎟"}
    ciphertext = encrypt_data(card_data, CONTEXT, cipher=cipher)
    assert json.loads(cipher.decrypt(ciphertext, CONTEXT)) == card_data


def test_a_key_that_does_not_answer_is_left_to_the_state_machine() -> None:
    cipher = FakeCardCipher()
    cipher.faults.arm("encrypt", KeyServiceUnavailable("KMS: Throttling"))
    with pytest.raises(KeyServiceUnavailable):
        encrypt_card(CARD, CONTEXT, cipher=cipher)
