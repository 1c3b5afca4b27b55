"""terraform/api/templates/stored.vtl turns the outcomes of `store_card` into the API's answers."""

import json
from typing import Any

import pytest

from tests.mapping_templates import KEY, READINGS, Message, answering, ended
from tests.samples import SUMMARY
from tests.workflow.definition import DEFINITIONS

DENIED = {"action": "deny", "rule": "lookalike_cards", "decline_code": "screened:lookalike_cards", "flags": []}
TRY_AGAIN = {
    "error": {
        "code": "service_unavailable",
        "message": "The card could not be stored right now. Try again with the same Idempotency-Key.",
    },
    "payment_id": KEY,
}


def answered(body: str, absent: str | None, sent_to: str = "/v1/cards") -> tuple[int, dict[str, Any], dict[str, str]]:
    """The answer's status, body and headers."""
    text, override = Message(body, sent_to=sent_to).rendered(answering("cards", "stored"), absent)
    return override.get("status", 201), json.loads(text), override["header"]


@pytest.mark.parametrize("absent", READINGS)
@pytest.mark.parametrize("before", ["", "/v1", "/a/base/path"])
def test_a_stored_card_is_shown_with_its_links(before: str, absent: str | None) -> None:
    stored = {"payment_id": KEY, "status": "stored", "card": SUMMARY.to_dict()}
    body = json.dumps({"status": "SUCCEEDED", "output": json.dumps(stored)})
    links = {"self": f"{before}/payments/{KEY}", "card": f"{before}/cards/{SUMMARY.token}"}
    assert answered(body, absent, f"{before}/cards") == (201, stored | {"links": links}, {"Location": links["card"]})


@pytest.mark.parametrize("absent", READINGS)
@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("InvalidCardNumber", "invalid_card_number"),
        ("SealedForAnotherPayment", "sealed_for_another_payment"),
        ("SensitiveAuthenticationData", "sensitive_authentication_data"),
    ],
)
def test_an_invalid_card_is_422_with_the_error_that_a_payment_would_show(
    error: str, code: str, absent: str | None
) -> None:
    message = "The card can't be stored. The code says why."
    body = {"error": {"code": code, "message": message}, "payment_id": KEY}
    assert answered(ended("CardRejected", error), absent) == (422, body, {})


@pytest.mark.parametrize("absent", READINGS)
def test_a_card_denied_by_a_rule_is_422_with_only_the_decline_code(absent: str | None) -> None:
    # Lambda adds the trace, and Step Functions passes it on in the cause.
    cause = {"errorMessage": json.dumps(DENIED), "errorType": "PaymentDenied", "stackTrace": ['File "/var/task/x.py"']}
    body = {
        "error": {"code": "card_declined", "message": "The card is declined."},
        "payment_id": KEY,
        "decline_code": "screened:lookalike_cards",
    }
    assert answered(ended("CardDeclined", json.dumps(cause)), absent) == (422, body, {})


@pytest.mark.parametrize("absent", READINGS)
def test_a_key_that_has_stored_another_card_is_409_with_a_link_to_that_one(absent: str | None) -> None:
    message = "This Idempotency-Key was used before, for another card or for one that was erased since."
    body = {
        "error": {"code": "payment_exists", "message": message},
        "payment_id": KEY,
        "links": {"self": f"/v1/payments/{KEY}"},
    }
    assert answered(ended("KeyUsedBefore"), absent) == (409, body, {})


@pytest.mark.parametrize("absent", READINGS)
@pytest.mark.parametrize(
    "body",
    [
        ended("CardNotStored", "LedgerUnavailable"),
        ended("States.Runtime", "arn:aws:states:… could not be run"),
        json.dumps({"status": "TIMED_OUT", "error": "States.Timeout"}),
        json.dumps({"status": "FAILED"}),
        "{}",
    ],
)
def test_everything_else_is_503_and_can_be_retried(body: str, absent: str | None) -> None:
    assert answered(body, absent) == (503, TRY_AGAIN, {})


def test_the_template_handles_every_outcome_of_the_state_machine() -> None:
    ends = {state["Error"] for state in DEFINITIONS["store_card"]["States"].values() if state["Type"] == "Fail"}
    template = answering("cards", "stored")
    assert {end for end in ends if f'"{end}"' not in template} == {"CardNotStored"}
