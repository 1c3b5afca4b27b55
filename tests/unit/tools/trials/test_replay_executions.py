import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from functions.shared.contracts import load
from tools.cli import trials
from tools.cli.__main__ import app
from tools.deployment.stack import Stack, StackError
from tools.output import ExitCode
from tools.trials.replay import Results
from tools.trials.replay_executions import ReplayedExecution, executions_by_name, outcome_text, with_test_card

PAYMENT = {
    "amount_minor": 1999,
    "currency": "USD",
    "capture": False,
    "merchant_reference": "order-1",
    "description": "tea",
}
TEST_CARD = {"card_number": "4111111111111111", "expiry_date": "12/25", "card_holder": "Jane Doe"}
NOT_OURS = {**TEST_CARD, "card_number": "4000056655665556"}
CHOSEN = "5555555555554444"
STACK = Stack(
    "http://api",
    "us-east-1",
    "arn:aws:states:us-east-1:000000000000:stateMachine:payments-local-payment",
    "ledger",
    "/aws/lambda/p-",
    access_key_id="AK",
    secret_access_key="s",
)


@pytest.mark.parametrize(
    ("card", "was"),
    [
        ({"card_data": "eyJh.bc.d.e.f"}, "a sealed one"),
        ({"token": "tok_a"}, "a token"),
        ({"token": "tok_a", "card_data": TEST_CARD}, "a token"),
        ({"card_data": NOT_OURS}, "another one"),
        ({"card_data": {**TEST_CARD, "card_number": 4111111111111111}}, "another one"),
        ({"card_data": ["4000056655665556"]}, "another one"),
    ],
)
def test_a_test_card_takes_the_place_of_every_other_card(card: dict[str, Any], was: str) -> None:
    request, card_text = with_test_card(PAYMENT | card, CHOSEN)
    assert card_text == f"…4444 for {was}"
    assert request.pop("card_data")["card_number"] == CHOSEN
    assert request == PAYMENT


def test_the_test_card_that_is_put_in_has_not_expired() -> None:
    request, _ = with_test_card({"token": "tok_a"}, CHOSEN)
    expires = datetime.strptime(request["card_data"]["expiry_date"], "%m/%y").replace(tzinfo=UTC)
    assert expires > datetime.now(UTC) + timedelta(days=300)


def test_a_test_card_in_the_clear_stays_as_it_is() -> None:
    assert with_test_card(PAYMENT | {"card_data": TEST_CARD}, CHOSEN) == (
        PAYMENT | {"card_data": TEST_CARD},
        "…1111, as it was",
    )


def test_a_card_to_be_stored_is_stored_again_and_what_had_no_card_still_has_none() -> None:
    request, _ = with_test_card({"operation": "store", "card_data": "eyJh.bc.d.e.f"}, CHOSEN)
    assert request.keys() == {"operation", "card_data"}
    assert with_test_card(PAYMENT, CHOSEN) == (PAYMENT, "none, as it was")


def test_nothing_that_is_not_known_is_taken_over() -> None:
    request, _ = with_test_card(PAYMENT | {"token": "tok_a", "pan": "4000056655665556", "cvv": "123"}, CHOSEN)
    assert request.keys() == PAYMENT.keys() | {"card_data"}


def test_all_that_a_payment_with_a_card_may_be_given_is_taken_over() -> None:
    properties = load("definitions")["request"]["properties"]
    request, _ = with_test_card(dict.fromkeys(properties, "x"), CHOSEN)
    nobody_to_ask = {"return_url", "three_d_secure", "exemption"}
    assert properties.keys() - {"token", "initiator", "reason", "caller"} - nobody_to_ask == request.keys()


@pytest.mark.parametrize(
    ("execution", "text"),
    [
        ({"status": "RUNNING"}, "RUNNING"),
        ({"status": "SUCCEEDED", "output": json.dumps({"status": "captured"})}, "SUCCEEDED · captured"),
        (
            {"status": "SUCCEEDED", "output": json.dumps({"status": "declined", "decline_code": "lost_card"})},
            "SUCCEEDED · declined · lost_card",
        ),
        (
            {"status": "FAILED", "error": "PaymentRejected", "cause": "ExpiredCard"},
            "FAILED · PaymentRejected · ExpiredCard",
        ),
        (
            {"status": "FAILED", "error": "PaymentReversed", "cause": "States.Timeout"},
            "FAILED · PaymentReversed · States.Timeout",
        ),
        ({"status": "ABORTED"}, "ABORTED"),
        ({"status": "ABORTED", "error": "by hand", "cause": "see 4000056655665556"}, "ABORTED"),
    ],
)
def test_how_an_execution_ended_is_described_in_a_few_words(execution: dict[str, Any], text: str) -> None:
    assert outcome_text(execution) == text


def test_past_executions_are_also_available_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = datetime(2026, 11, 23, 9, tzinfo=UTC)
    past = {"name": "pay-1", "startDate": at, "status": "FAILED", "error": "PaymentRejected"}
    now = {"name": "pay-2", "status": "SUCCEEDED", "output": '{"status": "captured"}'}
    results = Results([ReplayedExecution(past, "none, as it was", now), ReplayedExecution(past, "–", None)])
    monkeypatch.setattr(trials, "executions_by_name", lambda stack, names: [past, past])
    monkeypatch.setattr(trials, "replay_executions", lambda *_, **__: results)
    monkeypatch.setattr(Stack, "call", lambda *_: None)
    STACK.save(tmp_path / "stack.json")
    arguments = ["replay", "--execution", "pay-1 pay-1", "--json", "--stack", str(tmp_path / "stack.json")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == ExitCode.FOUND
    ended, lost = json.loads(result.stdout)["replays"]
    assert ended == {
        "execution": "pay-1",
        "started_at": "2026-11-23T09:00:00.000Z",
        "ended_then": "FAILED · PaymentRejected",
        "card_now": "none, as it was",
        "payment_id": "pay-2",
        "ended_now": "SUCCEEDED · captured",
        "has_ended": True,
    }
    assert (lost["payment_id"], lost["ended_now"], lost["has_ended"]) == (None, None, False)


def test_a_cause_that_quotes_the_input_is_not_shown() -> None:
    cause = f"The JSONPath '$.card' could not be found in the input '{json.dumps(NOT_OURS)}'"
    assert outcome_text({"status": "FAILED", "error": "States.Runtime", "cause": cause}) == "FAILED · States.Runtime"


@pytest.mark.parametrize(
    ("arn", "message"),
    [
        ("arn:aws:states:us-east-1:000000000000:execution:payments-local-operation:o-1", "refund, a capture or a void"),
        ("arn:aws:states:us-east-1:000000000000:execution:payments-prod-operation:o-1", "refund, a capture or a void"),
        ("arn:aws:states:us-east-1:000000000000:execution:payments-local-resolve:p-1", "no execution of arn"),
        ("arn:aws:states:us-east-1:000000000000:execution:payments-prod-payment:p-1", "Name the stack that it is of"),
    ],
)
def test_an_execution_that_is_no_payments_of_this_stack_is_refused_before_anybody_is_asked(
    arn: str, message: str
) -> None:
    with pytest.raises(StackError, match=message):
        executions_by_name(STACK, [arn])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--execution", "p-1", "--status", "failed"], "either by --execution"),
        (["--status", "failed", "--watch"], "Past executions can't be combined"),
        (["--from-stack", "x.json", "events/api"], "Past executions can't be combined"),
        (["--status", "broken"], "broken"),
        (["--since", "yesterday"], "not an ISO 8601 time"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["replay", *arguments])
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", "").split())
