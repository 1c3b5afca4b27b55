"""The settlement report of one day: its lines page by page, and control totals over all of them."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import date

from tools.local.sparkle.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class SettlementLine:
    """One movement of a day's settlement. `id` is the charge's, refund's or dispute's; the amount of a refund, and of a
    dispute that is opened, is negative."""

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
    """The sums of all lines in one currency."""

    currency: str
    amount_minor: int
    fee_minor: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """A page of a day's lines. `line_count` and `totals` cover the whole day; the last page has no `next_cursor`."""

    date: str
    lines: list[SettlementLine]
    line_count: int
    totals: list[SettlementTotal]
    next_cursor: str | None


def report(day: date, lines: list[SettlementLine], start: int, limit: int) -> Settlement:
    """Return the page of at most `limit` lines that begins with line number `start`, counted from 0."""
    end = start + limit
    return Settlement(
        date=day.isoformat(),
        lines=lines[start:end],
        line_count=len(lines),
        totals=[_total(currency, lines) for currency in sorted({line.currency for line in lines})],
        next_cursor=_cursor(day, end) if end < len(lines) else None,
    )


def start_of(cursor: str | None, day: date) -> int:
    """Return the number of the first line of the cursor's page, or 0 without a cursor.

    Raises InvalidRequest if the cursor is not from this day's report.
    """
    if cursor is None:
        return 0
    with suppress(ValueError):
        start = int(bytes.fromhex(cursor).removeprefix(f"{day} ".encode()))
        if start > 0 and cursor == _cursor(day, start):
            return start
    raise InvalidRequest("cursor was not issued for this date's report.", reason="invalid_field")


def _cursor(day: date, start: int) -> str:
    """Make an opaque cursor, so that its content can change one day."""
    return f"{day} {start}".encode().hex()


def _total(currency: str, lines: list[SettlementLine]) -> SettlementTotal:
    of_currency = [line for line in lines if line.currency == currency]
    return SettlementTotal(
        currency, sum(line.amount_minor for line in of_currency), sum(line.fee_minor for line in of_currency)
    )
