"""On a schedule: count the payments in doubt, and start resolve for executions that nobody looks after."""

from datetime import datetime
from typing import Any

from functions.doubts.look_after import look_after_unattended
from functions.shared import runtime

FACTORIES = (
    runtime.ledger,
    runtime.executions,
    runtime.operation_executions,
    runtime.attendance,
    runtime.resolve_machine,
)


@runtime.function("doubts", uses=FACTORIES, payment_id=lambda event: None)
def handler(event: runtime.Event) -> dict[str, Any]:
    doubts, now = runtime.ledger().doubts(), runtime.now()
    age = datetime.fromisoformat(now) - datetime.fromisoformat(doubts.oldest_since or now)
    runtime.count("PaymentsInDoubt", doubts.count)
    runtime.duration("OldestDoubtSeconds", age.total_seconds())
    # The metrics above are written even if this call fails.
    checked = look_after_unattended(
        {"payment": runtime.executions(), "operation": runtime.operation_executions()},
        attendance=runtime.attendance(),
        resolve=runtime.resolve_machine(),
        now=now,
    )
    runtime.count("UnattendedExecutions", checked.started)
    return {
        "count": doubts.count,
        "oldest_since": doubts.oldest_since,
        "unattended": checked.started,
        "checked_until": checked.until,
    }
