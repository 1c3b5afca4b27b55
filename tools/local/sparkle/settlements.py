"""The settlement report of one day: its lines page by page, and control totals over all of them."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import date

from tools.local.sparkle.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class SettlementLine:
    """One movement of a day's settlement: the charge or refund `id`. `amount_minor` is negative for a refund."""

    id: str
    charge_id: str
    reference: str
    refund_reference: str | None
    type: str
    amount_minor: int
    fee_minor: int
    currency: str
    settled_at: str


@dataclass(frozen=True, slots=True)
class SettlementTotal:
    """What all lines in one currency sum up to."""

    currency: str
    amount_minor: int
    fee_minor: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """A page of a day's lines. `line_count` and `totals` are the whole day's; the last page has no `next_cursor`."""

    date: str
    lines: list[SettlementLine]
    line_count: int
    totals: list[SettlementTotal]
    next_cursor: str | None


def report(day: date, lines: list[SettlementLine], start: int, limit: int) -> Settlement:
    """The page of at most `limit` of the day's lines that begins with the line number `start`, counted from 0."""
    end = start + limit
    return Settlement(
        date=day.isoformat(),
        lines=lines[start:end],
        line_count=len(lines),
        totals=[_total(currency, lines) for currency in sorted({line.currency for line in lines})],
        next_cursor=_cursor(day, end) if end < len(lines) else None,
    )


def start_of(cursor: str | None, day: date) -> int:
    """Where the cursor's page begins; 0 without one. Raises InvalidRequest for a cursor that this day never gave."""
    if cursor is None:
        return 0
    with suppress(ValueError):
        start = int(bytes.fromhex(cursor).removeprefix(f"{day} ".encode()))
        if start > 0 and cursor == _cursor(day, start):
            return start
    raise InvalidRequest("cursor is none that this date's report gave.", reason="invalid_field")


def _cursor(day: date, start: int) -> str:
    """Opaque on the wire, so that it may become something else one day."""
    return f"{day} {start}".encode().hex()


def _total(currency: str, lines: list[SettlementLine]) -> SettlementTotal:
    own = [line for line in lines if line.currency == currency]
    return SettlementTotal(currency, sum(line.amount_minor for line in own), sum(line.fee_minor for line in own))
