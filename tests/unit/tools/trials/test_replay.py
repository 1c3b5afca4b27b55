import json
import threading
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any, cast
from xml.etree.ElementTree import ElementTree

import pytest
import requests
from rich.console import Console

from tools.deployment.stack import Stack, StackError
from tools.trials.events import (
    API_EVENTS,
    ApiEvent,
    EventError,
    Request,
    changed_files,
    event_files,
    load_api_events,
    outcome,
)
from tools.trials.replay import ReplayResult, replay_all
from tools.trials.reports import write_json, write_junit

CAPTURED = ApiEvent(
    file=Path("captured.json"),
    description="",
    request=Request("POST", "/payments", {}),
    http_status=202,
    payment={"status": "captured", "card": {"brand": "visa"}},
    error={},
)
REFUSED = replace(
    CAPTURED,
    file=Path("refused.json"),
    http_status=400,
    payment={},
    error={"code": "invalid_request", "message": "Missing card data."},
)
REFUNDED = replace(
    CAPTURED,
    file=Path("refunded.json"),
    request=Request("POST", "/payments/${payment_id}/refunds", {"amount_minor": 500}),
    given=Request("POST", "/payments", {}),
    payment={"operations": [{"type": "refund", "status": "succeeded"}]},
)
CHALLENGED = replace(CAPTURED, file=Path("challenged.json"), customer="approve")
FAULTY = replace(CAPTURED, file=Path("faulty.json"), fault={"operation": "charge"})
REFUND = {"operation_id": "o-1", "type": "refund", "status": "succeeded", "error": None}


class FakeStack:
    """Answers each call by its path, and counts the maximum number of concurrent calls."""

    has_only_sandboxes = False

    def __init__(self, **answers: Callable[[], tuple[int, Any]]) -> None:
        self._answers = answers
        self._lock = threading.Lock()
        self._bodies: dict[str, Any] = {}
        self._busy = 0
        self.calls: list[tuple[str, Any, str]] = []
        self.most_at_once = 0
        self.followed: list[dict[str, Any]] = []

    def call(self, method: str, path: str, body: Any, headers: dict[str, str]) -> requests.Response:
        with self._lock:
            self.calls.append((path, body, headers["Idempotency-Key"]))
            self._busy += 1
            self.most_at_once = max(self.most_at_once, self._busy)
        try:
            status, content = self._answers[path.rsplit("/", 1)[1]]()
        finally:
            with self._lock:
                self._busy -= 1
        answer = requests.Response()
        answer.status_code = status
        answer._content = json.dumps({"payment_id": headers["Idempotency-Key"], **content}).encode()
        self._bodies[headers["Idempotency-Key"]] = content
        return answer

    def follow(
        self, payment_id: str, operation_id: str | None = None, *, timeout_seconds: float, **options: Any
    ) -> Any:
        self.followed.append(options)
        content = captured()[1] if "pending" in options else self._bodies[payment_id]
        return {"payment_id": payment_id, **content}


def replayed(stack: FakeStack, *events: ApiEvent, **options: int) -> tuple[list[ReplayResult], str]:
    console = Console(file=(output := StringIO()), width=160)
    return replay_all(cast(Stack, stack), events, console, **options), output.getvalue()


def captured() -> tuple[int, Any]:
    return 202, {"status": "captured", "card": {"brand": "visa", "token": "tok_1"}}


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
        (REFUNDED, 202, {"operations": [REFUND]}, True),
        (REFUNDED, 202, {"operations": []}, False),
        (REFUNDED, 202, {"operations": None}, False),
        (REFUNDED, 202, {"operations": [REFUND, REFUND]}, False),
        (REFUNDED, 202, {"operations": [REFUND | {"status": "rejected"}]}, False),
        (replace(CAPTURED, http_status=204, payment={}), 204, {}, True),
    ],
)
def test_an_event_went_as_expected_only_if_status_and_all_wanted_fields_agree(
    event: ApiEvent, status: int, body: dict[str, Any], as_expected: bool
) -> None:
    assert ReplayResult(event, "id", status, body).as_expected is as_expected


def test_what_is_not_as_expected_is_named() -> None:
    body = {"status": "captured", "operations": [REFUND | {"status": "rejected"}]}
    differences = ReplayResult(REFUNDED, "id", 202, body).differences
    assert differences == ['operations[0].status is "rejected", not "succeeded"']
    assert ReplayResult(REFUSED, "id", 202, body).differences == ["the HTTP status is 202, not 400"]
    assert ReplayResult(REFUSED, "id", 400, {"error": {"code": "invalid_request", "message": "No."}}).differences == [
        "error.message is 'No.', without 'Missing card data.'"
    ]


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (202, {"status": "captured", "decline_code": None, "error": None, "operations": []}, "202 captured"),
        (202, {"status": "declined", "decline_code": "lost_card"}, "202 declined · lost_card"),
        (202, {"status": "refunded", "operations": [REFUND]}, "202 refunded · refund succeeded"),
        (
            202,
            {"status": "captured", "operations": [{"type": "void", "status": "rejected", "error": "invalid_state"}]},
            "202 captured · void rejected · invalid_state",
        ),
        (400, {"error": {"code": "invalid_request", "message": "No."}}, "400 refused · invalid_request"),
        (204, {}, "204"),
    ],
)
def test_an_outcome_is_described_in_a_few_words(status: int, body: dict[str, Any], text: str) -> None:
    assert outcome(status, body) == text


def test_what_is_given_comes_first_under_a_key_of_its_own_and_names_the_payment() -> None:
    stack = FakeStack(payments=captured, refunds=lambda: (202, {"operation_id": "o-1", "operations": [REFUND]}))
    [refunded], _ = replayed(stack, REFUNDED)
    (first_path, _, payment_id), (path, body, operation_id) = stack.calls
    assert (first_path, path, body) == ("/payments", f"/payments/{payment_id}/refunds", {"amount_minor": 500})
    assert payment_id != operation_id
    assert (refunded.payment_id, refunded.as_expected) == (payment_id, True)


def test_the_token_of_what_is_given_stands_in_the_body() -> None:
    stack = FakeStack(payments=captured)
    replayed(
        stack, replace(CAPTURED, given=Request("POST", "/payments"), request=Request("POST", "/payments", ["${token}"]))
    )
    assert [body for _, body, _ in stack.calls] == [None, ["tok_1"]]


def test_an_event_whose_given_request_comes_to_nothing_is_not_as_expected_whatever_it_expects() -> None:
    refused = {"error": {"code": "invalid_request", "message": "Missing card data."}}
    event = replace(REFUSED, given=CAPTURED.request)
    [hindered], output = replayed(FakeStack(payments=lambda: (400, refused)), event)
    assert not hindered.as_expected
    assert "given request failed: 400 refused · invalid_request" in " ".join(output.split())


def test_events_are_replayed_so_often_and_so_many_at_a_time() -> None:
    barrier = threading.Barrier(3, timeout=10)

    def together() -> tuple[int, Any]:
        barrier.wait()
        return captured()

    stack = FakeStack(payments=together)
    replays, output = replayed(stack, CAPTURED, replace(CAPTURED, file=Path("other.json")), repeat=3, concurrency=3)
    assert stack.most_at_once == 3
    assert len({key for _, _, key in stack.calls}) == 6
    assert all(each.as_expected for each in replays)
    assert output.count("3 of 3") == 2
    assert "6 replays in" in output


def test_events_that_wait_are_sent_first_and_shown_in_their_place() -> None:
    stack = FakeStack(payments=captured, cards=captured)
    stack.has_only_sandboxes = True
    at_once = replace(CAPTURED, file=Path("stored.json"), request=Request("POST", "/cards", {}))
    replays, shown = replayed(stack, at_once, CHALLENGED, repeat=2)
    assert [path for path, *_ in stack.calls] == ["/payments", "/payments", "/cards", "/cards"]
    assert [each.event.name for each in replays] == ["stored", "stored", "challenged", "challenged"]
    assert shown.index("stored") < shown.index("challenged")


def test_a_lost_answer_does_not_end_the_replays() -> None:
    answers = iter([captured(), None, (202, {"status": "reversed"}), captured()])

    def answer() -> tuple[int, Any]:
        if (following := next(answers)) is None:
            raise StackError("No answer")
        return following

    replays, output = replayed(FakeStack(payments=answer), CAPTURED, repeat=4)
    assert [each.as_expected for each in replays] == [True, False, False, True]
    assert "2 of 4 replays did not go as expected." in output
    assert "1 × unknown" in output
    assert "No answer" in output
    assert "1 × 202 reversed" in output
    assert str(replays[2].payment_id) in output


class Bank(ThreadingHTTPServer):
    """The page on which a sandbox's bank asks, which answers each customer with this status."""

    def __init__(self, status: int) -> None:
        self.paths: list[str] = []
        paths = self.paths

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                paths.append(self.path)
                self.send_response(status)
                self.send_header("Location", "http://shop.invalid/")
                self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None:
                """Log nothing."""

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


@pytest.mark.parametrize(("status", "as_expected"), [(303, True), (409, False)])
def test_where_the_bank_asks_the_events_customer_answers_and_the_payment_is_followed_further(
    status: int, as_expected: bool
) -> None:
    with Bank(status) as bank:
        url = f"http://127.0.0.1:{bank.server_port}/challenge/ch_1"
        challenged = {"status": "action_required", "next_action": {"type": "redirect", "url": url}}
        stack = FakeStack(payments=lambda: (202, challenged))
        stack.has_only_sandboxes = True
        [result], _ = replayed(stack, CHALLENGED)
        bank.shutdown()
    assert bank.paths == ["/challenge/ch_1/approve"]
    assert result.as_expected is as_expected
    assert as_expected or result.problem == "The bank's page answered 409 to approve."
    assert [options.get("pending") for options in stack.followed] == (
        [None, ("processing", "action_required")] if as_expected else [None]
    )


def test_an_event_whose_customer_answers_is_left_out_where_there_is_no_sandbox() -> None:
    results, output = replayed(FakeStack(payments=captured), CHALLENGED)
    assert results == []
    assert "challenged is skipped" in output


def test_an_event_with_a_fault_is_left_out_where_there_is_no_sandbox() -> None:
    stack = FakeStack(payments=captured)
    replays, output = replayed(stack, FAULTY, CAPTURED)
    assert [each.event for each in replays] == [CAPTURED]
    assert "faulty is skipped" in output


def test_the_reports_say_what_was_and_what_was_not_as_expected(tmp_path: Path) -> None:
    replays = [
        ReplayResult(CAPTURED, "p-1", 202, {"status": "captured", "card": {"brand": "visa"}}, 0.25),
        ReplayResult(CAPTURED, "p-2", 202, {"status": "captured", "card": {"brand": "<amex>"}}, 0.5),
        ReplayResult(CAPTURED, problem="No answer"),
    ]
    write_junit(replays, tmp_path / "new" / "replay.xml")
    write_json(replays, tmp_path / "new" / "replay.json")
    suite = ElementTree().parse(tmp_path / "new" / "replay.xml")
    assert suite.attrib == {"name": "replay", "tests": "3", "failures": "2", "time": "0.750"}
    failures = [case.find("failure") for case in suite.iter("testcase")]
    assert failures[0] is None
    assert [failure.attrib["message"] for failure in failures if failure is not None] == [
        'expected 202 captured, but 202 captured: card.brand is "<amex>", not "visa"',
        "expected 202 captured, but unknown: No answer",
    ]
    report = json.loads((tmp_path / "new" / "replay.json").read_text())
    assert report["as_expected"] is False
    assert [each["as_expected"] for each in report["replays"]] == [True, False, False]
    assert report["replays"][1] == {
        "event": "captured",
        "expected": "202 captured",
        "happened": "202 captured",
        "as_expected": False,
        "differences": ['card.brand is "<amex>", not "visa"'],
        "payment_id": "p-2",
        "http_status": 202,
        "body": {"status": "captured", "card": {"brand": "<amex>"}},
        "seconds": 0.5,
    }


def test_every_sample_event_can_be_read_and_expects_something() -> None:
    events = load_api_events([])
    assert len(events) == len(list(API_EVENTS.glob("*.json")))
    assert all(event.payment or event.error for event in events)


def test_events_are_named_by_files_folders_and_globs_each_once(tmp_path: Path) -> None:
    one, two, deep = tmp_path / "one.json", tmp_path / "two.json", tmp_path / "deep" / "three.json"
    deep.parent.mkdir()
    for file in (one, two, deep, tmp_path / "notes.txt"):
        file.touch()
    assert event_files([two, tmp_path]) == [two, one]
    assert event_files([tmp_path / "*o.json"]) == [two]
    assert event_files([tmp_path / "**" / "*.json"]) == [deep, one, two]
    with pytest.raises(EventError, match="There is no"):
        event_files([one, tmp_path / "x*.json"])


def test_files_that_change_or_appear_are_returned_again_and_no_others(tmp_path: Path) -> None:
    one, two, three = (tmp_path / f"{name}.json" for name in ("one", "two", "three"))
    one.write_text("1")
    two.write_text("2")
    changes = changed_files([tmp_path], pause_seconds=0.01)
    assert next(changes) == [one, two]
    two.write_text("2b")
    assert next(changes) == [two]
    one.unlink()
    three.write_text("3")
    assert next(changes) == [three]


def test_an_event_file_that_is_none_is_named(tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text('{"request": {}}')
    with pytest.raises(EventError, match="is not an API event"):
        ApiEvent.load(file)
    with pytest.raises(EventError, match="No such file"):
        ApiEvent.load(tmp_path / "other.json")


@pytest.mark.parametrize("given", [{}, {"given": {"method": "POST", "path": "/payments", "body": {}}}])
def test_a_reference_to_nothing_is_a_mistake(tmp_path: Path, given: dict[str, Any]) -> None:
    file = tmp_path / "event.json"
    request = {"method": "POST", "path": "/payments/${payment_id}/voids", "body": {"a": "${tokens}"}}
    file.write_text(json.dumps({"description": "", "request": request, "expected": {"http_status": 202}, **given}))
    with pytest.raises(
        EventError, match="without a given request, nothing replaces tokens" if given else "payment_id, tokens"
    ):
        ApiEvent.load(file)


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
