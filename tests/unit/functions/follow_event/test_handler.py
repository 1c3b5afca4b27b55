import json
from dataclasses import asdict
from typing import Any

import pytest

from functions.follow_event.handler import handler
from functions.shared import runtime
from functions.shared.domain.errors import GatewayRefused, InternalError, LedgerConflict
from functions.shared.domain.gateway_event import GatewayEvent
from functions.shared.domain.ledger import capture_entry
from tests.fakes import LEDGER_DOWN
from tests.samples import NOW, charge_of, payment
from tests.unit.functions.conftest import Output, World


def record(message_id: str, **changes: Any) -> dict[str, Any]:
    event = asdict(GatewayEvent("ev_1", "refund.failed", "ch_1", NOW, "payment-of-ours-1")) | changes
    return {"messageId": message_id, "body": json.dumps({"gateway": "sparkle", "event": event})}


def follow(*records: dict[str, Any]) -> list[str]:
    return [failure["itemIdentifier"] for failure in handler({"Records": list(records)}, None)["batchItemFailures"]]


@pytest.fixture
def paid(world: World) -> World:
    charged, entries = payment("payment-of-ours-1").post(capture_entry("sparkle", 1999, "USD"))
    world.ledger.record(charged, entries)
    world.gateway.charges[charged.payment_id] = charge_of(charged)
    return world


def test_an_event_is_followed(paid: World) -> None:
    assert follow(record("m-1")) == []
    assert paid.gateway.calls == ["find"]


def test_an_event_that_cannot_be_followed_yet_comes_again(paid: World) -> None:
    paid.ledger.faults.arm("find", LEDGER_DOWN)
    unseen = record("m-3", payment_id="payment-of-ours-2", at=runtime.now())
    assert follow(record("m-1"), record("m-2"), unseen) == ["m-1", "m-3"]


def test_a_mismatch_calls_somebody_once(paid: World, output: Output) -> None:
    paid.gateway.charges["payment-of-ours-1"] = charge_of(payment("payment-of-ours-1"), amount_minor=1)
    assert follow(record("m-1")) == []
    assert output.metrics()["GatewayMismatch"] == [1.0]


def test_a_refusal_is_an_error(paid: World) -> None:
    paid.gateway.faults.arm("find", GatewayRefused("The key is wrong."))
    with pytest.raises(GatewayRefused):
        follow(record("m-1"))


def test_a_message_that_we_did_not_write_is_an_error(world: World) -> None:
    with pytest.raises(InternalError):
        follow({"messageId": "m-1", "body": '{"gateway": "sparkle", "event": {}}'})


def test_a_conflict_is_tried_again_at_once(paid: World) -> None:
    paid.ledger.faults.arm("find", LedgerConflict("Written meanwhile."))
    assert follow(record("m-1")) == []
