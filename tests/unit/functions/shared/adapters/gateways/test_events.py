"""What every gateway's `read_event` makes of what it is sent."""

import json
from typing import Any

import pytest

from functions.shared.adapters.gateways.events import SignedEvents
from functions.shared.adapters.gateways.signatures import signature
from functions.shared.adapters.gateways.sparkle import events as sparkle
from functions.shared.adapters.gateways.stripe import events as stripe
from functions.shared.domain.errors import SecretUnavailable
from functions.shared.domain.gateway_event import GatewayEvent, InvalidEvent
from functions.shared.domain.times import epoch_seconds
from tests.samples import NOW

PAYMENT_ID = "payment-of-ours-1"
CHARGED_AT = "2026-11-23T09:00:00.000Z"
HEADERS = {"sparkle": "sparkle-signature", "stripe": "stripe-signature"}


def sparkle_event(type: str, **changes: Any) -> dict[str, Any]:
    charge = {"charge_id": "ch_1", "charge_created_at": CHARGED_AT, "reference": PAYMENT_ID}
    return {"id": "ev_1", "type": type, "created_at": NOW} | charge | changes


def stripe_event(type: str, **changes: Any) -> dict[str, Any]:
    if type.startswith("payment_intent."):
        about: dict[str, Any] = {"id": "ch_1", "object": "payment_intent", "metadata": {"payment_id": PAYMENT_ID}}
        about["created"] = epoch_seconds(CHARGED_AT)
    else:
        about = {"id": "re_1", "payment_intent": "ch_1", "metadata": {"payment_id": "not-the-payments"}}
    event = {"id": "ev_1", "object": "event", "type": type, "created": epoch_seconds(NOW)}
    return event | {"data": {"object": about | changes}}


def read(gateway: str, event: Any, secret: str = "a-secret") -> GatewayEvent | None:
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    at = str(epoch_seconds(NOW))
    headers = {HEADERS[gateway]: f"t={at},v1={signature(secret, at, body)}"}
    return SignedEvents(gateway, lambda: '["a-secret"]').read(headers, body, NOW)


@pytest.mark.parametrize(("type", "status"), sparkle.TYPES.items())
def test_sparkle_s_events(type: str, status: str | None) -> None:
    read_event = read("sparkle", sparkle_event(type))
    assert read_event == GatewayEvent("ev_1", type, "ch_1", NOW, PAYMENT_ID, status, CHARGED_AT)  # type: ignore[arg-type]


@pytest.mark.parametrize("type", sorted(stripe.TYPES))
def test_stripe_s_events(type: str) -> None:
    status = stripe.INTENT_TYPES.get(type)
    reference = PAYMENT_ID if status else None  # a refund's metadata are its own
    at = "2026-11-23T09:00:01.000Z"
    charged_at = CHARGED_AT if status else None  # a refund's event doesn't say it
    assert read("stripe", stripe_event(type)) == GatewayEvent("ev_1", type, "ch_1", at, reference, status, charged_at)


@pytest.mark.parametrize(
    ("gateway", "event"),
    [
        ("sparkle", {"id": "ev_1", "type": "payout.paid"}),
        ("sparkle", sparkle_event("dispute.inquiry")),
        ("stripe", {"id": "ev_1", "type": "payout.paid"}),
        ("stripe", stripe_event("charge.pending")),
        ("stripe", stripe_event("refund.updated", payment_intent=None)),
    ],
)
def test_what_does_not_concern_us_is_ignored(gateway: str, event: Any) -> None:
    assert read(gateway, event) is None


@pytest.mark.parametrize("reference", [None, 7, "short", "4242424242424242", {}])
def test_a_reference_that_is_no_payment_s_id_is_left_out(reference: Any) -> None:
    for read_event in (
        read("sparkle", sparkle_event("charge.voided", reference=reference)),
        read("stripe", stripe_event("payment_intent.canceled", metadata={"payment_id": reference})),
        read("stripe", stripe_event("payment_intent.canceled", metadata=reference)),
    ):
        assert read_event
        assert (read_event.charge_id, read_event.payment_id) == ("ch_1", None)


@pytest.mark.parametrize("gateway", HEADERS)
@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"\xff", b'{"type": 1}', b'{"type": "a", "type": "a"}'])
def test_a_signed_body_that_is_no_event_is_refused(gateway: str, body: bytes) -> None:
    with pytest.raises(InvalidEvent):
        read(gateway, body)


@pytest.mark.parametrize("id", ["4242424242424242", "a b", "", None, 1])
def test_an_id_that_is_none_is_refused(id: Any) -> None:
    for gateway, event in (
        ("sparkle", sparkle_event("charge.voided", charge_id=id)),
        ("sparkle", sparkle_event("charge.voided", id=id)),
        ("stripe", stripe_event("payment_intent.canceled") | {"id": id}),
    ):
        with pytest.raises(InvalidEvent):
            read(gateway, event)


@pytest.mark.parametrize("at", ["yesterday", ""])
def test_a_time_that_is_none_is_refused(at: str) -> None:
    with pytest.raises(InvalidEvent):
        read("sparkle", sparkle_event("charge.voided", created_at=at))


@pytest.mark.parametrize("gateway", HEADERS)
def test_an_event_of_somebody_else_is_refused(gateway: str) -> None:
    for event in (sparkle_event("charge.voided"), stripe_event("refund.failed")):
        with pytest.raises(InvalidEvent):
            read(gateway, event, "another-secret")
        with pytest.raises(InvalidEvent):
            SignedEvents(gateway, lambda: '["a-secret"]').read({}, json.dumps(event).encode(), NOW)


@pytest.mark.parametrize("secret", ["", "a-secret", "{}", "[1]", "null"])
def test_a_secret_that_is_no_list_is_unavailable(secret: str) -> None:
    with pytest.raises(SecretUnavailable):
        SignedEvents("sparkle", lambda: secret).read({}, b"", NOW)
