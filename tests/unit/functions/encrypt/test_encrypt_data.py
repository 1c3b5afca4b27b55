import hashlib
import json

import pytest

from functions.encrypt.encrypt_data import encrypt_card, encrypt_data, hold_card
from functions.shared.domain.errors import KeyServiceUnavailable, KeyUnusable, LedgerConflict
from functions.shared.domain.security_code import CODE_KEY, decrypt_code
from functions.shared.ports import HeldCard
from functions.shared.use_cases.decrypt_card import decrypt_card
from tests.fakes import FakeCardCipher, FakeHeldCards
from tests.samples import CARD, CARD_DATA, NOW, SECURITY_CODE, SUMMARY, TOKEN, card

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
        answer = hold_card("pay-1", HeldCard(ciphertext), held_cards=held_cards, now=NOW)
        assert answer == {"transaction_id": hashlib.sha256(b"the first").hexdigest()}
    assert held_cards.cards == {"pay-1": HeldCard(b"the first")}


def test_nothing_is_held_for_a_payment_that_has_ended() -> None:
    held_cards = FakeHeldCards()
    held_cards.erase("pay-1", NOW)
    with pytest.raises(LedgerConflict):
        hold_card("pay-1", HeldCard(b"ciphertext"), held_cards=held_cards, now=NOW)
    assert held_cards.cards == {}


def test_the_security_code_is_encrypted_and_not_with_the_card() -> None:
    cipher = FakeCardCipher()
    encrypted = encrypt_card(card(security_code=SECURITY_CODE), CONTEXT, cipher=cipher)
    plaintext = json.loads(cipher.decrypt(encrypted.ciphertext, CONTEXT))
    key = bytes.fromhex(plaintext.pop(CODE_KEY))
    assert plaintext == CARD_DATA
    assert encrypted.security_code
    assert decrypt_code(key, encrypted.security_code) == SECURITY_CODE
    assert decrypt_card(encrypted, SUMMARY, cipher=cipher).security_code == SECURITY_CODE
    assert encrypt_card(CARD, CONTEXT, cipher=cipher).security_code is None


def test_a_code_that_was_encrypted_twice_has_two_keys_and_two_ciphertexts() -> None:
    """No pad is used twice. Of 16 attempts, it happens to 1 in 10^36."""
    cipher = FakeCardCipher()
    encrypted = [encrypt_card(card(security_code="0000"), CONTEXT, cipher=cipher) for _ in range(16)]
    keys = {json.loads(cipher.decrypt(each.ciphertext, CONTEXT))[CODE_KEY] for each in encrypted}
    assert len(keys) > 8
    assert len({each.security_code for each in encrypted}) > 8


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
