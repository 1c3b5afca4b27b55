"""The recorded payments that match a search, newest first, in pages."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import chain, islice
from typing import Any, get_args

from functions.shared.domain.payment import Payment, Status
from functions.shared.domain.payment_body import payment_body
from functions.shared.domain.shapes import is_id
from functions.shared.domain.times import end_of_day, iso, start_of_day
from functions.shared.ports import Ledger, PaymentIndex, Position

STATUSES: tuple[Status, ...] = get_args(Status)
PARAMETERS = ("merchant_reference", "status", "from", "to", "limit", "cursor")

DEFAULT_LIMIT, MAX_LIMIT = 50, 100
"""The number of payments on a page."""

MAX_REFERENCE_LENGTH = 64
"""The longest reference that a payment may have (contracts/definitions.json)."""

MAX_DAYS = 366
"""The most days that a search without a reference may cover."""

MAX_DAYS_READ, MAX_RECORDS_READ = 7, 500
"""The most days and records that are read for a page. A page may end early because of them, even without a payment."""

_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_TIME = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z")
_BEGINNING = "0001-01-01T00:00:00.000Z"


class InvalidSearch(Exception):
    """The request breaks the rule of this name: of a parameter, of a `time`, of the `period`, or
    of the `names` of the parameters."""


@dataclass(frozen=True, slots=True)
class Criteria:
    """What to search for. `since` and `until` are times (UTC, ISO 8601), both inclusive. The page has the payments that
    are older than `before`."""

    reference: str | None
    status: Status | None
    since: str
    until: str
    limit: int
    before: Position | None

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str], now: str) -> "Criteria":
        """Read a request's query string. Raises InvalidSearch."""
        if not parameters.keys() <= set(PARAMETERS):
            raise InvalidSearch("names")
        reference, status = parameters.get("merchant_reference"), _status(parameters.get("status"))
        if reference is not None and not 0 < len(reference) <= MAX_REFERENCE_LENGTH:
            raise InvalidSearch("merchant_reference")
        before = _cursor(parameters.get("cursor"))
        # The next page is of the first page's search, although the day may have ended in between.
        day = (before.created_at if before else now)[:10]
        until = _moment(parameters["to"], end_of_day) if "to" in parameters else end_of_day(day)
        if "from" in parameters:
            since = _moment(parameters["from"], start_of_day)
        else:
            since = _BEGINNING if reference else start_of_day(until[:10])
        if since > until or (not reference and len(_days(since, until)) > MAX_DAYS):
            raise InvalidSearch("period")
        return cls(reference, status, since, until, _limit(parameters.get("limit")), before)

    def matches(self, payment: Payment) -> bool:
        return self.status in (None, payment.status)


def search_payments(criteria: Criteria, *, index: PaymentIndex, ledger: Ledger) -> dict[str, Any]:
    """A page as `GET /payments` shows it: `{"payments": […], "next_cursor"}`. Raises LedgerUnavailable.

    The index may be a moment behind the records, which decide.
    """
    positions, rest = _positions(criteria, index)
    found: list[Payment] = []
    last: Position | None = None
    for _ in range(MAX_RECORDS_READ // criteria.limit):
        batch = list(islice(positions, criteria.limit - len(found)))
        records = ledger.payments([position.payment_id for position in batch])
        in_order = (records[position.payment_id] for position in batch if position.payment_id in records)
        found += filter(criteria.matches, in_order)
        last = batch[-1] if batch else last
        if not batch or len(found) == criteria.limit:
            break
    following = last if next(positions, None) else rest
    return {
        "payments": [payment_body(payment) for payment in found],
        "next_cursor": _opaque(following) if following else None,
    }


def _positions(criteria: Criteria, index: PaymentIndex) -> tuple[Iterator[Position], Position | None]:
    """The positions to read for this page, newest first, and where the next page goes on after the last of them."""
    before = criteria.before or Position(criteria.until, "~")
    until, rest = min(criteria.until, before.created_at), None
    if until < criteria.since:
        return iter(()), None
    if criteria.reference:
        positions = index.with_reference(criteria.reference, criteria.since, until)
    else:
        days = _days(criteria.since, until)
        if days[MAX_DAYS_READ:]:
            rest = Position(start_of_day(days[MAX_DAYS_READ - 1]), "")
        positions = chain.from_iterable(
            index.on(day, criteria.status, criteria.since, until) for day in days[:MAX_DAYS_READ]
        )
    return (position for position in positions if position < before), rest


def _days(since: str, until: str) -> list[str]:
    """The days between these times, newest first."""
    first_day, last_day = date.fromisoformat(since[:10]), date.fromisoformat(until[:10])
    return [(last_day - timedelta(n)).isoformat() for n in range((last_day - first_day).days + 1)]


def _status(text: str | None) -> Status | None:
    if text is None:
        return None
    for status in STATUSES:
        if status == text:
            return status
    raise InvalidSearch("status")


def _moment(text: str, of_day: Callable[[str], str]) -> str:
    try:
        if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return of_day(date.fromisoformat(text).isoformat())
        if _RFC_3339.fullmatch(text):
            return iso(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        pass
    raise InvalidSearch("time")


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if re.fullmatch("[1-9][0-9]{0,2}", text) and int(text) <= MAX_LIMIT:
        return int(text)
    raise InvalidSearch("limit")


def _opaque(position: Position) -> str:
    return urlsafe_b64encode(str(position).encode()).decode().rstrip("=")


def _cursor(text: str | None) -> Position | None:
    if text is None:
        return None
    try:
        position = Position.read(urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode())
        is_time = _TIME.fullmatch(position.created_at) and datetime.fromisoformat(position.created_at)
        if is_time and (position.payment_id == "" or is_id(position.payment_id)):
            return position
    except ValueError:
        pass
    raise InvalidSearch("cursor")
