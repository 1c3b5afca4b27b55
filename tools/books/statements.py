"""The books in the terminal: trial balance, account statement, and a payment's T-accounts."""

import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from itertools import zip_longest

from rich import box
from rich.columns import Columns
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from functions.shared.domain.ledger import Direction, PostedEntry, Posting
from functions.shared.domain.times import end_of_day
from functions.shared.ports import AccountPosting
from tools.books.money import amount_text, money
from tools.books.reading import (
    BooksReader,
    LedgerError,
    Totals,
    day_before,
    days,
    parse_period,
    parse_time,
)
from tools.output import print_json, table
from tools.times import time_text

# The index lags behind the table, and may show half of an entry. The statement is then read again after these seconds.
REREAD_PAUSES_SECONDS = (1, 4)


def trial_balance(books: BooksReader, as_of: str | None, console: Console, *, as_json: bool = False) -> bool:
    """Print each account's balance. Returns whether debits equal credits. Raises LedgerError."""
    until = parse_time(as_of)
    with console.status("Adding up the closed days") as status:

        def totals_now() -> Totals:
            return books.totals(until, on_day=lambda day: status.update(f"Adding up {day}, which is not closed"))

        totals = totals_now()
        for pause in REREAD_PAUSES_SECONDS:
            if any(_imbalances(totals).values()):
                time.sleep(pause)
                totals = totals_now()
    imbalances = _imbalances(totals)
    if as_json:
        print_json({"as_of": until, "accounts": _balances(totals)})
        return not any(imbalances.values())
    if not imbalances:
        console.print(f"Nothing was posted by {time_text(until)} UTC.", highlight=False)
        return True
    console.print(_trial_balance_table(totals, books.accounts, until))
    out_of_balance = {currency: amount for currency, amount in imbalances.items() if amount}
    if out_of_balance:
        differences = ", ".join(money(amount, currency) for currency, amount in out_of_balance.items())
        console.print(f"[red]Out of balance:[/red] debits minus credits are {differences}.", highlight=False)
        console.print("Run make verify-ledger to find what is wrong.")
    else:
        console.print(f"[green]In balance:[/green] debits equal credits in {', '.join(imbalances)}.", highlight=False)
    return not out_of_balance


def statement(
    books: BooksReader, account: str, first: str | None, last: str | None, console: Console, *, as_json: bool = False
) -> None:
    """Print an account's postings of a period, with its balance before and after. Raises LedgerError."""
    if account not in books.accounts:
        raise LedgerError(f"There is no account {account!r}. The accounts are {', '.join(books.accounts)}.")
    begin, end = parse_period(first, last)
    with console.status("Adding up what was before") as status:
        before = books.totals(
            end_of_day(day_before(begin)), [account], lambda day: status.update(f"Adding up {day}, which is not closed")
        )
        lines: defaultdict[str, list[AccountPosting]] = defaultdict(list)
        for day in days(max(begin, books.first_day), end):
            status.update(f"Reading {day}")
            for posted in books.postings(account, day):
                lines[posted.posting.currency].append(posted)
    period = begin if begin == end else f"{begin} to {end}"
    currencies = sorted({currency for _, currency, _ in before} | set(lines))
    if as_json:
        postings = [asdict(posted) for currency in currencies for posted in lines[currency]]
        print_json({"account": account, "from": begin, "to": end, "before": _balances(before), "postings": postings})
        return
    for currency in currencies:
        opening = before[account, currency, "debit"] - before[account, currency, "credit"]
        console.print(_statement_table(f"{account} in {currency}, {period}", currency, opening, lines[currency]))
    if not currencies:
        console.print(f"{account} has no postings by {end}.", highlight=False)


def payment(books: BooksReader, payment_id: str, console: Console, *, as_json: bool = False) -> None:
    """Print a payment's entries, and each account they are posted to as a T. Raises LedgerError."""
    recorded = books.payment(payment_id)
    if as_json:
        print_json({"payment_id": payment_id, "status": recorded.payment.status, "entries": recorded.entries})
        return
    console.print(f"[bold]{payment_id}[/bold]  {recorded.payment.status}", highlight=False)
    if not recorded.entries:
        operations = [operation.status for operation in recorded.payment.operations]
        console.print(no_entries_text(recorded.payment.status, operations), soft_wrap=True)
        return
    console.print(_entries_table(recorded.entries))
    sides: defaultdict[tuple[str, str], list[tuple[PostedEntry, Posting]]] = defaultdict(list)
    for posted in recorded.entries:
        for posting in posted.entry.postings:
            sides[posting.account, posting.currency].append((posted, posting))
    console.print(Columns((_t_account(*account, postings) for account, postings in sides.items()), padding=(1, 3)))


def no_entries_text(status: str, operations: Collection[str]) -> str:
    """Why a payment of this status, with operations of these statuses, has no journal entries: the journal holds money
    that moved, not money that is held at the cardholder's bank."""
    if "in_doubt" in (status, *operations):
        why = "whether the gateway holds or has taken money is not known yet"
    elif "processing" in operations:
        why = "an operation is under way, and money may move with it"
    elif status == "authorized":
        why = "the gateway holds money, and none has moved"
    else:
        why = "no money has moved"
    return f"It has no entries: {why}."


def _balances(totals: Totals) -> list[dict[str, object]]:
    """Each account's balance in each currency, for JSON."""
    return [
        {
            "account": account,
            "currency": currency,
            "debit_minor": totals[account, currency, "debit"],
            "credit_minor": totals[account, currency, "credit"],
        }
        for account, currency in sorted({(account, currency) for account, currency, _ in totals})
    ]


def _imbalances(totals: Totals) -> dict[str, int]:
    """Debits less credits over all accounts, by currency."""
    imbalances: defaultdict[str, int] = defaultdict(int)
    for (_, currency, direction), amount in totals.items():
        imbalances[currency] += amount if direction == "debit" else -amount
    return dict(sorted(imbalances.items()))


def _trial_balance_table(totals: Totals, accounts: Sequence[str], until: str) -> Table:
    grid = table(f"Trial balance, {time_text(until)} UTC", ("currency", "account"), ("debits", "credits", "balance"))
    for currency in _imbalances(totals):
        sides = [(totals[account, currency, "debit"], totals[account, currency, "credit"]) for account in accounts]
        for account, (debits, credits) in zip(accounts, sides, strict=True):
            if debits or credits:
                grid.add_row(currency, account, *_amount_texts(currency, debits, credits, debits - credits))
        debits, credits = map(sum, zip(*sides, strict=True))
        total = _amount_texts(currency, debits, credits, debits - credits)
        grid.add_row(currency, "total", *total, style="bold", end_section=True)
    return grid


def _statement_table(title: str, currency: str, opening: int, lines: Iterable[AccountPosting]) -> Table:
    grid = table(title, ("time (UTC)", "payment", "kind", "for"), ("debit", "credit", "balance"))
    grid.add_row("opening balance", "", "", "", "", "", amount_text(opening, currency), style="bold", end_section=True)
    balance, sums = opening, {"debit": 0, "credit": 0}
    for posted in lines:
        posting = posted.posting
        balance += posting.signed_minor
        sums[posting.direction] += posting.amount_minor
        amount = amount_text(posting.amount_minor, currency)
        sides = (amount, "") if posting.direction == "debit" else ("", amount)
        labels = (time_text(posted.posted_at), posted.payment_id, posted.kind, escape(posted.source or ""))
        grid.add_row(*labels, *sides, amount_text(balance, currency))
    grid.add_section()
    closing = _amount_texts(currency, sums["debit"], sums["credit"], balance)
    grid.add_row("closing balance", "", "", "", *closing, style="bold")
    return grid


def _entries_table(entries: Iterable[PostedEntry]) -> Table:
    grid = table("Entries", ("entry", "kind", "time (UTC)", "for", "reverses"))
    for posted in entries:
        entry = posted.entry
        reverses = str(entry.reverses or "")
        grid.add_row(str(posted.number), entry.kind, time_text(posted.posted_at), escape(entry.source or ""), reverses)
    return grid


def _t_account(account: str, currency: str, postings: Iterable[tuple[PostedEntry, Posting]]) -> Table:
    """An account as a T: debits left, credits right, and the balance below on its side."""
    sides: dict[Direction, list[str]] = {"debit": [], "credit": []}
    balance = 0
    for posted, posting in postings:
        amount = amount_text(posting.amount_minor, currency)
        sides[posting.direction].append(f"{posted.number} {posted.entry.kind}  {amount}")
        balance += posting.signed_minor
    balance_text = f"balance  {amount_text(abs(balance), currency)}"
    t_account = table(f"{account}, {currency}", (), ("debit", "credit"))
    t_account.box, t_account.show_footer, t_account.min_width = box.MINIMAL, True, 40
    for column, has_balance in zip(t_account.columns, (balance >= 0, balance < 0), strict=True):
        column.footer, column.ratio = balance_text if has_balance else "", 1
    for debit, credit in zip_longest(sides["debit"], sides["credit"], fillvalue=""):
        t_account.add_row(debit, credit)
    return t_account


def _amount_texts(currency: str, *amounts: int) -> Iterable[str]:
    return (amount_text(amount, currency) for amount in amounts)
