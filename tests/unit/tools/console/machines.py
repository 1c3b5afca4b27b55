"""A small state machine with everything that can be drawn: a choice, caught errors, a loop, and two end states."""

import json

from tools.console.definition import Definition

ASL = json.dumps(
    {
        "StartAt": "Charge",
        "States": {
            "Charge": {
                "Type": "Task",
                "Comment": "Asks for the money.",
                "Resource": "${charge_function_arn}",
                "Catch": [
                    {"ErrorEquals": ["Unknown"], "Next": "Wait"},
                    {"ErrorEquals": ["Refused"], "Next": "Compensate"},
                    {"ErrorEquals": ["States.ALL"], "Next": "Compensate"},
                ],
                "Next": "Outcome",
            },
            "Outcome": {
                "Type": "Choice",
                "Choices": [
                    {"Variable": "$.charge.status", "StringEquals": "captured", "Next": "Done"},
                    {"Variable": "$.charge.status", "StringEquals": "authorized", "Next": "Done"},
                ],
                "Default": "Compensate",
            },
            "Wait": {"Type": "Wait", "Seconds": 60, "Next": "Charge"},
            "Compensate": {"Type": "Task", "Resource": "${compensate_function_arn}", "Next": "Reversed"},
            "Done": {"Type": "Succeed"},
            "Reversed": {"Type": "Fail"},
        },
    }
)
MACHINE = Definition.from_asl(ASL)
