import pytest

from tests.samples import PAN
from tests.unit.tools.console.histories import (
    ANSWERED,
    CAUGHT,
    CHALLENGED,
    RETRIED,
    TASK_TOKEN,
    EventRow,
    at,
    history,
    outcomes,
)
from tests.unit.tools.console.machines import MACHINE
from tools.console.definition import END, START, Kind
from tools.console.history import CustomerWait, Outcome, seconds_text, spans


def test_a_call_that_is_repeated_and_succeeds_leaves_its_error() -> None:
    charge, outcome, done = history(RETRIED).visits
    assert [(attempt.started_at, attempt.error) for attempt in charge.attempts] == [
        (at(0), "GatewayOutcomeUnknown"),
        (at(5), None),
    ]
    assert (charge.state, charge.type, charge.outcome) == ("Charge", "Task", Outcome.SUCCEEDED)
    assert (charge.entered_at, charge.exited_at) == (at(0), at(6))
    assert (outcome.outcome, done.outcome) == (Outcome.SUCCEEDED, Outcome.SUCCEEDED)


def test_an_error_that_is_caught_and_a_failure_are_told_apart() -> None:
    assert outcomes(history(CAUGHT, "FAILED")) == {
        "Charge": Outcome.CAUGHT,
        "Compensate": Outcome.SUCCEEDED,
        "Reversed": Outcome.FAILED,
    }


def test_a_timeout_without_a_name_has_aws_s() -> None:
    assert history(CAUGHT, "FAILED").visits[0].errors == ["States.Timeout"]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("RUNNING", Outcome.RUNNING),
        ("ABORTED", Outcome.STOPPED),
        ("TIMED_OUT", Outcome.STOPPED),
        ("FAILED", Outcome.FAILED),
    ],
)
def test_a_state_that_was_not_left_is_as_its_execution(status: str, outcome: Outcome) -> None:
    assert outcomes(history(RETRIED[:4], status)) == {"Charge": outcome}


def test_events_belong_to_their_visit_and_the_rest_to_the_execution() -> None:
    read = history(RETRIED)
    assert [event.id for event in read.visits[0].events] == [2, 3, 4, 5, 6, 7, 8]
    assert [event.type for event in read.events] == ["ExecutionStarted", "ExecutionSucceeded"]


def test_what_went_in_and_out_is_read_as_json() -> None:
    read = history(RETRIED)
    assert read.events[0].details == {"input": {"amount_minor": 1999}}
    assert read.visits[0].events[5].details == {"output": {"outcome": "captured"}}


def test_a_wait_says_for_whom_since_when_until_when_and_where() -> None:
    assert history(CHALLENGED, "RUNNING").customer_wait == CustomerWait(
        at(1), at(902), "sparkle", "ch_1", "visa", "3155"
    )


def test_nobody_is_waited_for_once_the_customer_has_answered_or_the_execution_was_stopped() -> None:
    assert history(ANSWERED, "RUNNING").customer_wait is None
    assert history(CHALLENGED, "ABORTED").customer_wait is None
    assert history([], "RUNNING").customer_wait is None


@pytest.mark.parametrize("state", [None, "redacted", [], {"action": {"Cause": "no JSON"}}, {"action": "x", "card": []}])
def test_a_wait_is_shown_whatever_the_state_holds(state: object) -> None:
    event_rows = [*CHALLENGED[:5], (1, "TaskStateEntered", {"name": "AwaitCustomer", "input": state})]
    assert history(event_rows, "RUNNING").customer_wait == CustomerWait(at(1))


def test_the_time_until_the_customer_answers_is_a_wait_and_not_a_call() -> None:
    _, waiting, _ = history(ANSWERED, "RUNNING").visits
    assert [(span.kind, span.start, span.end) for span in spans(waiting, at(100))] == [
        ("attempt", at(2), at(3)),
        ("wait", at(3), at(63)),
    ]


def test_a_task_token_is_shown_nowhere() -> None:
    read = history(CHALLENGED, "RUNNING")
    assert "Payload" in str(read)
    assert TASK_TOKEN not in str(read)


def test_a_card_number_is_masked_wherever_it_is() -> None:
    event_rows: list[EventRow] = [
        (
            0,
            "ExecutionStarted",
            {"input": {"card_data": {"card_number": PAN}, "note": f"no. {PAN[:4]} {PAN[4:8]} {PAN[8:12]} {PAN[12:]}"}},
        ),
        (0, "TaskStateEntered", {"name": "Charge"}),
        (0, "TaskFailed", {"error": "E", "cause": f"for {PAN}"}),
    ]
    read = history(event_rows, "RUNNING")
    assert read.events[0].details["input"]["card_data"] == {"card_number": "424242******4242"}
    text = str([read.events, read.visits])
    assert PAN not in text
    assert "4242 4242" not in text


def test_half_a_character_is_replaced_as_no_page_can_hold_it() -> None:
    read = history([(0, "ExecutionStarted", {"input": {"merchant_reference": "order-\ud800"}})], "RUNNING")
    assert read.events[0].details == {"input": {"merchant_reference": "order-?"}}


def test_ids_and_account_numbers_are_no_card_numbers() -> None:
    details = {"resource": "arn:aws:lambda:eu-west-1:123456789012:function:charge", "output": {"payment_id": "1" * 32}}
    read = history([(0, "ExecutionStarted", details)], "RUNNING")
    assert read.events[0].details == details


def test_the_way_taken_is_counted_from_start_to_end() -> None:
    taken = history(CAUGHT, "FAILED").taken(MACHINE)
    assert {(each.source, each.target, each.kind): times for each, times in taken.items()} == {
        (START, "Charge", Kind.NEXT): 1,
        ("Charge", "Compensate", Kind.CATCH): 1,
        ("Compensate", "Reversed", Kind.NEXT): 1,
        ("Reversed", END, Kind.NEXT): 1,
    }


def test_a_loop_is_counted_as_often_as_it_is_gone_through() -> None:
    def charge(begins: float) -> list[tuple[float, str, dict[str, str]]]:
        return [
            (begins, "TaskStateEntered", {"name": "Charge"}),
            (begins, "TaskScheduled", {}),
            (begins + 1, "TaskFailed", {"error": "Unknown"}),
            (begins + 1, "TaskStateExited", {"name": "Charge"}),
            (begins + 1, "WaitStateEntered", {"name": "Wait"}),
            (begins + 61, "WaitStateExited", {"name": "Wait"}),
        ]

    read = history([*charge(0), *charge(61), *charge(122)[:2]], "RUNNING")
    taken = {(each.source, each.target): times for each, times in read.taken(MACHINE).items()}
    assert taken == {(START, "Charge"): 1, ("Charge", "Wait"): 2, ("Wait", "Charge"): 2}
    assert outcomes(read) == {"Charge": Outcome.RUNNING, "Wait": Outcome.SUCCEEDED}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.000 s"),
        (0.1214, "0.121 s"),
        (12.34, "12.3 s"),
        (300, "5 min"),
        (303, "5 min 3 s"),
        (7500, "2 h 5 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text
