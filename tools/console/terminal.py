"""Shows a payment in the terminal: its path through the states as a bar chart over time, its ledger entries and its
events."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tools.console.graph import MARKS
from tools.console.history import History, Outcome, Visit, seconds_text
from tools.console.pages import now
from tools.console.payments import PaymentDetails, Summary
from tools.console.records import Entry, PaymentEvent, money
from tools.console.timeline import Row, rows
from tools.output import table
from tools.times import time_text

_MIN_BAR_WIDTH, _MAX_BAR_WIDTH = 12, 44
_OTHER_COLUMNS_WIDTH = 78

_STYLES = {
    Outcome.SUCCEEDED: "green",
    Outcome.CAUGHT: "yellow",
    Outcome.FAILED: "red",
    Outcome.STOPPED: "red",
    Outcome.RUNNING: "blue",
}
_BARS = {
    "attempt": ("━", "green"),
    "step": ("━", "green"),
    "failed": ("━", "yellow"),
    "retry": ("·", "dim"),
    "wait": ("─", "blue"),
}
_STATUS_STYLES = {
    **dict.fromkeys(("captured", "authorized", "stored"), "green"),
    **dict.fromkeys(("in_doubt", "reversed"), "yellow"),
    "rejected": "red",
    **dict.fromkeys(("processing", "action_required"), "blue"),
}


def show(details: PaymentDetails, operations: Mapping[str, History], console: Console) -> None:
    """Print everything about a payment or an execution.

    `operations` maps a title to the history of each of the payment's refunds, captures and voids.
    """
    console.print(*_head(details), sep="\n", highlight=False, soft_wrap=True)
    if details.history:
        bar_width = min(max(console.width - _OTHER_COLUMNS_WIDTH, _MIN_BAR_WIDTH), _MAX_BAR_WIDTH)
        console.print(_states("States", details.history, bar_width))
        for name, history in operations.items():
            console.print(_states(name, history, bar_width))
    if details.entries:
        console.print(_entries(details.entries))
    elif details.summary:
        console.print(details.no_entries_text if details.record else "The ledger has no record of this payment.")
    if details.events:
        console.print(_events(details.events))


def show_list(day: date | None, reference: str | None, payments: Sequence[Summary], console: Console) -> None:
    """Print the payments of a day, or with a merchant's reference, or both, one per line."""
    which = [f"on {day}"] * (day is not None) + [f"with the reference {reference}"] * (reference is not None)
    columns = ("started (UTC)", "status", "reference", "card", "payment")
    grid = table(f"Payments {' '.join(which)}", columns, ("amount",))
    for each in payments:
        status = Text(each.status, style=_STATUS_STYLES.get(each.status, ""))
        if each.reason:
            status.append(f" {each.reason}", style="dim")
        if each.wait:
            status.append(f" since {each.wait.since.astimezone(UTC):%H:%M:%S}", style="dim")
        grid.add_row(
            time_text(each.started_at, "seconds")[11 if day else 0 :],
            status,
            Text(each.merchant_reference or ""),
            f"{each.brand} •••• {each.last4}" if each.last4 else "",
            each.payment_id,
            money(each.amount_minor, each.currency),
        )
    console.print(grid if payments else f"No payments {' '.join(which)}.", highlight=False, markup=False)


def _head(details: PaymentDetails) -> Iterator[RenderableType]:
    summary, execution = details.summary, details.execution
    title = Text(details.name, style="bold")
    if summary:
        title.append(f"  {summary.status}", style=_STATUS_STYLES.get(summary.status, ""))
        card = f"{summary.brand} •••• {summary.last4}" if summary.last4 else ""
        amount = money(summary.amount_minor, summary.currency)
        facts = (summary.reason, amount, card, summary.merchant_reference, summary.gateway)
        title.append("".join(f"  {fact}" for fact in facts if fact), style="not bold")
    yield title
    if summary and summary.wait:
        wait = summary.wait
        until = f", until {time_text(wait.until, 'seconds')}" if wait.until else ""
        charge = f": charge {wait.charge_id} at {wait.gateway}" if wait.charge_id else ""
        yield Text(f"waiting for the customer since {time_text(wait.since, 'seconds')}{until} UTC{charge}")
    if execution:
        ended = (execution["status"], execution["error"], execution["cause"])
        yield Text(" · ".join(part for part in ended if isinstance(part, str)), style="dim")
        yield Text(str(execution["executionArn"]), style="dim")
    record = details.record or {}
    if record.get("caller"):
        yield Text(f"requested by {record['caller']}", style="dim")
    for operation in record.get("operations", []):
        origin = f" · requested by {operation['caller']}" if operation.get("caller") else ""
        if operation.get("source"):
            origin = " · done at the gateway"
        amount = money(operation.get("amount_minor"), record.get("currency"))
        yield Text(f"{operation['type']} {amount} · {operation['status']}{origin}", style="dim")
    for dispute in record.get("disputes", []):
        amount = money(dispute["amount_minor"], record.get("currency"))
        yield Text(
            f"dispute {amount} · {dispute['status']} · {dispute['reason']} · {dispute['dispute_id']}", style="dim"
        )
    yield ""


def _states(name: str, history: History, bar_width: int) -> Table:
    at = now()
    took = seconds_text(history.duration(at).total_seconds())
    title = f"{name}, {took}{'' if history.ended_at else ' so far'}"
    columns = ("", "state", "0".ljust(bar_width - len(took)) + took)
    grid = table(title, columns, ("took",))
    grid.add_column("errors on the way", overflow="fold")
    for row in rows(history, at):
        style = _STYLES[row.visit.outcome]
        mark = Text(MARKS[row.visit.outcome], style=style)
        grid.add_row(mark, row.visit.state, _bar(row, bar_width), seconds_text(row.seconds), _errors(row.visit))
    return grid


def _bar(row: Row, width: int) -> Text:
    """Draw the row's bars in characters; each bar is at least one character long."""
    cells: list[tuple[str, str]] = [(" ", "")] * width
    # Draw the pauses first, so that they never hide a call.
    for bar in sorted(row.bars, key=lambda bar: bar.kind != "retry"):
        first_cell = min(int(bar.start * width), width - 1)
        for place in range(first_cell, min(max(first_cell + 1, round((bar.start + bar.length) * width)), width)):
            cells[place] = _BARS[bar.kind]
    if row.visit.outcome is Outcome.FAILED:
        cells = [(character, "red" if style == "green" else style) for character, style in cells]
    return Text.assemble(*cells)


def _errors(visit: Visit) -> RenderableType:
    if not visit.errors:
        return ""
    lines = [f"{error} ×{times}" if times > 1 else error for error, times in Counter(visit.errors).items()]
    end = {Outcome.CAUGHT: "caught", Outcome.SUCCEEDED: "then succeeded"}.get(visit.outcome, visit.outcome.value)
    return Group(*map(escape, lines[:-1]), Text.assemble(lines[-1], ", ", (end, _STYLES[visit.outcome])))


def _entries(entries: list[Entry]) -> Table:
    grid = table("Ledger", ("entry", "posted (UTC)", "account"), ("debit", "credit"))
    for entry in entries:
        label = f"{entry.number} {entry.kind}" + (f" of {entry.reverses}" if entry.reverses is not None else "")
        for posting in entry.postings:
            amounts = {posting.direction: money(posting.amount_minor, posting.currency)}
            grid.add_row(
                label, time_text(entry.posted_at), posting.account, amounts.get("debit"), amounts.get("credit")
            )
            label = ""
        grid.add_section()
    return grid


def _events(events: Sequence[PaymentEvent]) -> Table:
    grid = table("Events", ("version", "type", "time (UTC)"))
    for event in events:
        grid.add_row(str(event.version), event.type, time_text(event.at))
    return grid
