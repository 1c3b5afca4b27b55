import hashlib
import json

import pytest

from functions.encrypt.encrypt_data import encrypt_card, encrypt_data, hold_card
from functions.shared.domain.errors import KeyServiceUnavailable, KeyUnusable, LedgerConflict
from functions.shared.ports import HeldCard
from tests.fakes import FakeCardCipher, FakeHeldCards
from tests.samples import CARD, CARD_DATA, NOW, SECURITY_CODE, TOKEN, card

CONTEXT = {"token": TOKEN}


def test_the_card_can_be_read_again_under_its_own_token_only() -> None:
    cipher = FakeCardCipher()
    ciphertext = encrypt_data(CARD_DATA, CONTEXT, cipher=cipher)
    assert json.loads(cipher.decrypt(ciphertext, CONTEXT)) == CARD_DATA
    with pytest.raises(KeyUnusable):
        cipher.decrypt(ciphertext, {"token": "tok_of_another_card"})


def test_the_transaction_s_id_is_the_hash_of_the_ciphertext_that_is_held() -> None:
    held_cards = FakeHeldCards()
    for ciphertext in (b"the first", b"of a repetition"):
        held = hold_card("pay-1", HeldCard(ciphertext), held_cards=held_cards, now=NOW)
        assert held == {"transaction_id": hashlib.sha256(b"the first").hexdigest()}
    assert held_cards.cards == {"pay-1": HeldCard(b"the first")}


def test_nothing_is_held_for_a_payment_that_has_ended() -> None:
    held_cards = FakeHeldCards()
    held_cards.erase("pay-1", NOW)
    with pytest.raises(LedgerConflict):
        hold_card("pay-1", HeldCard(b"ciphertext"), held_cards=held_cards, now=NOW)
    assert held_cards.cards == {}


def test_the_security_code_is_encrypted_for_the_payment_and_not_with_the_card() -> None:
    cipher, code_cipher = FakeCardCipher(), FakeCardCipher()
    with_code = card(security_code=SECURITY_CODE)
    encrypted = encrypt_card(with_code, "pay-1", CONTEXT, cipher=cipher, code_cipher=code_cipher)
    assert json.loads(cipher.decrypt(encrypted.ciphertext, CONTEXT)) == CARD_DATA
    assert encrypted.security_code
    context = {"payment_id": "pay-1", "purpose": "security_code"}
    assert code_cipher.decrypt(encrypted.security_code, context) == SECURITY_CODE.encode()
    without = encrypt_card(CARD, "pay-1", CONTEXT, cipher=cipher, code_cipher=code_cipher)
    assert without.security_code is None


def test_a_holder_in_any_script_comes_back_unchanged() -> None:
    cipher = FakeCardCipher()
    card_data = CARD_DATA | {"card_holder": "Zoë 山田 🎟"}
    ciphertext = encrypt_data(card_data, CONTEXT, cipher=cipher)
    assert json.loads(cipher.decrypt(ciphertext, CONTEXT)) == card_data


def test_a_key_that_does_not_answer_is_left_to_the_state_machine() -> None:
    cipher = FakeCardCipher()
    cipher.faults.arm("encrypt", KeyServiceUnavailable("KMS: Throttling"))
    with pytest.raises(KeyServiceUnavailable):
        encrypt_card(CARD, "pay-1", CONTEXT, cipher=cipher, code_cipher=FakeCardCipher())
