"""Stripe's events: docs.stripe.com/api/events and docs.stripe.com/webhooks, seen 2026-11-29."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from functions.shared import strict_json
from functions.shared.adapters.gateways.signatures import is_signed
from functions.shared.domain.charge import ChargeStatus
from functions.shared.domain.gateway_event import GatewayEvent, InvalidEvent
from functions.shared.domain.times import iso

# Those about a PaymentIntent, which is our charge, with its status. An authorization that expires is canceled.
INTENT_TYPES: Mapping[str, ChargeStatus] = {
    "payment_intent.succeeded": "captured",
    "payment_intent.amount_capturable_updated": "authorized",
    "payment_intent.payment_failed": "declined",
    "payment_intent.canceled": "voided",
}
# Those whose object names its PaymentIntent. A dispute's funds move when it is created and closed, or later.
OTHER_TYPES = frozenset(
    {
        *("charge.refunded", "refund.created", "refund.updated", "refund.failed"),
        *(f"charge.dispute.{step}" for step in ("created", "updated", "closed")),
        *(f"charge.dispute.funds_{step}" for step in ("withdrawn", "reinstated")),
    }
)
TYPES = frozenset(INTENT_TYPES) | OTHER_TYPES
"""The types to select for the endpoint; others are ignored."""


def read_event(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: str) -> GatewayEvent | None:
    """The event, or None if its type doesn't concern us. The headers' names are in lower case.

    Raises InvalidEvent.
    """
    if not is_signed(headers.get("stripe-signature", ""), body, secrets, now):
        raise InvalidEvent("The event is not signed by Stripe, or was too long ago.")
    try:
        match strict_json.loads(body):
            case {"id": event_id, "type": str(type), "created": int(created), "data": {"object": dict(about)}}:
                if type not in TYPES:
                    return None
                charge_id = about.get("id" if type in INTENT_TYPES else "payment_intent")
                if charge_id is None:
                    return None  # of a charge without a PaymentIntent, which is none of ours
                # Only an intent's metadata are the payment's: a refund has its own.
                metadata = about.get("metadata") if type in INTENT_TYPES else None
                reference = metadata.get("payment_id") if isinstance(metadata, dict) else None
                at = iso(datetime.fromtimestamp(created, UTC))
                charged = about.get("created") if type in INTENT_TYPES else None
                charged_at = iso(datetime.fromtimestamp(charged, UTC)) if isinstance(charged, int) else None
                return GatewayEvent.about(event_id, type, charge_id, at, reference, INTENT_TYPES.get(type), charged_at)
            case {"type": str()}:
                return None
    except (ValueError, OverflowError, OSError):
        pass
    raise InvalidEvent("This is not an event of Stripe's.")
