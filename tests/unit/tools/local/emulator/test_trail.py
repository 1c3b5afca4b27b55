"""CloudTrail's events name the session of whoever called."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.tools.local.emulator.conftest import Emulator
from tests.unit.tools.local.emulator.test_access import send, signed


@pytest.fixture
def trail(emulator: Emulator) -> Iterator[Any]:
    """CloudTrail, which records."""
    client = emulator.client("cloudtrail")
    client.lookup_events(MaxResults=1)  # imports the module, which must exist to be configured

    def switch(on: str) -> None:
        setting = b'{"cloudtrail._recording_enabled": "%s"}' % on.encode()
        assert send(signed(emulator, "/_ministack/config", "ministack", "POST", setting)).status_code == 200

    switch("true")
    yield client
    switch("false")


def test_an_event_names_the_session_of_its_caller(emulator: Emulator, trail: Any) -> None:
    callers = {"first": 1, "second": 2}
    for name, calls in callers.items():
        queues = emulator.client("sqs", emulator.session({"Action": "sqs:ListQueues"}, name=name))
        for _ in range(calls):
            queues.list_queues()
    for name, calls in callers.items():
        named = {"AttributeKey": "Username", "AttributeValue": name}
        events = trail.lookup_events(LookupAttributes=[named])["Events"]
        assert [event["EventName"] for event in events] == ["ListQueues"] * calls
