"""Compare what a payment's executions, the ledger and the gateway say of it, and list the differences.

A payment whose execution still runs has no findings, since its money may be moving. While an operation on a payment is
open, its money at the gateway is not compared.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from functions.shared.adapters.table.keys import FIRST_ENTRY, FIRST_OPERATION, FIRST_POSTING, RECORD
from functions.shared.domain.adoption import adopted_id
from tools.books.flaws import first_flaw
from tools.books.money import money
from tools.books.reading import Item
from tools.output import counted

Money = dict[str, int]
"""Amounts in minor units by currency; zeros are left out."""

# The charge's possible statuses at the gateway (None: no charge) for each status in the ledger. In doubt allows any.
_CHARGE_STATUSES: dict[str, set[str | None]] = {
    "captured": {"captured"},
    "authorized": {"authorized"},
    "declined": {"declined", None},
    "stored": {None},
    "reversed": {"voided", "refunded", None},
    "voided": {"voided"},
    "refunded": {"refunded"},
    "partially_refunded": {"partially_refunded"},
}
_CAPTURED = {"captured", "partially_refunded", "refunded"}
_SUCCESSES = {*_CAPTURED, "authorized", "declined", "stored", "voided"}


class Kind(StrEnum):
    """The kinds of findings."""

    JOURNAL = "journal differs"  # an entry or a posting differs from what was posted, or is missing
    CHARGED_TWICE = "charged twice"  # more than one charge at the gateway took or holds money
    MONEY = "money differs"  # the ledger's net amount differs from the gateway's
    CHARGE = "charge differs"  # the ledger refers to another charge than the gateway has, or to another gateway
    INDEX = "index differs"  # it is in doubt but not in the index of doubts, or the other way round
    LEFT_OPEN = "left open"  # an operation's execution has ended, but the ledger still shows it as open
    NOT_ADOPTED = "not adopted"  # somebody changed the charge at the gateway, and the books don't show it yet
    LOST = "lost"  # it, or an operation on it, was accepted and has ended, but the ledger doesn't know it
    OUTCOME = "outcome differs"  # the execution succeeded, but the ledger shows another outcome
    RECORD = "record differs"  # the record contradicts its own entries or operations
    REVERSED_TWICE = "reversed twice"  # more was reversed than had been posted
    SETTLED_TWICE = "settled twice"  # a line of the gateway's report was posted more than once


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `payment_id` is None for a finding about all payments together."""

    payment_id: str | None
    kind: Kind
    expected: str
    found: str


@dataclass(slots=True)
class Evidence:
    """All that was read about one payment: its items by sort key, whether the index of doubts has it, and its charges.

    `execution`, and the executions of its operations by operation id, are in the form of ListExecutions, or of
    DescribeExecution if the ledger has no record of them.
    """

    payment_id: str
    execution: Item | None = None
    items: dict[str, Item] = field(default_factory=dict)
    in_index: bool = False
    charges: list[Item] = field(default_factory=list)
    operation_executions: dict[str, Item] = field(default_factory=dict)

    @property
    def is_unknown(self) -> bool:
        """Whether no source knows the payment."""
        return not (self.execution or self.items or self.in_index or self.charges or self.operation_executions)

    @property
    def record(self) -> Item | None:
        return self.items.get(RECORD)

    @property
    def status(self) -> str:
        """The status that the API shows, or `lost`."""
        if self.record:
            return str(self.record["status"])
        if self.is_running:
            waits = any(charge["status"] == "action_required" for charge in self.charges)
            return "action_required" if waits else "processing"
        return "rejected" if self.was_rejected else "lost"

    @property
    def was_rejected(self) -> bool:
        """Whether its execution ended without asking the gateway for money."""
        if self.execution is None or self.execution["status"] == "SUCCEEDED":
            return False
        request = json.loads(self.execution["input"])
        is_payment = isinstance(request, dict) and request.get("operation") != "store"
        asks_for_money = is_payment and isinstance(request.get("amount_minor"), int)
        return self.execution.get("error") == "PaymentRejected" or not asks_for_money

    @property
    def is_running(self) -> bool:
        return self.execution is not None and self.execution["status"] == "RUNNING"

    @property
    def is_settled(self) -> bool:
        """Whether ledger and gateway must agree by now."""
        return not (self.is_running or self.status == "in_doubt" or any(map(_is_open, self.operations())))

    def operations(self) -> list[Item]:
        """All operations: those within the record, and those in items of their own."""
        separate = [item for key, item in self.items.items() if key.startswith(FIRST_OPERATION)]
        return separate + list((self.record or {}).get("operations", []))

    def entries(self) -> dict[str, Item]:
        """The journal entries by number, in order."""
        entry_keys = [key for key in sorted(self.items) if key.startswith(FIRST_ENTRY)]
        return {key.removeprefix(FIRST_ENTRY): self.items[key] for key in entry_keys}

    def postings(self, entry: str = "") -> list[Item]:
        """The posting items of all entries, or of one."""
        return [self.items[key] for key in sorted(self.items) if key.startswith(FIRST_POSTING + entry)]

    def net_in_ledger(self) -> Money:
        """By the ledger: what the gateway has captured less what it has refunded and what is disputed, paid out or
        not."""
        moved = [posting for posting in self.postings() if posting.get("kind") != "settlement"]
        return _net(moved, "asset:gateway:")

    def net_at_gateway(self) -> Money:
        """By the gateway: what it has captured less what it has refunded, and what disputes have taken."""
        return _sum(
            (charge["currency"], charge["captured_minor"] - charge["refunded_minor"] - charge["disputed_minor"])
            for charge in self.charges
        )


def findings(evidence: Mapping[str, Evidence], with_gateway: bool) -> Iterator[Finding]:
    """All findings: payment by payment, then those about all together."""
    total_in_ledger: defaultdict[str, int] = defaultdict(int)
    total_at_gateway: defaultdict[str, int] = defaultdict(int)
    for payment in evidence.values():
        if payment.is_running:
            continue
        yield from _execution_findings(payment)
        yield from _ledger_findings(payment)
        if with_gateway:
            yield from _gateway_findings(payment)
        if payment.is_settled:
            for currency, amount in payment.net_in_ledger().items():
                total_in_ledger[currency] += amount
            for currency, amount in payment.net_at_gateway().items():
                total_at_gateway[currency] += amount
    in_ledger, at_gateway = _sum(total_in_ledger.items()), _sum(total_at_gateway.items())
    if with_gateway and in_ledger != at_gateway:
        yield Finding(None, Kind.MONEY, f"gateway {_show(at_gateway)}", f"ledger {_show(in_ledger)}")


def _execution_findings(payment: Evidence) -> Iterator[Finding]:
    """Every payment and operation that was started is recorded, or was rejected before money could move."""
    execution = payment.execution or {}
    ended = execution.get("status", "unknown")
    if payment.status == "lost":
        yield Finding(payment.payment_id, Kind.LOST, "a record", f"none; execution {ended}")
    elif ended == "SUCCEEDED" and payment.status not in _SUCCESSES:
        yield Finding(payment.payment_id, Kind.OUTCOME, "a success, as its execution", payment.status)
    statuses = {operation["operation_id"]: operation["status"] for operation in payment.operations()}
    pending = {operation["operation_id"] for operation in payment.operations() if operation.get("pending")}
    for name, operation in payment.operation_executions.items():
        ended, status = operation["status"], statuses.get(name)
        if status is None and payment.record and ended != "RUNNING" and operation.get("error") != "OperationRejected":
            yield Finding(payment.payment_id, Kind.LOST, f"a record of {name}", f"none; execution {ended}")
        elif status == "processing" and ended != "RUNNING" and name not in pending:
            yield Finding(payment.payment_id, Kind.LEFT_OPEN, f"an end of {name}", f"{status}; execution {ended}")
        elif ended == "SUCCEEDED" and status != "succeeded":
            yield Finding(payment.payment_id, Kind.OUTCOME, f"{name} a success, as its execution", str(status))


def _ledger_findings(payment: Evidence) -> Iterator[Finding]:
    """The journal is intact, as `payments ledger verify` defines it; nothing is posted twice; the record is its sum."""
    entries = payment.entries()
    for number, reversals in _reversals(entries).items():
        original = _posting_lines(entries[number]["postings"]) if number in entries else ()
        if [_posting_lines(entry["postings"], reverse=True) for entry in reversals] != [original]:
            found = f"{counted(len(reversals), 'entry undoes', 'entries undo')} it"
            yield Finding(payment.payment_id, Kind.REVERSED_TWICE, f"{number} undone once", found)
    settled = Counter(entry["source"].rpartition("@")[0] for entry in entries.values() if entry["kind"] == "settlement")
    for line, times in settled.items():
        if times > 1:
            yield Finding(payment.payment_id, Kind.SETTLED_TWICE, f"{line} settled once", counted(times, "time"))
    if payment.record:
        if flaw := first_flaw(payment.payment_id, payment.items):
            yield Finding(payment.payment_id, Kind.JOURNAL, "as it was written", f"{flaw.where} {flaw.what}")
        yield from record_findings(payment, payment.record, entries)
    elif payment.items:
        yield Finding(payment.payment_id, Kind.RECORD, "a record", f"{sorted(payment.items)} without one")


def record_findings(payment: Evidence, record: Item, entries: dict[str, Item]) -> Iterator[Finding]:
    def finding(what: str, expected: object, found: object) -> Iterator[Finding]:
        if expected != found:
            yield Finding(payment.payment_id, Kind.RECORD, f"{what} {expected}", f"{found}")

    def amount(minor: int) -> str:
        return _show({str(record.get("currency")): minor})

    status, operations = record["status"], payment.operations()
    in_doubt = status == "in_doubt" or any(operation["status"] == "in_doubt" for operation in operations)
    if payment.in_index is not in_doubt:
        found = "in the index of doubts" if payment.in_index else "not in the index of doubts"
        yield Finding(payment.payment_id, Kind.INDEX, "in doubt" if in_doubt else "no doubt", found)
    # All entries of one version of the record have the same time.
    times = len({entry["posted_at"] for entry in entries.values()})
    yield from finding("version", max(int(record["version"]), times, 1), int(record["version"]))
    captured, refunded = int(record["captured_minor"]), int(record["refunded_minor"])
    amounts_of = {
        kind: [
            int(each["amount_minor"])
            for each in operations
            if (each["type"], each["status"]) == (kind, "succeeded") and not each.get("charge_id")
        ]
        for kind in ("capture", "refund")
    }
    expected_capture = sum(amounts_of["capture"] or [int(record.get("amount_minor") or 0)])
    expected_capture = expected_capture if status in _CAPTURED else 0
    yield from finding(f"captured, being {status},", amount(expected_capture), amount(captured))
    yield from finding("refunded, by its refunds,", amount(sum(amounts_of["refund"])), amount(refunded))
    if status in _CAPTURED:
        as_refunded = {0: "captured", captured: "refunded"}.get(refunded, "partially_refunded")
        yield from finding(f"status, with {amount(refunded)} of {amount(captured)} refunded,", as_refunded, status)
    expected_entries, standing_entries = _expected_entries(record, operations, entries), _standing_entries(entries)
    yield from finding("entries that stand:", _joined(expected_entries), _joined(standing_entries))


def _expected_entries(record: Item, operations: list[Item], entries: dict[str, Item]) -> list[str]:
    """The entries, except settlements, that must stand if the record is right: what was done, and what is in doubt."""
    status, currency = record["status"], str(record.get("currency"))
    # After a void, nothing stands.
    moves = [each for each in operations if each["type"] != "void" and status != "voided"]
    expected = [_entry_text(each["type"], each, currency) for each in moves if each["status"] == "succeeded"]
    expected += [_entry_text("in_doubt", each, currency) for each in moves if each["status"] == "in_doubt"]
    if status in _CAPTURED and not any(entry.startswith("capture") for entry in expected):
        expected.append(_entry_text("capture", record, currency))
    # For a second charge, the capture and its refund both stand.
    expected += [_entry_text("capture", each, currency) for each in moves if each.get("charge_id")]
    for dispute in record.get("disputes", ()):
        kinds = {"open": ("dispute",), "lost": ("dispute", "dispute_lost"), "won": ()}[dispute["status"]]
        moved = {"amount_minor": dispute["amount_minor"], "operation_id": dispute["dispute_id"]}
        expected += [_entry_text(kind, moved, currency) for kind in kinds]
    # An authorization, or a payment that was stopped before its amount was known, posts nothing to suspense.
    if status == "in_doubt" and entries:
        expected.append(_entry_text("in_doubt", record, currency))
    return sorted(expected)


def _entry_text(kind: str, source: Item, currency: str) -> str:
    """The entry of a payment, an operation or a dispute, in the form that `_standing_entries` returns."""
    return f"{kind} of {_show({currency: int(source['amount_minor'])})} for {source.get('operation_id')}"


def _standing_entries(entries: dict[str, Item]) -> list[str]:
    """The entries that stand: neither reversals, nor reversed, nor settlements."""
    reversals = _reversals(entries)
    standing = [
        entry
        for number, entry in entries.items()
        if entry["kind"] != "settlement" and entry.get("reverses") is None and number not in reversals
    ]
    debits = [[each for each in entry["postings"] if each["direction"] == "debit"] for entry in standing]
    moved = zip(standing, map(_net, debits), strict=True)
    return sorted(f"{entry['kind']} of {_show(amount)} for {entry.get('source')}" for entry, amount in moved)


def _reversals(entries: dict[str, Item]) -> dict[str, list[Item]]:
    """The reversals of each entry, by the entry's number."""
    reversals: defaultdict[str, list[Item]] = defaultdict(list)
    for entry in entries.values():
        if (number := entry.get("reverses")) is not None:
            reversals[f"{int(number):04}"].append(entry)
    return reversals


def _is_open(operation: Item) -> bool:
    """Whether it may have moved money unnoticed. A refund that the gateway reports as pending has not."""
    return operation["status"] in ("processing", "in_doubt") and not operation.get("pending")


def _gateway_findings(payment: Evidence) -> Iterator[Finding]:
    """The recorded charge is the only one and at the payment's own gateway, its money is what the ledger says, and no
    more was refunded than captured."""
    recorded = (payment.record or {}).get("gateway")
    if recorded and (elsewhere := {each["gateway"] for each in payment.charges} - {recorded}):
        yield Finding(payment.payment_id, Kind.CHARGE, f"charges at {recorded}", f"at {_joined(sorted(elsewhere))}")
    for each in payment.charges:
        amounts = [each[f"{name}_minor"] for name in ("refunded", "captured", "amount")]
        if amounts != sorted(amounts):
            amounts_text = _joined(money(amount, each["currency"]) for amount in amounts)
            yield Finding(payment.payment_id, Kind.REVERSED_TWICE, "refunded ≤ captured ≤ amount", amounts_text)
    others = [each["charge_id"] for each in payment.operations() if each.get("charge_id")]
    own = [charge for charge in payment.charges if charge["id"] not in others]
    if len(approved := [charge for charge in own if charge["status"] != "declined"]) > 1:
        yield Finding(payment.payment_id, Kind.CHARGED_TWICE, "one charge", f"{len(approved)}")
    if not payment.is_settled:
        return
    charge = own[0] if own else None
    if charge and (unknown := list(_missing_movements(payment, charge))):
        yield from (Finding(payment.payment_id, Kind.NOT_ADOPTED, "on the books", each) for each in unknown)
        return
    in_ledger, at_gateway = payment.net_in_ledger(), payment.net_at_gateway()
    if in_ledger != at_gateway:
        yield Finding(payment.payment_id, Kind.MONEY, f"gateway {_show(at_gateway)}", f"ledger {_show(in_ledger)}")
    status = charge and charge["status"]
    if status not in _CHARGE_STATUSES.get(payment.status, {None}):
        yield Finding(payment.payment_id, Kind.CHARGE, f"one that suits {payment.status}", status or "no charge")
    # A wrong amount is one reason to reverse a payment.
    elif payment.record and charge and payment.status != "reversed":
        recorded = _charge_text(*map(payment.record.get, ("charge_id", "amount_minor", "currency")))
        found = _charge_text(charge["id"], charge["amount_minor"], charge["currency"])
        if recorded != found:
            yield Finding(payment.payment_id, Kind.CHARGE, recorded, found)


def _missing_movements(payment: Evidence, charge: Item) -> Iterator[str]:
    """Changes of the charge at the gateway that the books of an unfinished payment don't have yet."""
    if payment.status not in (*_CAPTURED, "authorized"):
        return
    if payment.status == "authorized" and charge["captured_minor"]:
        yield f"capture of {money(charge['captured_minor'], charge['currency'])}"
    operations = {operation["operation_id"]: operation for operation in payment.operations()}
    for refund in charge["refunds"]:
        adopted = operations.get(adopted_id("refund", refund["id"]))
        recorded = operations.get(refund["refund_reference"], adopted) or {}
        has_succeeded, has_failed = recorded.get("status") == "succeeded", recorded.get("error") == "refund_failed"
        on_the_books = {
            "pending": bool(recorded.get("pending")) or has_succeeded or has_failed,
            "succeeded": has_succeeded,
            "failed": not has_succeeded,
        }
        if not on_the_books[refund["status"]]:
            yield f"refund {refund['id']} of {money(refund['amount_minor'], charge['currency'])} {refund['status']}"
    disputes = {dispute["dispute_id"]: dispute["status"] for dispute in (payment.record or {}).get("disputes", ())}
    for dispute in charge["disputes"]:
        if disputes.get(dispute["id"]) != dispute["status"]:
            amount = money(dispute["amount_minor"], charge["currency"])
            yield f"dispute {dispute['id']} of {amount} {dispute['status']}"
    if charge["status"] == "voided":
        yield f"void of {charge['id']} {charge['void_reason'] or ''}".rstrip()


def _sum(amounts: Iterable[tuple[str, int]]) -> Money:
    total: defaultdict[str, int] = defaultdict(int)
    for currency, amount in amounts:
        total[currency] += amount
    return {currency: int(amount) for currency, amount in sorted(total.items()) if amount}


def _net(postings: Iterable[Item], accounts: str = "") -> Money:
    """Debits less credits of the accounts whose names begin with `accounts`."""
    return _sum(
        (posting["currency"], posting["amount_minor"] if posting["direction"] == "debit" else -posting["amount_minor"])
        for posting in postings
        if posting["account"].startswith(accounts)
    )


def _posting_lines(postings: Iterable[Item], reverse: bool = False) -> tuple[str, ...]:
    """Postings as sorted lines of text; `reverse` swaps debit and credit."""
    sides = {"debit": "credit", "credit": "debit"} if reverse else {}
    lines = (
        f"{sides.get(posting['direction'], posting['direction'])} {posting['account']} "
        f"{posting['amount_minor']} {posting['currency']}"
        for posting in postings
    )
    return tuple(sorted(lines))


def _show(amounts: Money) -> str:
    return ", ".join(money(amount, currency) for currency, amount in amounts.items()) or "0"


def _charge_text(charge_id: str | None, amount_minor: Any, currency: str | None) -> str:
    amount = money(int(amount_minor), currency) if currency and amount_minor is not None else "no amount"
    return f"{charge_id or 'no charge'}, {amount}"


def _joined(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))
