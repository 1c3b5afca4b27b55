from typing import Any

import pytest

from functions.publish.handler import handler
from functions.shared.domain.errors import EventBusUnavailable, LedgerUnavailable
from tests.fakes import LEDGER_DOWN
from tests.samples import payment
from tests.unit.functions.conftest import Output, World


def stream(*indexes: int) -> dict[str, Any]:
    return {"Records": [{"dynamodb": {"Keys": {"pk": {"S": "#"}, "sk": {"S": str(n)}}}} for n in indexes]}


@pytest.fixture
def recorded(world: World) -> list[str]:
    """The ids of three payments that were recorded."""
    ids = [f"pay-{n}" for n in range(3)]
    for payment_id in ids:
        world.ledger.record(payment(payment_id))
    return ids


def subjects(world: World) -> list[str]:
    return [event.subject for event in world.event_bus.published]


def test_what_was_recorded_is_published_in_the_streams_order(world: World, output: Output, recorded: list[str]) -> None:
    assert handler(stream(0, 1, 2), None) == {}
    assert subjects(world) == recorded
    assert output.metrics() == {"EventsPublished": [3]}


def test_a_batch_that_is_repeated_is_published_again(world: World, output: Output, recorded: list[str]) -> None:
    for _ in range(2):
        handler(stream(0), None)
    assert subjects(world) == [recorded[0]] * 2


def test_an_event_that_is_not_there_is_counted_and_holds_up_no_other(
    world: World, output: Output, recorded: list[str]
) -> None:
    handler(stream(0, 7, 2), None)
    assert subjects(world) == [recorded[0], recorded[2]]
    assert output.metrics() == {"EventsMissing": [1], "EventsPublished": [2]}


def test_the_batch_comes_again_if_the_ledger_or_the_bus_is_down(
    world: World, output: Output, recorded: list[str]
) -> None:
    world.events.faults.arm("read", LEDGER_DOWN)
    with pytest.raises(LedgerUnavailable):
        handler(stream(0), None)
    world.event_bus.faults.arm("publish", EventBusUnavailable("EventBridge: InternalFailure"))
    with pytest.raises(EventBusUnavailable):
        handler(stream(0), None)
    handler(stream(0), None)
    assert subjects(world) == [recorded[0]]
