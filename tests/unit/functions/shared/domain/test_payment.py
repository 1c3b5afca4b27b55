from dataclasses import replace
from typing import Any

import pytest

from functions.shared.domain.ledger import GENESIS_HASH, capture_entry
from functions.shared.domain.payment import NEXT_STATUSES, PaymentRequest, Status
from tests.samples import LATER, NOW, REQUEST, SUMMARY, TOKEN, payment, refund_request


def test_a_request_without_an_operation_is_a_charge_that_captures() -> None:
    request = PaymentRequest.from_request({"amount_minor": 1999, "currency": "USD", "card_data": {"card_number": "4"}})
    assert request == PaymentRequest(1999, "USD", True, None, None)


def test_what_an_earlier_state_made_of_a_request_is_read_as_the_same_request() -> None:
    assert PaymentRequest.from_request(REQUEST.to_dict()) == REQUEST


@pytest.mark.parametrize(
    ("status", "captured_minor"),
    [("captured", 1999), ("authorized", 0), ("declined", 0), ("in_doubt", 0), ("stored", 0), ("reversed", 0)],
)
def test_only_a_captured_payment_has_captured_anything(status: Status, captured_minor: int) -> None:
    assert payment(status=status).captured_minor == captured_minor


@pytest.mark.parametrize(
    ("request_", "by"),
    [
        ({}, (None, None)),
        ({"token": None, "initiator": None}, (None, None)),
        ({"token": "tok"}, ("customer", None)),
        ({"token": "tok", "initiator": None}, ("customer", None)),
        ({"token": "tok", "initiator": "merchant", "reason": "recurring"}, ("merchant", "recurring")),
        ({"card_on_file": True}, ("customer", None)),
    ],
)
def test_a_payment_with_a_stored_card_is_the_customers_unless_the_merchant_says_why(
    request_: dict[str, Any], by: tuple[str | None, str | None]
) -> None:
    request = PaymentRequest.from_request({"amount_minor": 1999, "currency": "USD"} | request_)
    recorded = payment(request=request)
    assert (request.initiator, request.reason) == (recorded.initiator, recorded.reason) == by


@pytest.mark.parametrize("status", ["captured", "authorized", "declined", "reversed"])
def test_doubt_is_cleared_by_evidence_and_counted_as_a_new_version(status: Status) -> None:
    cleared = payment(status="in_doubt").moved_to(status, updated_at=LATER)
    assert (cleared.status, cleared.version, cleared.updated_at) == (status, 2, LATER)


@pytest.mark.parametrize(
    ("current", "status"),
    [
        (current, status)
        for current in NEXT_STATUSES
        for status in NEXT_STATUSES
        if status not in NEXT_STATUSES[current]
    ],
)
def test_a_status_moves_only_along_the_diagram(current: Status, status: Status) -> None:
    with pytest.raises(ValueError, match=f"is {current} can't become {status}"):
        payment(status=current).moved_to(status)


def test_the_outcome_says_what_the_state_machine_needs_to_end() -> None:
    on_file = payment(status="reversed", request=replace(REQUEST, card_on_file=True), error="GatewayOutcomeUnknown")
    assert on_file.outcome() == {
        "payment_id": "pay-1",
        "status": "reversed",
        "token": TOKEN,
        "transaction_id": "0" * 64,
        "charge_id": "ch_1",
        "decline_code": None,
        "error": {"Error": "GatewayOutcomeUnknown"},
    }


@pytest.mark.parametrize("status", ["declined", "in_doubt"])
def test_a_payment_that_does_not_succeed_keeps_no_card_but_one_that_was_stored_before(status: Status) -> None:
    assert payment(status=status).card == SUMMARY.without_token()
    assert payment(status=status, request=replace(REQUEST, card_on_file=True)).card == SUMMARY


@pytest.mark.parametrize("status", ["declined", "stored", "reversed", "voided"])
def test_an_outcome_that_is_known_and_moves_no_money_any_more_stays(status: Status) -> None:
    assert NEXT_STATUSES[status] == frozenset()


def test_what_is_posted_is_numbered_timed_and_chained() -> None:
    capture = capture_entry("sparkle", 1999, "USD")
    first, (posted,) = payment().post(capture)
    assert (posted.number, posted.posted_at, posted.previous_hash) == (1, NOW, GENESIS_HASH)
    assert (first.entry_count, first.journal_hash) == (1, posted.hash)
    second, (next_posted,) = first.post(capture.reverse(1))
    assert (next_posted.number, next_posted.previous_hash) == (2, posted.hash)
    assert second.journal_hash == next_posted.hash
    assert posted.is_intact
    assert next_posted.is_intact


def test_a_doubt_is_as_old_as_it_was_whatever_is_asked_meanwhile() -> None:
    doubtful = payment(status="in_doubt")
    updated = doubtful.reserve(refund_request(doubtful), LATER)
    assert (updated.version, updated.in_doubt_since, updated.operations[0].error) == (2, NOW, "invalid_state")
