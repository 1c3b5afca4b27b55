import base64
import hashlib
from typing import Any

import pytest

from functions.keep.handler import handler
from functions.shared.domain.errors import LedgerConflict, LedgerUnavailable, SealingKeyUsed
from tests.fakes import LEDGER_DOWN
from tests.samples import LATER, NETWORK_TRANSACTION_ID, SEALED, SUMMARY, TOKEN
from tests.unit.functions.conftest import Output, World

EVENT: dict[str, Any] = {
    "payment_id": "payment-of-ours-1",
    "card": SUMMARY.to_dict(),
    "encrypted": {"ciphertext": base64.b64encode(b"\x00ciphertext").decode()},
    "sealed_hash": None,
}


def test_a_card_is_stored_and_shown_as_the_api_answers_it(world: World, output: Output) -> None:
    stored = {"payment_id": "payment-of-ours-1", "status": "stored", "card": SUMMARY.to_dict()}
    assert handler(EVENT, None) == stored
    assert world.card_vault.cards[TOKEN].ciphertext == b"\x00ciphertext"
    assert world.ledger.records == {}
    assert output.metrics() == {"CardStored": [1.0]}
    assert handler(EVENT, None) == stored


def test_a_card_that_was_verified_is_stored_with_the_networks_id(world: World) -> None:
    verified = EVENT["encrypted"] | {"network_transaction_id": NETWORK_TRANSACTION_ID}
    stored = handler(EVENT | {"encrypted": verified}, None)
    assert world.card_vault.cards[TOKEN].network_transaction_id == NETWORK_TRANSACTION_ID
    assert NETWORK_TRANSACTION_ID not in str(stored)


def test_another_card_is_not_stored_under_the_key_and_not_counted(world: World, output: Output) -> None:
    handler(EVENT, None)
    output.metrics()
    with pytest.raises(LedgerConflict):
        handler(EVENT | {"card": SUMMARY.to_dict() | {"expiry": "11/44"}}, None)
    assert output.metrics()["CardStored"] == [1.0]


def test_a_card_whose_answer_got_lost_is_stored_once_when_keep_runs_again(world: World) -> None:
    world.card_vault.faults.arm("keep", LEDGER_DOWN, done=True)
    with pytest.raises(LedgerUnavailable):
        handler(EVENT, None)
    assert handler(EVENT, None)["status"] == "stored"
    assert list(world.card_vault.cards) == [TOKEN]


SEALED_EVENT = EVENT | {"sealed_hash": hashlib.sha256(SEALED.encode()).hexdigest()}
REPEATED = {"payment_id": "payment-of-ours-1", "repeated": SEALED}


def test_the_key_that_the_card_was_sealed_to_is_deleted_once_the_card_is_stored(world: World) -> None:
    world.card_vault.faults.arm("keep", LEDGER_DOWN)
    with pytest.raises(LedgerUnavailable):
        handler(SEALED_EVENT, None)
    assert world.held_cards.keyless == set()
    handler(SEALED_EVENT, None)
    assert (world.held_cards.keyless, world.held_cards.ended) == ({"payment-of-ours-1"}, set())


def test_a_repeated_request_is_answered_as_before_although_nothing_opens_its_card(world: World) -> None:
    stored = handler(SEALED_EVENT, None)
    assert handler(REPEATED, None) == stored


def test_a_card_sealed_otherwise_is_another_request(world: World) -> None:
    handler(SEALED_EVENT, None)
    with pytest.raises(LedgerConflict):
        handler(REPEATED | {"repeated": SEALED.replace("aaaa.", "aaab.", 1)}, None)
    world.card_vault.erase(TOKEN, LATER)
    with pytest.raises(LedgerConflict):
        handler(REPEATED, None)


def test_a_key_that_ended_otherwise_has_stored_nothing(world: World) -> None:
    with pytest.raises(SealingKeyUsed):
        handler(REPEATED, None)


def test_a_card_that_came_in_the_clear_is_no_sealed_card_s_repetition(world: World) -> None:
    handler(EVENT, None)
    with pytest.raises(LedgerConflict):
        handler(REPEATED, None)
