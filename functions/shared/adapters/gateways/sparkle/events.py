"""Sparkle's events, according to docs/sparkle.yaml."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from functions.shared import strict_json
from functions.shared.adapters.gateways.signatures import is_signed
from functions.shared.domain.charge import ChargeStatus
from functions.shared.domain.gateway_event import GatewayEvent, InvalidEvent
from functions.shared.domain.times import iso

TYPES: dict[str, ChargeStatus | None] = {
    "charge.authorized": "authorized",
    "charge.captured": "captured",
    "charge.declined": "declined",
    "charge.voided": "voided",
    "charge.expired": "voided",
    "refund.succeeded": None,
    "refund.failed": None,
    "dispute.opened": None,
    "dispute.won": None,
    "dispute.lost": None,
}


def read_event(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: str) -> GatewayEvent | None:
    """The event, or None if its type doesn't concern us. The headers' names are in lower case.

    Raises InvalidEvent.
    """
    if not is_signed(headers.get("sparkle-signature", ""), body, secrets, now):
        raise InvalidEvent("The event is not signed by Sparkle, or was too long ago.")
    try:
        match strict_json.loads(body):
            case {
                "id": event_id,
                "type": str(type),
                "created_at": str(at),
                "charge_id": charge_id,
                "charge_created_at": str(charged_at),
                "reference": reference,
            }:
                if type not in TYPES:
                    return None
                at, charged_at = (iso(datetime.fromisoformat(each)) for each in (at, charged_at))
                return GatewayEvent.about(event_id, type, charge_id, at, reference, TYPES[type], charged_at)
            case {"type": str()}:
                return None
    except ValueError:
        pass
    raise InvalidEvent("This is not an event of Sparkle's.")
