"""Runs every night, or by hand: anchors the day named in the event, by default the previous day."""

from datetime import date, timedelta
from typing import Any

from functions.anchor.anchor_day import anchor_day
from functions.shared import runtime
from functions.shared.domain.errors import InvalidInput


@runtime.function("anchor", uses=(runtime.written, runtime.anchors, runtime.books_mac), payment_id=lambda event: None)
def handler(event: runtime.Event) -> dict[str, Any]:
    now = runtime.now()
    today = date.fromisoformat(now[:10])
    try:
        day = date.fromisoformat(event["day"]) if event["day"] else today - timedelta(days=1)
    except ValueError:
        raise InvalidInput("There is no such day.") from None
    if day > today:
        raise InvalidInput("That day has not begun.")
    anchor = anchor_day(
        day.isoformat(), written=runtime.written(), anchors=runtime.anchors(), mac=runtime.books_mac(), now=now
    )
    return {
        "number": anchor.number,
        "day": anchor.day,
        "until": anchor.until,
        "payments": anchor.payments,
        "entries": anchor.entries,
        "root": anchor.root,
    }
