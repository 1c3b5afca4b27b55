"""The events that report changes."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from functions.shared.domain import event
from functions.shared.domain.dispute import Dispute
from functions.shared.domain.event import EVENT_TYPES, Event, break_found, card_erased, payment_event
from functions.shared.domain.ledger import capture_entry, refund_entry, settlement_entry
from functions.shared.domain.operation import MAX_OPERATIONS_IN_RECORD
from functions.shared.domain.payment import Payment
from functions.shared.domain.payment_body import payment_body
from functions.shared.domain.settlement import Break
from tests.samples import LATER, NOW, operation_request, payment

BREAK = Break("2026-11-23", "missing_in_ledger", "pay-1", "charge:ch_1", "a payment", "nothing")


def refunding(amount_minor: int = 500) -> tuple[Payment, Payment, Payment]:
    """A captured payment, with a refund reserved, and refunded."""
    captured, _ = payment().post(capture_entry("sparkle", 1999, "USD"))
    reserved = captured.reserve(operation_request(captured, "refund", amount_minor, "refund-1"), LATER)
    return captured, reserved, reserved.settle(reserved.operations[0], LATER)


class TestType:
    @pytest.mark.parametrize("status", ["captured", "authorized", "declined", "reversed", "in_doubt"])
    def test_the_event_of_a_first_version_has_its_status_as_type(self, status: Any) -> None:
        assert payment_event(payment(status=status), None).type == f"payment.{status}"

    def test_the_event_of_a_new_status_has_it_as_type(self) -> None:
        doubtful = payment(status="in_doubt")
        assert payment_event(doubtful.moved_to("reversed"), doubtful).type == "payment.reversed"

    def test_a_refund_has_an_event_when_it_is_made_and_not_while_it_is_reserved(self) -> None:
        captured, reserved, refunded = refunding()
        assert payment_event(reserved, captured).type == "payment.updated"
        assert payment_event(refunded, reserved).type == "payment.partially_refunded"

    def test_so_is_each_further_one(self) -> None:
        _, _, refunded = refunding()
        again = refunded.reserve(operation_request(refunded, "refund", 100, "refund-2"), LATER)
        assert payment_event(again.settle(again.operations[1], LATER), again).type == "payment.partially_refunded"

    def test_a_refund_that_failed_later_is_no_capture(self) -> None:
        _, _, refunded = refunding(1999)
        failed = refunded.fail_refund(refunded.operations[0], LATER)
        assert failed.status == "captured"
        assert payment_event(failed, refunded).type == "payment.refund_failed"

    def test_each_step_of_a_dispute_has_an_event_unless_there_is_more_to_tell(self) -> None:
        captured, _, refunded = refunding()
        dispute = Dispute("dp_1", "open", 500, "fraudulent", NOW)
        other = replace(dispute, dispute_id="dp_2")
        opened = captured.with_dispute(dispute, LATER)
        assert payment_event(opened, captured).type == "payment.dispute_opened"
        for status in ("won", "lost"):
            ended = opened.with_dispute(replace(dispute, status=status), LATER)
            assert payment_event(ended, opened).type == f"payment.dispute_{status}"
            assert payment_event(ended.with_dispute(other, LATER), opened).type == "payment.dispute_opened"
        assert payment_event(refunded.with_dispute(dispute, LATER), captured).type == "payment.partially_refunded"

    def test_a_settlement_changes_nothing_that_is_shown(self) -> None:
        captured, _, _ = refunding()
        settled, _ = captured.next_version(LATER).post(settlement_entry("sparkle", 1999, 59, "USD", "charge:ch_1"))
        assert payment_event(settled, captured).type == "payment.settled"

    def test_what_changes_neither_status_nor_money_is_an_update(self) -> None:
        captured, reserved, _ = refunding()
        rejected = reserved.end(reserved.operations[0], "rejected", "refund_failed_at_once", LATER)
        assert payment_event(rejected, reserved).type == "payment.updated"
        assert payment_event(captured.next_version(LATER), captured).type == "payment.updated"


class TestContent:
    def test_it_has_the_version_and_the_payment_as_the_api_shows_it(self) -> None:
        captured, _, refunded = refunding()
        notification = payment_event(refunded, captured)
        assert notification.data == {"version": 3, "payment": payment_body(refunded)}
        assert (notification.subject, notification.at, notification.sequence) == (refunded.payment_id, LATER, "000003")

    def test_the_order_of_texts_is_that_of_versions(self) -> None:
        versions = [replace(payment(), version=version) for version in (1, 2, 9, 10, 99, 100, 9_999, 10_000)]
        sequences = [payment_event(each, None).sequence for each in versions]
        assert sequences == sorted(sequences)

    def test_however_many_operations_there_were_it_shows_the_last_ones_only(self) -> None:
        captured, reserved, _ = refunding()
        [operation] = reserved.operations
        many = tuple(replace(operation, operation_id=f"refund-{n}") for n in range(MAX_OPERATIONS_IN_RECORD + 3))
        operations = payment_event(replace(reserved, operations=many), captured).data["payment"]["operations"]
        assert [each["operation_id"] for each in operations] == [each.operation_id for each in many[3:]]

    def test_the_events_of_a_card_and_of_a_break_say_what_they_are(self) -> None:
        erased, break_event = card_erased("tok_1", NOW), break_found(BREAK, NOW)
        assert (erased.type, erased.subject, erased.data) == ("card.erased", "tok_1", {"token": "tok_1"})
        assert (break_event.type, break_event.subject, break_event.data["type"]) == (
            "reconciliation.break", "2026-11-23#missing_in_ledger#pay-1#charge:ch_1", "missing_in_ledger",
        )  # fmt: skip
        assert not erased.is_of_payment
        assert not break_event.is_first


class TestCloudEvent:
    def test_it_is_one(self) -> None:
        notification = payment_event(payment("pay-1"), None)
        cloud_event = json.loads(notification.to_cloud_event())
        assert cloud_event == {
            "specversion": "1.0",
            "id": notification.event_id,
            "source": "payments",
            "type": "payment.captured",
            "subject": "pay-1",
            "time": payment().updated_at,
            "sequence": "000001",
            "datacontenttype": "application/json",
            "data": {"version": 1, "payment": json.loads(json.dumps(payment_body(payment("pay-1"))))},
        }

    def test_what_was_read_back_has_the_same_text(self) -> None:
        for each in (payment_event(refunding()[2], refunding()[1]), card_erased("tok_1", NOW), break_found(BREAK, NOW)):
            text = each.to_cloud_event()
            assert Event.from_cloud_event(json.loads(text)).to_cloud_event() == text

    def test_each_event_has_an_id_of_its_own_without_digits_or_points(self) -> None:
        captured, reserved, refunded = refunding()
        events = [
            payment_event(captured, None),
            payment_event(reserved, captured),
            payment_event(refunded, reserved),
            card_erased(captured.payment_id, NOW),
            break_found(BREAK, NOW),
        ]
        ids = {each.event_id for each in events}
        assert len(ids) == len(events)
        assert all(re.fullmatch(r"evt_[a-p]{32}", each) for each in ids)
        assert payment_event(captured, None).event_id == events[0].event_id


def test_terraform_knows_every_type() -> None:
    known = json.loads((Path(event.__file__).parent / "event_types.json").read_text())
    assert tuple(known) == EVENT_TYPES


def test_the_postings_of_a_refund_alone_are_no_settlement() -> None:
    captured, reserved, refunded = refunding()
    posted, _ = refunded.post(refund_entry("sparkle", 500, "USD", "refund-1"))
    assert payment_event(posted, reserved).type == "payment.partially_refunded"
    assert captured.version == 1
