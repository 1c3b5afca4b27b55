"""Read a stack's books day by day, as accountants do. Days (YYYY-MM-DD) and times (ISO 8601) are in UTC."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby, islice
from operator import attrgetter
from typing import Any, Self

from functions.shared.adapters.table.books import DynamoDbBooks
from functions.shared.adapters.table.keys import payment_pk
from functions.shared.adapters.table.ledger import DynamoDbLedger
from functions.shared.domain.ledger import Direction, PostedEntry, chart_of_accounts, turnover
from functions.shared.domain.payment import Payment
from functions.shared.domain.times import end_of_day, iso, now
from functions.shared.ports import AccountPosting, Books, DayTotals, Ledger, RecordedPayment
from tools.deployment.stack import Stack
from tools.times import parsed_day, parsed_time, time_text

_BATCH = 100

Item = Mapping[str, Any]
"""An item of a table in Python types."""

Totals = Counter[tuple[str, str, Direction]]
"""Debits and credits in minor units, by account and currency."""


class LedgerError(Exception):
    """The ledger can't answer the request; the message says why."""


def add_day_totals(totals: Totals, day: DayTotals) -> None:
    """Add a day's totals."""
    for account, by_currency in day.items():
        for currency, (debits, credits) in by_currency.items():
            totals[account, currency, "debit"] += debits
            totals[account, currency, "credit"] += credits


@dataclass(frozen=True, slots=True)
class BooksReader:
    """The books, open for reading: those of `accounts`, the chart of accounts. They are empty before `first_day`."""

    ledger: Ledger
    books: Books
    first_day: str
    accounts: tuple[str, ...]

    @classmethod
    def of(cls, stack: Stack) -> Self:
        client = stack.client("dynamodb")
        books = DynamoDbBooks(client, stack.ledger_table)
        created: datetime = client.describe_table(TableName=stack.ledger_table)["Table"]["CreationDateTime"]
        with _ledger_error_if_damaged("a closed day"):
            first_day = first_day_of(books, created.astimezone(UTC).date().isoformat())
        return cls(DynamoDbLedger(client, stack.ledger_table), books, first_day, accounts_of(stack))

    def closed_days(self, last: str) -> dict[str, DayTotals]:
        """The closed days up to `last`. Raises LedgerError if one differs from what was written."""
        if last < self.first_day:
            return {}
        with _ledger_error_if_damaged("a closed day"):
            return self.books.closed_days(self.first_day, last)

    def postings(self, account: str, day: str) -> Iterator[AccountPosting]:
        """An account's postings of a day in chronological order. Raises LedgerError if one differs from what was
        written."""
        with _ledger_error_if_damaged(f"a posting to {account} of {day}"):
            yield from self.books.postings(account, day)

    def totals(
        self, until: str, accounts: Sequence[str] = (), on_day: Callable[[str], None] = lambda day: None
    ) -> Totals:
        """What was posted up to and including `until`, to all accounts unless some are given. `on_day` is called for
        each day whose postings have to be read."""
        accounts, last = accounts or self.accounts, until[:10]
        totals, closed = Totals(), self.closed_days(last)
        if until < end_of_day(last):
            closed.pop(last, None)
        for day in closed.values():
            add_day_totals(totals, {account: day[account] for account in accounts if account in day})
        for open_day in (day for day in days(self.first_day, last) if day not in closed):
            on_day(open_day)
            postings = (posted for account in accounts for posted in self.postings(account, open_day))
            add_day_totals(totals, turnover(posted.posting for posted in postings if posted.posted_at <= until))
        return totals

    def entries(self, day: str) -> Iterator[tuple[PostedEntry, Payment]]:
        """A day's entries with their payments, in chronological order.

        Raises LedgerError if one differs from what was written.
        """
        entry = attrgetter("posted_at", "payment_id", "number")
        postings = heapq.merge(*(self.postings(account, day) for account in self.accounts), key=entry)
        entry_ids = ((payment_id, number) for (_, payment_id, number), _ in groupby(postings, key=entry))
        while batch := list(islice(entry_ids, _BATCH)):
            with _ledger_error_if_damaged(f"an entry of {day}"):
                entries = self.ledger.entries(batch)
                payments = self.ledger.payments({payment_id for payment_id, _ in batch})
                yield from [(entries[number], payments[number[0]]) for number in batch]

    def payment(self, payment_id: str) -> RecordedPayment:
        """Raises LedgerError if the payment is missing, or differs from what was written."""
        with _ledger_error_if_damaged(f"the payment {payment_id}"):
            recorded = self.ledger.find(payment_id)
        if recorded is None:
            raise LedgerError(f"The ledger has no payment {payment_id}.")
        return recorded


def accounts_of(stack: Stack) -> tuple[str, ...]:
    """The chart of accounts of the stack's ledger. Raises StackError if the stack file lacks the gateways."""
    return chart_of_accounts(stack.gateway_names)


def first_day_of(books: Books, created: str) -> str:
    """The first day that may have postings: the day the table was created, or an earlier day whose close is not empty.
    A table restored from a backup is younger than its books."""
    first_day = created
    while earlier := [
        day
        for day, totals in books.closed_days(f"{int(first_day[:4]) - 1}-01-01", day_before(first_day)).items()
        if totals
    ]:
        first_day = min(earlier)
    return first_day


def read_items(client: Any, operation: str, table: str, **arguments: Any) -> Iterator[dict[str, Any]]:
    """Yield all items of a `scan` or a `query` as the client gives them, unvalidated. Pages are read as needed."""
    for page in client.get_paginator(operation).paginate(TableName=table, **arguments):
        yield from page["Items"]


def items_of_payment(client: Any, table: str, payment_id: str) -> Iterator[dict[str, Any]]:
    """Yield all items of a payment. The client is that of a boto3 resource, which takes and gives Python types."""
    values = {":pk": payment_pk(payment_id)}
    return read_items(
        client,
        "query",
        table,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues=values,
        ConsistentRead=True,
    )


@contextmanager
def _ledger_error_if_damaged(what: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError):
        raise LedgerError(f"In the ledger, {what} is damaged. Run make verify-ledger to find what is wrong.") from None


# -- Days and times


def parse_day(text: str | None) -> str:
    """A day that has begun; today if None. Raises LedgerError."""
    today = now()[:10]
    if text is None:
        return today
    try:
        parsed_day(text)
    except ValueError:
        raise LedgerError(f"{text!r} is not a day. Write it like {today} (UTC).") from None
    if text > today:
        raise LedgerError(f"{text} has not begun; today is {today} (UTC).")
    return text


def parse_time(text: str | None) -> str:
    """A time in the past, or the end of a day, but at most now; now if None. Raises LedgerError."""
    moment = now()
    if text is None:
        return moment
    if len(text) <= len("2026-11-23"):
        return min(end_of_day(parse_day(text)), moment)
    try:
        at = iso(parsed_time(text))
    except ValueError:
        raise LedgerError(f"{text!r} is not a time. Write a day like {moment[:10]}, or a time like {moment}.") from None
    if at > moment:
        raise LedgerError(f"{text} is in the future; it is now {time_text(moment)} UTC.")
    return at


def parse_period(first: str | None, last: str | None) -> tuple[str, str]:
    """A period's first and last day; each is today if None. Raises LedgerError."""
    period = parse_day(first), parse_day(last)
    if period[0] > period[1]:
        raise LedgerError(f"{period[0]} is later than {period[1]}: the period contains no day.")
    return period


def days(first: str, last: str) -> Iterator[str]:
    """Each day from the first to the last."""
    begin = date.fromisoformat(first)
    for n in range((date.fromisoformat(last) - begin).days + 1):
        yield (begin + timedelta(n)).isoformat()


def day_before(day: str) -> str:
    return (date.fromisoformat(day) - timedelta(days=1)).isoformat()
