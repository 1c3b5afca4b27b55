import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from functions.shared.adapters.event_bus import ATTEMPTS, MAX_DETAIL_BYTES, EventBridgeBus
from functions.shared.domain.errors import EventBusUnavailable
from functions.shared.domain.event import Event, card_erased
from tests.samples import NOW


class Bridge:
    """EventBridge's client. `refusals` are, for the next calls, the places of the entries that are refused."""

    def __init__(self, *refusals: set[int]) -> None:
        self.calls: list[list[dict[str, Any]]] = []
        self.refusals = list(refusals)

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        self.calls.append(Entries)
        refused = self.refusals.pop(0) if self.refusals else set()
        return {
            "FailedEntryCount": len(refused),
            "Entries": [
                {"ErrorCode": "InternalFailure", "ErrorMessage": "tok_secret"} if n in refused else {"EventId": str(n)}
                for n in range(len(Entries))
            ],
        }

    @property
    def sent(self) -> list[str]:
        return [json.loads(entry["Detail"])["subject"] for call in self.calls for entry in call]


def events(count: int, size: int = 0) -> list[Event]:
    return [Event("card.erased", f"tok_{n}", NOW, NOW, {"token": "x" * size}) for n in range(count)]


def test_an_event_is_its_cloud_event_under_its_type() -> None:
    bridge, event = Bridge(), card_erased("tok_1", NOW)
    EventBridgeBus(bridge, "payments-test-events").publish([event])
    assert bridge.calls == [
        [
            {
                "EventBusName": "payments-test-events",
                "Source": "payments",
                "DetailType": "card.erased",
                "Time": NOW,
                "Detail": event.to_cloud_event(),
            }
        ]
    ]


def test_nothing_is_sent_without_events() -> None:
    bridge = Bridge()
    EventBridgeBus(bridge, "bus").publish([])
    assert bridge.calls == []


def test_events_are_sent_in_their_order_ten_at_a_time() -> None:
    bridge = Bridge()
    EventBridgeBus(bridge, "bus").publish(events(23))
    assert [len(call) for call in bridge.calls] == [10, 10, 3]
    assert bridge.sent == [f"tok_{n}" for n in range(23)]


def test_no_request_is_larger_than_it_may_be() -> None:
    bridge = Bridge()
    EventBridgeBus(bridge, "bus").publish(events(7, MAX_DETAIL_BYTES // 3))
    assert [len(call) for call in bridge.calls] == [2, 2, 2, 1]
    assert all(sum(len(entry["Detail"]) for entry in call) <= MAX_DETAIL_BYTES for call in bridge.calls)
    EventBridgeBus(bridge, "bus").publish(events(1, MAX_DETAIL_BYTES))  # AWS decides about what is too large
    assert len(bridge.calls[-1]) == 1


def test_only_what_was_refused_is_sent_again() -> None:
    bridge = Bridge({1, 2}, {0})
    EventBridgeBus(bridge, "bus").publish(events(4))
    assert [len(call) for call in bridge.calls] == [4, 2, 1]


def test_what_is_refused_to_the_end_is_an_error_without_awss_message() -> None:
    bridge = Bridge(*[{0}] * ATTEMPTS)
    with pytest.raises(EventBusUnavailable, match=r"^EventBridge: InternalFailure$"):
        EventBridgeBus(bridge, "bus").publish(events(1))


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "ThrottlingException", "Message": "tok_secret"}}, "PutEvents"),
        ReadTimeoutError(endpoint_url="https://events.example"),
    ],
)
def test_an_error_of_awss_is_ours(error: Exception) -> None:
    class Down(Bridge):
        def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
            raise error

    with pytest.raises(EventBusUnavailable, match=r"^EventBridge: \w+$"):
        EventBridgeBus(Down(), "bus").publish(events(1))
