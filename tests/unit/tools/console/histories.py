"""Histories in the form of GetExecutionHistory, in a short notation."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tools.console.history import History, Outcome, read

START = datetime(2026, 11, 23, 9, 0, 0, tzinfo=UTC)

EventRow = tuple[float, str] | tuple[float, str, Mapping[str, Any]]


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def _details_of(type_: str) -> str:
    for state in ("StateEntered", "StateExited"):
        if type_.endswith(state):
            type_ = state
    return type_[0].lower() + type_[1:]


def events(*event_rows: EventRow) -> list[dict[str, Any]]:
    """Events from (seconds after the start, type, details); input and output become JSON text."""
    return [
        {
            "id": number,
            "timestamp": at(each[0]),
            "type": each[1],
            f"{_details_of(each[1])}EventDetails": {
                name: json.dumps(value) if name in ("input", "output") else value
                for name, value in (each[2] if len(each) == 3 else {}).items()
            },
        }
        for number, each in enumerate(event_rows, start=1)
    ]


def history(event_rows: Sequence[EventRow], status: str = "SUCCEEDED", **execution: Any) -> History:
    """The history of an execution that ended with its last event, unless it is running."""
    ended = {} if status == "RUNNING" else {"stopDate": at(event_rows[-1][0])}
    return read(events(*event_rows), {"status": status, "startDate": START} | ended | execution)


def outcomes(course: History) -> dict[str, Outcome]:
    """The outcome of the latest visit to each state."""
    return {visit.state: visit.outcome for visit in course.visits}


# Charge is called by its ARN, as on AWS: the second call succeeds.
RETRIED: list[EventRow] = [
    (0, "ExecutionStarted", {"input": {"amount_minor": 1999}}),
    (0, "TaskStateEntered", {"name": "Charge", "input": {}}),
    (0, "LambdaFunctionScheduled", {"resource": "arn:aws:lambda:eu-west-1:123456789012:function:charge"}),
    (0.1, "LambdaFunctionStarted"),
    (2, "LambdaFunctionFailed", {"error": "GatewayOutcomeUnknown", "cause": "no answer"}),
    (5, "LambdaFunctionScheduled", {}),
    (6, "LambdaFunctionSucceeded", {"output": {"outcome": "captured"}}),
    (6, "TaskStateExited", {"name": "Charge", "output": {}}),
    (6, "ChoiceStateEntered", {"name": "Outcome", "input": {}}),
    (6, "ChoiceStateExited", {"name": "Outcome", "output": {}}),
    (6, "SucceedStateEntered", {"name": "Done", "input": {}}),
    (6, "SucceedStateExited", {"name": "Done", "output": {}}),
    (6, "ExecutionSucceeded", {"output": {"status": "captured"}}),
]

# Charge gives up, and Compensate undoes; both by Task events, as in the emulator.
CAUGHT: list[EventRow] = [
    (0, "ExecutionStarted", {}),
    (0, "TaskStateEntered", {"name": "Charge"}),
    (0, "TaskScheduled", {}),
    (1, "TaskTimedOut", {}),
    (1, "TaskStateExited", {"name": "Charge"}),
    (1, "TaskStateEntered", {"name": "Compensate"}),
    (1, "TaskScheduled", {}),
    (3, "TaskSucceeded", {}),
    (3, "TaskStateExited", {"name": "Compensate"}),
    (3, "FailStateEntered", {"name": "Reversed"}),
    (3, "ExecutionFailed", {"error": "PaymentReversed", "cause": "States.Timeout"}),
]

TASK_TOKEN = "AQCEAAAAKgAAAAMAAAAAAAAAAaBcDeF"

# As Step Functions catches the error that a function raises.
ACTION = {
    "Error": "CustomerActionRequired",
    "Cause": json.dumps(
        {
            "errorType": "CustomerActionRequired",
            "errorMessage": json.dumps({"gateway": "sparkle", "charge_id": "ch_1"}),
        }
    ),
}

# The bank asks the customer, and nobody has answered yet.
CHALLENGED: list[EventRow] = [
    (0, "ExecutionStarted", {"input": {"amount_minor": 1999}}),
    (0, "TaskStateEntered", {"name": "Charge", "input": {}}),
    (0, "LambdaFunctionScheduled", {}),
    (1, "LambdaFunctionFailed", {"error": "CustomerActionRequired", "cause": "{}"}),
    (1, "TaskStateExited", {"name": "Charge"}),
    (
        1,
        "TaskStateEntered",
        {
            "name": "AwaitCustomer",
            "input": {
                "card": {"brand": "visa", "last4": "3155"},
                "action": ACTION,
            },
        },
    ),
    (
        2,
        "TaskScheduled",
        {
            "resource": "invoke.waitForTaskToken",
            "timeoutInSeconds": 900,
            "parameters": json.dumps({"Payload": {"payment_id": "pay-1", "task_token": TASK_TOKEN}}),
        },
    ),
    (2, "TaskStarted", {}),
    (3, "TaskSubmitted", {"output": {"StatusCode": 200}}),
]

# The customer has answered after a minute.
ANSWERED: list[EventRow] = [
    *CHALLENGED,
    (63, "TaskSucceeded", {"output": {}}),
    (63, "TaskStateExited", {"name": "AwaitCustomer", "output": {}}),
    (63, "TaskStateEntered", {"name": "Confirm", "input": {}}),
]
