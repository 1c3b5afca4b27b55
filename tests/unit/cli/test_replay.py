import json
from dataclasses import replace
from pathlib import Path

import pytest

from cli.events import API_EVENTS, ApiEvent, EventError, load_api_events
from cli.replay import Replayed
from cli.stack import Stack, StackError

CAPTURED = ApiEvent(
    name="captured",
    description="",
    method="POST",
    path="/payments",
    body={},
    http_status=202,
    payment={"status": "captured", "card": {"brand": "visa"}},
    error={},
    fault=None,
)
REFUSED = replace(
    CAPTURED, http_status=400, payment={}, error={"code": "invalid_request", "message": "Missing card data."}
)


@pytest.mark.parametrize(
    ("event", "status", "body", "as_expected"),
    [
        (CAPTURED, 202, {"status": "captured", "card": {"brand": "visa", "last4": "4242"}}, True),
        (CAPTURED, 202, {"status": "captured", "card": {"brand": "amex"}}, False),
        (CAPTURED, 202, {"status": "captured", "card": None}, False),
        (CAPTURED, 202, {"status": "reversed", "card": {"brand": "visa"}}, False),
        (CAPTURED, 400, {"status": "captured", "card": {"brand": "visa"}}, False),
        (REFUSED, 400, {"error": {"code": "invalid_request", "message": "Missing card data. Or else."}}, True),
        (REFUSED, 400, {"error": {"code": "invalid_request", "message": "No."}}, False),
        (REFUSED, 400, {"error": {"code": "other", "message": "Missing card data."}}, False),
        (REFUSED, 202, {"status": "captured"}, False),
    ],
)
def test_an_event_went_as_expected_only_if_status_and_all_wanted_fields_agree(
    event: ApiEvent, status: int, body: dict[str, object], as_expected: bool
) -> None:
    assert Replayed(event, "id", status, body, 0.1).as_expected is as_expected


def test_every_sample_event_can_be_read_and_expects_something() -> None:
    events = load_api_events([])
    assert len(events) == len(list(API_EVENTS.glob("*.json")))
    assert all(event.payment or event.error for event in events)


def test_an_event_file_that_is_none_is_named(tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text('{"request": {}}')
    with pytest.raises(EventError, match="is not an API event"):
        ApiEvent.load(file)
    with pytest.raises(EventError, match="No such file"):
        ApiEvent.load(tmp_path / "other.json")


def test_a_stack_file_keeps_what_it_says_and_its_secret_from_others(tmp_path: Path) -> None:
    stack = Stack(
        "http://api", "us-east-1", "arn", "ledger", "/aws/lambda/p-", access_key_id="AK", secret_access_key="s"
    )
    file = tmp_path / "stack.json"
    stack.save(file)
    assert Stack.load(file) == stack
    assert file.stat().st_mode & 0o077 == 0


def test_a_missing_stack_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="make up"):
        Stack.load(tmp_path / "stack.json")
    (tmp_path / "stack.json").write_text(json.dumps({"region": "us-east-1"}))
    with pytest.raises(StackError, match="is not a stack file"):
        Stack.load(tmp_path / "stack.json")
