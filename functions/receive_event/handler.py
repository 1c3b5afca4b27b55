"""POST /gateway-events/{gateway}. Nobody signs in here, so nothing is believed, kept or logged until the gateway's own
signature over the body has been checked."""

from base64 import b64decode
from typing import Any

from functions.shared import http, runtime
from functions.shared.domain.gateway_event import InvalidEvent

MAX_BODY_BYTES = 256 * 1024


@runtime.function(
    "receive_event",
    uses=(runtime.event_readers, runtime.event_queue),
    payment_id=lambda event: None,
    if_unavailable=http.UNAVAILABLE,  # the gateway sends the event again
)
def handler(event: runtime.Event) -> dict[str, Any]:
    gateway = event["pathParameters"]["gateway"]
    reader = runtime.event_readers().get(gateway)
    if reader is None:
        return _UNKNOWN_GATEWAY
    body = _raw_body(event)
    if len(body) > MAX_BODY_BYTES:
        return _TOO_LARGE
    headers = {name.lower(): value for name, value in (event["headers"] or {}).items()}
    runtime.count("GatewayEvents")
    try:
        read = reader.read(headers, body, runtime.now())
        if read:
            runtime.event_queue().send(gateway, read)
    except InvalidEvent as error:
        runtime.count("GatewayEventsRefused")
        runtime.logger.warning("event refused", gateway=gateway, reason=str(error))
        return _REFUSED
    return http.answer(200, {})


def _raw_body(event: runtime.Event) -> bytes:
    """The body as it was sent, since the signature covers its bytes."""
    body = event.get("body") or ""
    return b64decode(body) if event.get("isBase64Encoded") else body.encode(errors="replace")


_UNKNOWN_GATEWAY = http.error(404, "not_found", "There is no such route.")
_TOO_LARGE = http.error(413, "request_too_large", "The body is too large.")
_REFUSED = http.error(400, "invalid_event", "This is not an event signed by the gateway.")
