from collections import Counter
from typing import Any
from unittest.mock import MagicMock

import pytest

from functions.deliver.deliver_event import deliver_event
from functions.shared.adapters.event_bus import EventBridgeBus
from functions.shared.adapters.table.events import DynamoDbDeliveries, DynamoDbEvents, event_item
from functions.shared.adapters.table.items import marshal
from functions.shared.adapters.table.velocity import MAX_REMEMBERED_PAYMENTS
from functions.shared.adapters.webhooks import SqsDeliveryQueue
from functions.shared.domain.event import EVENT_TYPES, payment_event
from tests.fakes import FakeWebhook
from tools.estimates.footprint import (
    CALLS,
    PAYMENT,
    captured_writes,
    delivered_write,
    event_bytes,
    event_writes,
    item_bytes,
    memory_mb,
    milliseconds,
    payment_writes,
    settled_writes,
    stored_bytes,
    velocity_units,
    wait_calls,
)


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({"S": "Zoë"}, 4),
        ({"N": "0"}, 1),
        ({"N": "1999"}, 3),
        ({"N": "-12345"}, 4),
        ({"B": b"1234"}, 4),
        ({"BS": {b"12345678", b"87654321"}}, 16),
        ({"BOOL": False}, 1),
        ({"NULL": True}, 1),
        ({"L": []}, 3),
        ({"L": [{"S": "ab"}, {"N": "1"}]}, 3 + 3 + 3),
        ({"M": {"last4": {"S": "4242"}}}, 3 + 1 + 5 + 4),
    ],
)
def test_an_attribute_has_the_size_that_dynamodb_bills(value: dict[str, Any], size: int) -> None:
    assert item_bytes({"name": value}) == 4 + size


def test_a_value_of_a_kind_that_is_never_written_has_no_size() -> None:
    with pytest.raises(ValueError, match="type SS"):
        item_bytes({"name": {"SS": {"a"}}})


def test_a_transaction_is_billed_twice_and_its_index_once() -> None:
    by_key = {write.sk: write for write in captured_writes()}
    assert (by_key["CARD"].units, by_key["PAYMENT"].units) == (2, 2)
    assert (by_key["POSTING#0001#1"].units, by_key["POSTING#0001#1"].index_units) == (2, {"by_account": 1})
    assert sum(write.units for write in settled_writes()) == 2 * len(settled_writes())
    # A new version keeps the keys in the other indexes. In by_writing it enters a key, and later moves to another.
    assert [
        write.index_units
        for writes in (captured_writes(), settled_writes())
        for write in writes
        if write.sk == "PAYMENT"
    ] == [
        {"by_day": 1, "by_reference": 1, "by_writing": 1},
        {"by_day": 0, "by_reference": 0, "by_writing": 2},
    ]


def test_the_events_of_a_payment_are_its_two_versions_and_no_part_of_its_own_writes() -> None:
    assert [write.sk for write in event_writes()] == ["EVENT#000001", "EVENT#000002"]
    assert [write.units for write in event_writes()] == [2, 2]
    assert not any(write.is_of_event for write in payment_writes())
    assert len(payment_writes()) + 2 == len(captured_writes()) + len(settled_writes())
    assert delivered_write().units == 1
    assert event_bytes() > delivered_write().size


def test_the_payment_is_kept_once_however_often_it_was_written() -> None:
    in_table, in_index = stored_bytes()
    last_writes = {write.sk: write for write in payment_writes() if "PAYMENT#" in write.pk}
    assert in_table == sum(write.size + 100 for write in last_writes.values())
    by_account = sum(write.size + 100 for key, write in last_writes.items() if key.startswith("POSTING#"))
    time_and_id = "2026-11-23T09:00:00.000Z" + 36 * "-"
    by_day = len(f"pkPAYMENT#skPAYMENTday_shard2026-11-23#00statuscapturedcreated_at{time_and_id}")
    by_reference = len(f"pkPAYMENT#skPAYMENTmerchant_referenceorder-1001created_at{time_and_id}")
    by_writing = len("pkPAYMENT#skPAYMENTwritten_shard2026-11-24#00written_at2026-11-24T02:00:00.000Z") + 36
    assert in_index == by_account + by_day + by_reference + by_writing + 3 * 100


def test_a_cards_velocity_costs_one_write_and_two_when_it_pays_without_end() -> None:
    assert [
        velocity_units(before) for before in (0, MAX_REMEMBERED_PAYMENTS - 1, MAX_REMEMBERED_PAYMENTS, 1_000_000)
    ] == [1, 1, 2, 2]


def test_most_waits_ask_the_ledger_some_times_and_step_functions_not_once() -> None:
    usual, slow, longest = (wait_calls(seconds) for seconds in (milliseconds() / 1000, 3, 60))
    assert usual["states:DescribeExecution"] == 0
    assert 8 < usual["dynamodb:Query"] < 20
    assert slow["states:DescribeExecution"] == 1
    assert longest["states:DescribeExecution"] == 2
    assert longest["dynamodb:Query"] <= 65


def test_every_function_has_the_memory_that_terraform_gives_it() -> None:
    assert memory_mb()["charge"] == 512
    assert memory_mb()["reconcile"] == 1024
    assert len(memory_mb()) == 26


def test_an_event_is_published_and_delivered_by_the_priced_calls() -> None:
    earlier = payment_event(PAYMENT, None)
    event = payment_event(PAYMENT.next_version("2026-11-24T02:00:00.000Z"), PAYMENT)
    dynamodb, bus, sqs = MagicMock(), MagicMock(), MagicMock()
    items = [marshal(event_item(each)) for each in (earlier, event)]
    dynamodb.batch_get_item.return_value = {"Responses": {"ledger": items[1:]}, "UnprocessedKeys": {}}
    dynamodb.get_item.return_value = {}
    dynamodb.get_paginator.return_value.paginate.return_value = [{"Items": items}]
    bus.put_events.return_value = {"Entries": [{}]}

    def calls() -> Counter[str]:
        counts = Counter(name for client in (dynamodb, bus, sqs) for name, *_ in client.method_calls)
        counts.update(name for name, *_ in dynamodb.get_paginator.return_value.method_calls)
        for client in (dynamodb, bus, sqs):
            client.reset_mock()
        return counts

    events, deliveries = DynamoDbEvents(dynamodb, "ledger"), DynamoDbDeliveries(dynamodb, "counters")
    EventBridgeBus(bus, "events").publish(events.read([(items[1]["pk"]["S"], items[1]["sk"]["S"])]))
    assert calls() == {"batch_get_item": 1, "put_events": 1}
    assert CALLS["publish"] == {"dynamodb:BatchGetItem": 1, "events:PutEvents": 1}

    accepted = {"delivered": {"S": earlier.sequence}}
    dynamodb.get_item.return_value = {"Item": accepted}
    SqsDeliveryQueue(sqs, "queue", "dead-letters").postpone("receipt", 60)
    webhook = FakeWebhook()
    ports: Any = {"endpoint": "shop", "types": EVENT_TYPES, "webhook": webhook, "now": event.at}
    assert deliver_event(event, events=events, deliveries=deliveries, **ports) == 1
    assert webhook.accepted == [event]
    counts = calls()
    assert counts.pop("paginate") == counts.pop("get_paginator") == CALLS["deliver"]["dynamodb:Query"]
    assert counts == {"change_message_visibility": 1, "get_item": 1, "update_item": 1}
    assert sum(CALLS["deliver"].values()) == counts.total() + CALLS["deliver"]["dynamodb:Query"]
