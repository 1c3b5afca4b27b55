import json
from typing import Any

import pytest

from functions.charge.handler import handler
from functions.shared.domain.errors import GatewayOutcomeUnknown, InternalError
from functions.shared.ports import HeldCard
from tests.samples import CARD_DATA, HOLDER, NOW, PAN, REQUEST, STARTED_AT, SUMMARY
from tests.unit.functions.conftest import Output, World


def event(world: World, plaintext: bytes = json.dumps(CARD_DATA).encode()) -> dict[str, Any]:
    held_card = HeldCard(world.card_cipher.encrypt(plaintext, SUMMARY.encryption_context))
    world.held_cards.hold("payment-of-ours-1", held_card, NOW)
    return {
        "payment_id": "payment-of-ours-1",
        "payment": REQUEST.to_dict(),
        "card": SUMMARY.to_dict(),
        "gateway": "sparkle",
        "three_d_secure": "automatic",
        "started_at": STARTED_AT,
        "transaction_id": held_card.transaction_id,
    }


def test_the_gateways_outcome_leaves_and_the_card_does_not(world: World, output: Output) -> None:
    outcome = handler(event(world), None)
    assert (outcome["outcome"], outcome["gateway"]) == ("captured", "sparkle")
    assert {line["payment_id"] for line in output.logs()} == {"payment-of-ours-1"}
    assert PAN not in output.text + json.dumps(outcome)
    assert HOLDER not in output.text + json.dumps(outcome)


def test_an_unknown_outcome_leaves_as_unknown(world: World, output: Output) -> None:
    world.gateway.faults.arm("charge", GatewayOutcomeUnknown("Sparkle did not answer: ReadTimeout."))
    with pytest.raises(GatewayOutcomeUnknown):
        handler(event(world), None)
    assert output.logs()[-1]["error"] == "GatewayOutcomeUnknown"


def test_a_plaintext_that_makes_no_sense_is_not_repeated(world: World, output: Output) -> None:
    with pytest.raises(InternalError) as failed:
        handler(event(world, f"{PAN} {HOLDER}".encode()), None)
    assert str(failed.value) == "JSONDecodeError"
    assert PAN not in str(output.logs())
    assert world.gateway.calls == []
