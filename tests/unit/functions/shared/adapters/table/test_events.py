"""The events in DynamoDB, and what was delivered of them."""

from dataclasses import replace

import pytest

from functions.shared.adapters.table.books import DynamoDbBreaks
from functions.shared.adapters.table.cards import DynamoDbCardVault
from functions.shared.adapters.table.events import DynamoDbDeliveries, DynamoDbEvents
from functions.shared.domain.event import break_found, card_erased, payment_event
from functions.shared.domain.payment import Payment
from functions.shared.domain.settlement import Break
from functions.shared.ports import StoredCard
from tests.mocked_aws import CARDS_TABLE, COUNTERS_TABLE, TABLE, MockedAws, new_id
from tests.samples import KEPT_UNTIL, LATER, NOW, REQUEST, SUMMARY, payment


@pytest.fixture
def events(aws: MockedAws) -> DynamoDbEvents:
    return DynamoDbEvents(aws.dynamodb, TABLE)


@pytest.fixture
def deliveries(aws: MockedAws) -> DynamoDbDeliveries:
    return DynamoDbDeliveries(aws.dynamodb, COUNTERS_TABLE)


def versions_of(aws: MockedAws, count: int) -> list[Payment]:
    """The recorded versions of a payment."""
    versions = [payment(new_id(), "in_doubt", metadata={"shop": "7"})]
    aws.ledger().record(versions[0])
    for _ in range(count - 1):
        versions.append(versions[-1].next_version(LATER))
        aws.ledger().record(versions[-1], previous=versions[-2])
    return versions


def place_of(version: Payment) -> tuple[str, str]:
    return f"PAYMENT#{version.payment_id}", f"EVENT#{version.version:06}"


def test_an_event_is_read_as_it_was_recorded(aws: MockedAws, events: DynamoDbEvents) -> None:
    first, second = versions_of(aws, 2)
    expected = [payment_event(first, None), payment_event(second, first)]
    read = events.read([place_of(first), place_of(second)])
    assert [event.to_cloud_event() for event in read] == [event.to_cloud_event() for event in expected]


def test_events_are_read_in_the_order_that_was_asked_for_however_many(aws: MockedAws, events: DynamoDbEvents) -> None:
    versions = versions_of(aws, 103)
    read = events.read([place_of(version) for version in reversed(versions)])
    assert [event.data["version"] for event in read] == list(range(103, 0, -1))


def test_an_event_that_is_not_there_is_left_out(aws: MockedAws, events: DynamoDbEvents) -> None:
    [version] = versions_of(aws, 1)
    assert len(events.read([("PAYMENT#nobodys", "EVENT#000001"), place_of(version)])) == 1


def test_the_earlier_events_are_those_after_the_last_that_was_delivered(aws: MockedAws, events: DynamoDbEvents) -> None:
    versions = versions_of(aws, 5)
    fourth = payment_event(versions[3], versions[2])
    for after, expected in (("", [1, 2, 3]), ("000001", [2, 3]), ("000003", []), ("000009", [])):
        assert [event.data["version"] for event in events.before(fourth, after)] == expected
    assert list(events.before(payment_event(versions[0], None), "")) == []


def test_a_payment_is_read_without_its_events(aws: MockedAws) -> None:
    *_, last = versions_of(aws, 3)
    recorded = aws.ledger().find(last.payment_id)
    assert recorded
    assert (recorded.payment, recorded.entries) == (last, ())


def test_an_erased_card_and_its_event_are_one_transaction(aws: MockedAws, events: DynamoDbEvents) -> None:
    token = f"tok_{new_id()}"
    vault = DynamoDbCardVault(aws.dynamodb, CARDS_TABLE, TABLE)
    vault.keep(new_id(), StoredCard(replace(SUMMARY, token=token), b"ciphertext", KEPT_UNTIL), NOW)
    assert vault.erase(token, LATER)
    assert not vault.erase(token, LATER)
    assert events.read([(f"EVENTS#{token}", f"EVENT#{LATER}")]) == [card_erased(token, LATER)]


def test_a_break_has_one_event_until_it_is_resolved(aws: MockedAws, events: DynamoDbEvents) -> None:
    breaks = DynamoDbBreaks(aws.dynamodb, TABLE)
    found_break = Break("2031-01-01", "missing_in_ledger", new_id(), "charge:ch_1", "a payment", "nothing")
    breaks.record(found_break, "run-1", NOW)
    breaks.record(found_break, "run-2", LATER)
    first, second = break_found(found_break, NOW), break_found(found_break, LATER)
    places = [(f"EVENTS#{event.subject}", f"EVENT#{event.at}") for event in (first, second)]
    assert events.read(places) == [first]
    breaks.resolve_not_found(found_break.day, "run-3", LATER)
    breaks.record(found_break, "run-4", LATER)
    assert events.read(places) == [first, second]


def test_nothing_was_delivered_at_first_and_each_endpoint_is_on_its_own(deliveries: DynamoDbDeliveries) -> None:
    event = payment_event(payment(new_id()), None)
    assert deliveries.last("shop", event) == ""
    deliveries.delivered("shop", event, NOW)
    assert (deliveries.last("shop", event), deliveries.last("books", event)) == (event.sequence, "")


def test_an_earlier_delivery_does_not_undo_a_later_one(deliveries: DynamoDbDeliveries) -> None:
    first = payment(new_id())
    second = first.next_version(LATER)
    deliveries.delivered("shop", payment_event(second, first), NOW)
    deliveries.delivered("shop", payment_event(first, None), NOW)
    assert deliveries.last("shop", payment_event(first, None)) == "000002"


def test_an_event_has_the_metadata_as_the_merchant_sent_it() -> None:
    event = payment_event(payment(request=replace(REQUEST, metadata={"b": "2", "a": "1"})), None)
    assert event.data["payment"]["metadata"] == {"a": "1", "b": "2"}
