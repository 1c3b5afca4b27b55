"""State `Compare`: takes a day and a step's cursor, and returns the next step's cursor or the number of breaks."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from functions.reconcile.reconcile_day import FIRST_STEP, Cursor, Reconciliation
from functions.shared import runtime


@runtime.function(
    "reconcile",
    uses=(
        runtime.ledger,
        runtime.books_mac,
        runtime.gateways,
        runtime.books,
        runtime.breaks,
        runtime.executions,
    ),
    payment_id=lambda event: None,
)
def handler(event: runtime.Event) -> dict[str, Any]:
    day = event["day"] or (datetime.fromisoformat(event["started_at"]) - timedelta(days=1)).date().isoformat()
    reconciliation = Reconciliation(
        day=day,
        run=event["run"],
        now=runtime.now(),
        gateways=runtime.gateways(),
        ledger=runtime.ledger(),
        books=runtime.books(),
        breaks=runtime.breaks(),
        executions=runtime.executions(),
        count=runtime.count,
    )
    next_cursor = reconciliation.step(Cursor(**event["cursor"]) if event["cursor"] else FIRST_STEP)
    breaks = 0
    if next_cursor is None:
        breaks = len(reconciliation.found())
        runtime.count("ReconciliationBreaks", breaks)
    return {
        "day": day,
        "cursor": asdict(next_cursor) if next_cursor else None,
        "done": next_cursor is None,
        "breaks": breaks,
    }
