import pytest

from functions.shared.domain.payment import NEXT_STATUSES, PaymentRequest, Status
from tests.samples import LATER, REQUEST, TOKEN, payment


def test_a_request_without_an_operation_is_a_charge_that_captures() -> None:
    request = PaymentRequest.from_request({"amount_minor": 1999, "currency": "USD", "card_data": {"card_number": "4"}})
    assert request == PaymentRequest("charge", 1999, "USD", True, None, None)


def test_what_an_earlier_state_made_of_a_request_is_read_as_the_same_request() -> None:
    assert PaymentRequest.from_request(REQUEST.to_dict()) == REQUEST


@pytest.mark.parametrize(
    ("status", "captured_minor"),
    [("captured", 1999), ("authorized", 0), ("declined", 0), ("in_doubt", 0), ("stored", 0), ("reversed", 0)],
)
def test_only_a_captured_payment_has_captured_anything(status: Status, captured_minor: int) -> None:
    assert payment(status=status).captured_minor == captured_minor


@pytest.mark.parametrize("status", ["captured", "authorized", "declined", "reversed"])
def test_doubt_is_cleared_by_evidence_and_counted_as_a_new_version(status: Status) -> None:
    cleared = payment(status="in_doubt").moved_to(status, updated_at=LATER)
    assert (cleared.status, cleared.version, cleared.updated_at) == (status, 2, LATER)


@pytest.mark.parametrize("known", [status for status in NEXT_STATUSES if status != "in_doubt"])
@pytest.mark.parametrize("status", NEXT_STATUSES)
def test_an_outcome_that_is_known_stays(known: Status, status: Status) -> None:
    with pytest.raises(ValueError, match=f"is {known} can't become {status}"):
        payment(status=known).moved_to(status)


def test_the_outcome_says_what_the_state_machine_needs_to_end() -> None:
    assert payment(status="reversed", error="GatewayOutcomeUnknown").outcome() == {
        "payment_id": "pay-1",
        "status": "reversed",
        "token": TOKEN,
        "transaction_id": "0" * 64,
        "charge_id": "ch_1",
        "decline_code": None,
        "error": {"Error": "GatewayOutcomeUnknown"},
    }
