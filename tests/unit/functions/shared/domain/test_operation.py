"""Which operations a payment allows, and how they change its record."""

from dataclasses import replace

import pytest

from functions.shared.domain.operation import (
    MAX_OPERATIONS_IN_RECORD,
    RESERVED_WITHIN_SECONDS,
    OperationRequest,
    OperationType,
)
from functions.shared.domain.payment import Payment, Status
from tests.samples import LATER, NOW, operation_request, payment, refund_request

AUTHORIZED = payment(status="authorized")
CAPTURED = payment()


def reserved(of: Payment, type: OperationType, amount_minor: int | None = None) -> tuple[Payment, str | None]:
    """The payment with one more operation, and the reason for its rejection, or None."""
    changed = of.reserve(request := operation_request(of, type, amount_minor), LATER)
    operation = changed.operation(request.operation_id)
    assert operation
    return changed, operation.error


def performed(of: Payment, type: OperationType, amount_minor: int | None = None) -> Payment:
    changed, error = reserved(of, type, amount_minor)
    assert error is None
    return changed.settle(changed.operations[-1], LATER)


class TestRefunds:
    def test_what_was_captured_may_be_refunded_bit_by_bit_until_nothing_is_left(self) -> None:
        partly = performed(CAPTURED, "refund", 500)
        assert (partly.status, partly.refunded_minor, partly.refundable_minor) == ("partially_refunded", 500, 1499)
        refunded = performed(partly, "refund")
        assert (refunded.status, refunded.refunded_minor, refunded.operations[-1].amount_minor) == (
            "refunded",
            1999,
            1499,
        )
        assert reserved(refunded, "refund")[1] == "amount_exceeds_captured"
        assert reserved(refunded, "refund", 1)[1] == "amount_exceeds_captured"

    def test_what_is_reserved_nobody_else_may_have(self) -> None:
        first, error = reserved(CAPTURED, "refund", 1500)
        assert error is None
        assert reserved(first, "refund", 500)[1] == "amount_exceeds_captured"
        assert reserved(first, "refund", 499)[1] is None
        assert reserved(first, "refund")[0].operations[-1].amount_minor == 499

    @pytest.mark.parametrize("status", ["rejected", "in_doubt"])
    def test_only_what_is_over_gives_its_amount_free(self, status: str) -> None:
        first, _ = reserved(CAPTURED, "refund")
        ended = first.end(first.operations[0], status, "why", LATER)  # type: ignore[arg-type]
        assert ended.refundable_minor == (1999 if status == "rejected" else 0)
        assert (ended.status, ended.refunded_minor) == ("captured", 0)

    def test_a_refund_in_doubt_is_a_doubt_about_the_payment(self) -> None:
        first, _ = reserved(CAPTURED, "refund")
        doubtful = first.end(first.operations[0], "in_doubt", "gateway_outcome_unknown", LATER)
        assert (first.in_doubt_since, doubtful.in_doubt_since) == (None, LATER)
        assert doubtful.settle(doubtful.operations[0], LATER).in_doubt_since is None

    def test_a_refund_that_failed_after_all_brings_the_money_back(self) -> None:
        partly = performed(performed(CAPTURED, "refund", 500), "refund", 300)
        back = partly.fail_refund(partly.operations[0], LATER)
        assert (back.status, back.refunded_minor, back.refundable_minor) == ("partially_refunded", 300, 1699)
        assert (back.operations[0].status, back.operations[0].error) == ("rejected", "refund_failed")
        again = back.fail_refund(back.operations[1], LATER)
        assert (again.status, again.refunded_minor) == ("captured", 0)

    @pytest.mark.parametrize("status", ["authorized", "declined", "stored", "reversed", "in_doubt", "voided"])
    def test_what_was_not_captured_is_not_refunded(self, status: Status) -> None:
        assert reserved(payment(status=status), "refund")[1] == "invalid_state"

    def test_more_than_was_captured_is_not_refunded(self) -> None:
        captured = performed(AUTHORIZED, "capture", 1000)
        assert reserved(captured, "refund", 1001)[1] == "amount_exceeds_captured"
        assert reserved(captured, "refund", 1000)[1] is None


class TestHolds:
    @pytest.mark.parametrize(("amount_minor", "captured_minor"), [(None, 1999), (1999, 1999), (1, 1)])
    def test_an_authorization_is_captured_once_in_whole_or_in_part(
        self, amount_minor: int | None, captured_minor: int
    ) -> None:
        captured = performed(AUTHORIZED, "capture", amount_minor)
        assert (captured.status, captured.captured_minor, captured.amount_minor) == ("captured", captured_minor, 1999)
        assert reserved(captured, "capture", 1)[1] == "invalid_state"
        assert reserved(captured, "void")[1] == "invalid_state"

    def test_an_authorization_is_voided_once(self) -> None:
        voided = performed(AUTHORIZED, "void")
        assert (voided.status, voided.captured_minor, voided.operations[0].amount_minor) == ("voided", 0, 1999)
        assert reserved(voided, "void")[1] == "invalid_state"
        assert reserved(voided, "capture")[1] == "invalid_state"

    def test_no_more_is_captured_than_was_authorized(self) -> None:
        assert reserved(AUTHORIZED, "capture", 2000)[1] == "amount_exceeds_authorized"

    @pytest.mark.parametrize("first", ["capture", "void"])
    @pytest.mark.parametrize("second", ["capture", "void"])
    def test_while_one_is_under_way_there_is_no_other(self, first: OperationType, second: OperationType) -> None:
        changed, _ = reserved(AUTHORIZED, first)
        assert reserved(changed, second)[1] == "invalid_state"
        released = changed.end(changed.operations[0], "rejected", "invalid_state", LATER)
        assert reserved(released, second)[1] is None

    @pytest.mark.parametrize("status", ["captured", "declined", "stored", "reversed", "in_doubt", "voided", "refunded"])
    @pytest.mark.parametrize("type", ["capture", "void"])
    def test_what_is_not_authorized_is_neither_captured_nor_voided(self, status: Status, type: OperationType) -> None:
        assert reserved(payment(status=status), type)[1] == "invalid_state"


def test_a_rejected_operation_changes_nothing_but_the_list_of_operations() -> None:
    changed, error = reserved(CAPTURED, "refund", 5000)
    assert error == "amount_exceeds_captured"
    unchanged = replace(changed, operations=(), version=1, updated_at=NOW)
    assert unchanged == CAPTURED


def test_operations_are_listed_in_the_order_in_which_they_were_asked_for() -> None:
    first, _ = reserved(CAPTURED, "refund", 1)
    second, _ = reserved(first, "refund", 2)
    settled = second.settle(second.operations[0], LATER)
    assert [operation.amount_minor for operation in settled.operations] == [1, 2]
    assert [operation.status for operation in settled.operations] == ["succeeded", "processing"]


def test_of_many_operations_the_oldest_that_have_ended_are_kept_apart_and_still_count() -> None:
    crowded, _ = reserved(payment(amount_minor=10**6, captured_minor=10**6), "refund", 7)
    for _ in range(MAX_OPERATIONS_IN_RECORD + 20):
        crowded = performed(crowded, "refund", 1)
    apart = [each for each in crowded.operations if each.kept_apart]
    assert len(crowded.operations) == MAX_OPERATIONS_IN_RECORD + 21
    assert crowded.operations[: len(apart)] == tuple(apart)
    assert {each.amount_minor for each in apart} == {1}  # the first is open, so it stays
    assert len(crowded.operations) - len(apart) == MAX_OPERATIONS_IN_RECORD
    assert crowded.refunded_minor == MAX_OPERATIONS_IN_RECORD + 20
    assert crowded.refundable_minor == 10**6 - MAX_OPERATIONS_IN_RECORD - 20 - 7


def test_an_operation_that_is_kept_apart_stays_apart_when_it_changes() -> None:
    crowded = payment(amount_minor=10**6, captured_minor=10**6)
    for _ in range(MAX_OPERATIONS_IN_RECORD + 1):
        crowded = performed(crowded, "refund", 1)
    failed = crowded.fail_refund(crowded.operations[0], LATER)
    assert (failed.operations[0].status, failed.operations[0].kept_apart) == ("rejected", True)
    assert failed.refunded_minor == MAX_OPERATIONS_IN_RECORD
    assert sum(each.kept_apart for each in failed.operations) == 1


def test_so_many_may_be_open_at_once_and_one_more_is_too_many_until_one_has_ended() -> None:
    crowded = payment(amount_minor=10**6, captured_minor=10**6)
    for _ in range(MAX_OPERATIONS_IN_RECORD):
        crowded, error = reserved(crowded, "refund", 1)
        assert error is None
    more, error = reserved(crowded, "refund", 1)
    assert error == "too_many_operations"
    assert reserved(more.settle(more.operations[1], LATER), "refund", 1)[1] is None


def test_a_request_is_read_from_an_executions_input() -> None:
    request = OperationRequest.from_request("op-1", {"operation": "refund", "payment_id": "pay-1"}, NOW)
    assert request == OperationRequest("op-1", "pay-1", "refund", None, NOW)


def test_what_was_asked_for_an_hour_ago_comes_too_late() -> None:
    request = refund_request(CAPTURED)
    assert RESERVED_WITHIN_SECONDS == 3600
    assert not request.is_too_late("2026-11-23T10:05:00.000Z")
    assert request.is_too_late("2026-11-23T10:05:00.001Z")
