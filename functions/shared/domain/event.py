"""The events that report changes: one for each version of a payment's record, each erased card, and each break.

An event is recorded in the transaction that makes the change, and never changes. All receivers get the same
CloudEvent (CloudEvents 1.0.2; `sequence` is its extension of that name). It holds no card number and no ciphertext.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from functions.shared.domain.hashed_name import hashed_name
from functions.shared.domain.operation import MAX_OPERATIONS_IN_RECORD
from functions.shared.domain.payment import Payment
from functions.shared.domain.payment_body import payment_body

if TYPE_CHECKING:
    from functions.shared.domain.settlement import Break

EventType = Literal[
    "payment.captured",
    "payment.authorized",
    "payment.declined",
    "payment.reversed",
    "payment.in_doubt",
    "payment.voided",
    "payment.refunded",
    "payment.partially_refunded",
    "payment.refund_failed",
    "payment.dispute_opened",
    "payment.dispute_won",
    "payment.dispute_lost",
    "payment.settled",
    "payment.updated",
    "card.erased",
    "reconciliation.break",
]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)
"""Every type there is. New ones may be added, so a receiver ignores those that it doesn't know."""

SOURCE = "payments"
"""The CloudEvents attribute `source`, and the source of the events on the bus."""


class NotDelivered(Exception):
    """A webhook endpoint has not accepted an event. The message is ours, and names no data of the endpoint's."""


class EndpointGone(NotDelivered):
    """The endpoint wants no more events: it answered 410."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `subject` is the payment's id, the card's token, or the break by its day and what it is about; `at` is
    the time of the change (UTC, ISO 8601). The order of a subject's events is that of their `sequence`, as texts."""

    type: EventType
    subject: str
    sequence: str
    at: str
    data: Mapping[str, Any]

    @property
    def is_of_payment(self) -> bool:
        return self.type.startswith("payment.")

    @property
    def is_first(self) -> bool:
        """Whether it is the event of a payment's first version."""
        return self.is_of_payment and self.sequence == _sequence(1)

    def number_since(self, sequence: str) -> int:
        """How many events of the payment there are between the one with this `sequence` (empty: its start) and this
        one. Other subjects' events have no numbers: 0."""
        return int(self.sequence) - int(sequence or 0) - 1 if self.is_of_payment else 0

    @property
    def event_id(self) -> str:
        """The same however often the event is sent."""
        family = self.type.partition(".")[0]
        return f"evt_{hashed_name(f'{family}#{self.subject}#{self.sequence}')}"

    def to_cloud_event(self) -> str:
        """The event in the JSON format of CloudEvents. The same event always becomes the same text."""
        cloud_event = {
            "specversion": "1.0",
            "id": self.event_id,
            "source": SOURCE,
            "type": self.type,
            "subject": self.subject,
            "time": self.at,
            "sequence": self.sequence,
            "datacontenttype": "application/json",
            "data": self.data,
        }
        return json.dumps(cloud_event, separators=(",", ":"), sort_keys=True)

    @classmethod
    def from_cloud_event(cls, event: Mapping[str, Any]) -> "Event":
        """The inverse of `to_cloud_event`. Raises KeyError for anything else."""
        return cls(event["type"], event["subject"], event["sequence"], event["time"], event["data"])


def payment_event(payment: Payment, previous: Payment | None) -> Event:
    """The event of this version of a payment, which follows the `previous` one.

    It shows the payment as the API does, with its last `MAX_OPERATIONS_IN_RECORD` operations at most.
    """
    body = payment_body(payment)
    body["operations"] = body["operations"][-MAX_OPERATIONS_IN_RECORD:]
    data = {"version": payment.version, "payment": body}
    return Event(_type(payment, previous), payment.payment_id, _sequence(payment.version), payment.updated_at, data)


def card_erased(token: str, at: str) -> Event:
    return Event("card.erased", token, at, at, {"token": token})


def break_found(found_break: "Break", at: str) -> Event:
    """The event of a break that was not open before."""
    subject = f"{found_break.day}#{found_break.type}#{found_break.payment_id}#{found_break.item}"
    return Event("reconciliation.break", subject, at, at, asdict(found_break))


def _sequence(version: int) -> str:
    return f"{version:06}"


def _type(payment: Payment, previous: Payment | None) -> EventType:
    if previous and _failed_refunds(payment) > _failed_refunds(previous):
        return "payment.refund_failed"
    if previous is None or (payment.status, payment.refunded_minor) != (previous.status, previous.refunded_minor):
        return cast(EventType, f"payment.{payment.status}")
    if payment.disputes != previous.disputes:
        newest = next(dispute for dispute in reversed(payment.disputes) if dispute not in previous.disputes)
        return cast(EventType, f"payment.dispute_{'opened' if newest.status == 'open' else newest.status}")
    looks_the_same = payment_body(payment) | {"updated_at": previous.updated_at} == payment_body(previous)
    return "payment.settled" if looks_the_same and payment.entry_count > previous.entry_count else "payment.updated"


def _failed_refunds(payment: Payment) -> int:
    return sum(operation.error == "refund_failed" for operation in payment.operations)
