import base64
from typing import Any

import pytest

from functions.keep.handler import handler
from functions.shared.domain.errors import LedgerConflict, LedgerUnavailable
from tests.fakes import LEDGER_DOWN
from tests.samples import SUMMARY, TOKEN
from tests.unit.functions.conftest import Output, World

EVENT: dict[str, Any] = {
    "payment_id": "payment-of-ours-1",
    "card": SUMMARY.to_dict(),
    "ciphertext": base64.b64encode(b"\x00ciphertext").decode(),
}


def test_a_card_is_stored_and_shown_as_the_api_answers_it(world: World, output: Output) -> None:
    stored = {"payment_id": "payment-of-ours-1", "status": "stored", "card": SUMMARY.to_dict()}
    assert handler(EVENT, None) == stored
    assert world.card_vault.cards[TOKEN].ciphertext == b"\x00ciphertext"
    assert world.ledger.records == {}
    assert output.metrics() == {"CardStored": [1.0]}
    assert handler(EVENT, None) == stored


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
