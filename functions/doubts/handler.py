"""On a schedule: how many payments are in doubt, and for how long."""

from datetime import datetime
from typing import Any

from functions.shared import runtime


@runtime.function("doubts", uses=(runtime.ledger,), payment_id=lambda event: None)
def handler(event: runtime.Event) -> dict[str, Any]:
    doubts, now = runtime.ledger().doubts(), runtime.now()
    age = datetime.fromisoformat(now) - datetime.fromisoformat(doubts.oldest_since or now)
    runtime.count("PaymentsInDoubt", doubts.count)
    runtime.duration("OldestDoubtSeconds", age.total_seconds())
    return {"count": doubts.count, "oldest_since": doubts.oldest_since}
