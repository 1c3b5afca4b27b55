"""What a gateway reports by itself: a hint to look at a charge, and never evidence of its outcome."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from functions.shared.domain.charge import ChargeStatus
from functions.shared.domain.shapes import canonical_id, is_gateway_id, is_id

FRESH = timedelta(seconds=5)
"""Within this time of its charge, an event is most likely about what the payment's execution has just done."""


class InvalidEvent(Exception):
    """It is not an event, or the gateway has not signed it, or signed it too long ago. The message has no data."""


@dataclass(frozen=True, slots=True)
class GatewayEvent:
    """An event about a charge, of which only ids and known words are kept.

    `type` is the gateway's own name for it. `payment_id` is our reference, if the event has it; else the charge shows
    it. `status` is the charge's status by this event, or None if the event is about something else, such as a refund.
    `at` is the time of the event and `charged_at` that of the charge, if the event says it (both UTC, ISO 8601).
    """

    event_id: str
    type: str
    charge_id: str
    at: str
    payment_id: str | None = None
    status: ChargeStatus | None = None
    charged_at: str | None = None

    @property
    def of_old_charge(self) -> bool:
        """Whether the charge is known to be older than `FRESH`, so that no call of ours has just caused the event."""
        if self.charged_at is None:
            return False
        return datetime.fromisoformat(self.at) - datetime.fromisoformat(self.charged_at) > FRESH

    @classmethod
    def about(
        cls,
        event_id: object,
        type: str,
        charge_id: object,
        at: str,
        reference: object,
        status: ChargeStatus | None,
        charged_at: str | None = None,
    ) -> "GatewayEvent":
        """The event from untrusted values. A reference that is no payment's id is left out.

        Raises InvalidEvent if the event's or the charge's id is not a gateway's.
        """
        if not is_gateway_id(event_id) or not is_gateway_id(charge_id):
            raise InvalidEvent("The event names itself or its charge by something that is no id.")
        payment_id = canonical_id(reference) if is_id(reference) else None
        return cls(event_id, type, charge_id, at, payment_id, status, charged_at)
