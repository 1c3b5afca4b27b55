"""The audit: what the executions, the ledger and the gateway's sandbox say of each payment, held against each other.

Each source is read as it lies there, without the product's own classes: those could not hold most of what is looked
for. Of a payment whose execution runs nothing is said, as its money is on its way.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import requests
from rich.console import Console
from rich.table import Table

from cli.stack import HTTP_TIMEOUT_SECONDS, Stack
from functions.shared.adapters.dynamodb import DOUBT_SHARDS

Item = Mapping[str, Any]
Money = dict[str, int]
"""Minor units by currency, without zeros."""

_FEW = 100
_SHOWN = 50

# What may be at the gateway (None: no charge) when the ledger has this status. In doubt, it may be anything.
_AT_THE_GATEWAY: dict[str, set[str | None]] = {
    "captured": {"captured"},
    "authorized": {"authorized"},
    "declined": {"declined", None},
    "stored": {None},
    "reversed": {"voided", "refunded", None},
}
_SUCCESSES = {"captured", "authorized", "declined", "stored"}


class Kind(StrEnum):
    """What can be wrong with a payment."""

    UNBALANCED = "unbalanced entry"  # an entry's debits are not its credits, or its posting items say something else
    CHARGED_TWICE = "charged twice"  # more than one charge at the gateway took or holds money
    MONEY = "money differs"  # the ledger's net is not the gateway's
    CHARGE = "charge differs"  # the gateway's charge is not the one that the ledger means
    INDEX = "index differs"  # it is in doubt and not in the index of doubts, or the other way round
    LOST = "lost"  # it was accepted, is over, and the ledger knows nothing of it
    OUTCOME = "outcome differs"  # the execution says that it succeeded, and the ledger doesn't
    RECORD = "record differs"  # the record does not agree with its own entries
    REVERSED_TWICE = "reversed twice"  # more was undone than had been done


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `payment_id` is None where it is about all payments together."""

    payment_id: str | None
    kind: Kind
    expected: str
    found: str


@dataclass(slots=True)
class Evidence:
    """What was read of one payment: its items by sort key, whether the index of doubts has it, and its charges.

    Its execution is as ListExecutions has it, or as DescribeExecution where it is over and the ledger has no record.
    """

    payment_id: str
    execution: Item | None = None
    items: dict[str, Item] = field(default_factory=dict)
    in_index: bool = False
    charges: list[Item] = field(default_factory=list)

    @property
    def record(self) -> Item | None:
        return self.items.get("PAYMENT")

    @property
    def status(self) -> str:
        """As the API shows it, or `lost`."""
        if self.record:
            return str(self.record["status"])
        if self.is_running:
            return "processing"
        return "rejected" if self.was_rejected else "lost"

    @property
    def was_rejected(self) -> bool:
        """Whether its execution ended without ever asking the gateway for money."""
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
        """Whether ledger and gateway must agree."""
        return not self.is_running and self.status != "in_doubt"

    def entries(self) -> dict[str, Item]:
        """The journal entries by number."""
        return {key.partition("#")[2]: item for key, item in self.items.items() if key.startswith("ENTRY#")}

    def postings(self, entry: str = "") -> list[Item]:
        """The posting items, or those of one entry."""
        return [self.items[key] for key in sorted(self.items) if key.startswith(f"POSTING#{entry}")]

    def at_the_gateway(self) -> Money:
        """What the gateway has taken, less what it gave back."""
        return _sum(
            (charge["currency"], charge["captured_minor"] - charge["refunded_minor"]) for charge in self.charges
        )


@dataclass(frozen=True, slots=True)
class Audit:
    """What was read, and what is wrong with it."""

    evidence: dict[str, Evidence]
    findings: list[Finding]


def audit(stack: Stack, payment_ids: Collection[str] | None = None) -> Audit:
    """Audit some payments, or all that there are. Without a sandbox (on AWS) the gateway's side is left out."""
    evidence = _read(stack, payment_ids)
    with_gateway = stack.sparkle_url is not None
    # The sources are read one after the other, and a payment may have moved in between: a second look at those.
    if suspects := {finding.payment_id for finding in findings(evidence, with_gateway) if finding.payment_id}:
        evidence |= _read(stack, suspects)
    return Audit(evidence, list(findings(evidence, with_gateway)))


def show(audited: Audit, console: Console) -> None:
    """Print how many payments ended how, and a table of the findings."""
    statuses = Counter(evidence.status for evidence in audited.evidence.values())
    console.print(" · ".join(f"{count:,} {status}" for status, count in statuses.most_common()), highlight=False)
    if audited.findings:
        table = Table("payment", "what", "expected", "found", title="Findings", title_justify="left")
        for finding in audited.findings[:_SHOWN]:
            table.add_row(finding.payment_id or "all", finding.kind, finding.expected, finding.found)
        console.print(table)
        if len(audited.findings) > _SHOWN:
            console.print(f"… and {len(audited.findings) - _SHOWN:,} more.", highlight=False)
    color = "red" if audited.findings else "green"
    console.print(f"[{color}]{len(audited.findings):,} findings in {len(audited.evidence):,} payments[/{color}]")


def findings(evidence: Mapping[str, Evidence], with_gateway: bool) -> Iterator[Finding]:
    """All that is wrong: payment by payment, then in total."""
    booked_in_all: defaultdict[str, int] = defaultdict(int)
    taken_in_all: defaultdict[str, int] = defaultdict(int)
    for payment in evidence.values():
        if payment.is_running:
            continue
        yield from _in_the_execution(payment)
        yield from _in_the_ledger(payment)
        if with_gateway:
            yield from _at_the_gateway(payment)
        if payment.is_settled:
            for currency, amount in _net(payment.postings(), "asset:gateway:").items():
                booked_in_all[currency] += amount
            for currency, amount in payment.at_the_gateway().items():
                taken_in_all[currency] += amount
    if with_gateway and (booked := _sum(booked_in_all.items())) != (taken := _sum(taken_in_all.items())):
        yield Finding(None, Kind.MONEY, f"gateway {_show(taken)}", f"ledger {_show(booked)}")


def _in_the_execution(payment: Evidence) -> Iterator[Finding]:
    """Every payment that was started is recorded, or was rejected before any money could move."""
    execution = payment.execution or {}
    ended = execution.get("status", "unknown")
    if payment.status == "lost":
        yield Finding(payment.payment_id, Kind.LOST, "a record", f"none; execution {ended}")
    elif ended == "SUCCEEDED" and payment.status not in _SUCCESSES:
        yield Finding(payment.payment_id, Kind.OUTCOME, "a success, as its execution", payment.status)


def _in_the_ledger(payment: Evidence) -> Iterator[Finding]:
    """Every entry balances and is indexed as it is, nothing is undone twice, and the record sums its entries up."""
    entries = payment.entries()
    for number, entry in entries.items():
        postings = entry["postings"]
        if imbalance := _net(postings):
            yield Finding(payment.payment_id, Kind.UNBALANCED, "debits = credits", f"{number}: {_show(imbalance)}")
        if (indexed := _lines(payment.postings(number))) != _lines(postings):
            yield Finding(payment.payment_id, Kind.UNBALANCED, f"postings {_lines(postings)}", f"{indexed}")
    undone = Counter(_lines(entry["postings"], undo=True) for entry in entries.values() if entry["kind"] == "reversal")
    done = Counter(_lines(entry["postings"]) for entry in entries.values() if entry["kind"] != "reversal")
    if too_many := undone - done:
        yield Finding(
            payment.payment_id, Kind.REVERSED_TWICE, "each entry undone once", f"{too_many.total()} that undo nothing"
        )
    if payment.record:
        yield from _in_the_record(payment, payment.record, entries)
    elif payment.items:
        yield Finding(payment.payment_id, Kind.RECORD, "a record", f"{sorted(payment.items)} without one")


def _in_the_record(payment: Evidence, record: Item, entries: dict[str, Item]) -> Iterator[Finding]:
    def finding(what: str, expected: object, found: object) -> Iterator[Finding]:
        if expected != found:
            yield Finding(payment.payment_id, Kind.RECORD, f"{what} {expected}", f"{found}")

    status, currency = record["status"], str(record.get("currency"))
    if payment.in_index is not (status == "in_doubt"):
        found = "in the index of doubts" if payment.in_index else "not in the index of doubts"
        yield Finding(payment.payment_id, Kind.INDEX, status, found)
    numbers = [f"{number:04}" for number in range(1, int(record["entry_count"]) + 1)]
    yield from finding("entries", numbers, sorted(entries))
    # What one version writes is posted at one time.
    times = len({entry["posted_at"] for entry in entries.values()})
    yield from finding("version", max(int(record["version"]), times, 1), int(record["version"]))
    postings = [posting for entry in entries.values() for posting in entry["postings"]]
    booked, parked = _net(postings, "asset:gateway:"), _net(postings, "suspense:")
    amount = int(record.get("amount_minor") or 0)
    held = int(record["captured_minor"]) - int(record["refunded_minor"])
    yield from finding("captured", _sum([(currency, held)]), booked)
    yield from finding(f"captured, being {status},", amount if status == "captured" else 0, held)
    # A payment that was to be authorized only, or was stopped before its amount was known, parks nothing.
    in_suspense = _sum([(currency, amount)]) if status == "in_doubt" and parked else {}
    yield from finding("in suspense", in_suspense, parked)


def _at_the_gateway(payment: Evidence) -> Iterator[Finding]:
    """At most one charge, the one that is recorded; its money is the ledger's, and no more came back than went."""
    for each in payment.charges:
        amounts = [each[f"{name}_minor"] for name in ("refunded", "captured", "amount")]
        if amounts != sorted(amounts):
            yield Finding(payment.payment_id, Kind.REVERSED_TWICE, "refunded ≤ captured ≤ amount", _text(amounts))
    if len(moving := [charge for charge in payment.charges if charge["status"] != "declined"]) > 1:
        yield Finding(payment.payment_id, Kind.CHARGED_TWICE, "one charge", f"{len(moving)}")
    if not payment.is_settled:
        return
    booked, taken = _net(payment.postings(), "asset:gateway:"), payment.at_the_gateway()
    if booked != taken:
        yield Finding(payment.payment_id, Kind.MONEY, f"gateway {_show(taken)}", f"ledger {_show(booked)}")
    charge = payment.charges[0] if payment.charges else None
    status = charge and charge["status"]
    if status not in _AT_THE_GATEWAY.get(payment.status, {None}):
        yield Finding(payment.payment_id, Kind.CHARGE, f"one that suits {payment.status}", status or "no charge")
    # A charge of the wrong amount is what a payment may have been reversed for.
    elif payment.record and charge and payment.status != "reversed":
        recorded = [payment.record.get(name) for name in ("charge_id", "amount_minor", "currency")]
        if recorded != (there := [charge[name] for name in ("id", "amount_minor", "currency")]):
            yield Finding(payment.payment_id, Kind.CHARGE, _text(recorded), _text(there))


def _sum(amounts: Iterable[tuple[str, int]]) -> Money:
    total: defaultdict[str, int] = defaultdict(int)
    for currency, amount in amounts:
        total[currency] += amount
    return {currency: int(amount) for currency, amount in sorted(total.items()) if amount}


def _net(postings: Iterable[Item], accounts: str = "") -> Money:
    """Debits less credits of the accounts whose names begin like this."""
    return _sum(
        (posting["currency"], posting["amount_minor"] if posting["direction"] == "debit" else -posting["amount_minor"])
        for posting in postings
        if posting["account"].startswith(accounts)
    )


def _lines(postings: Iterable[Item], undo: bool = False) -> tuple[str, ...]:
    """Postings as text, in one order; `undo` turns each around."""
    sides = {"debit": "credit", "credit": "debit"} if undo else {}
    lines = (
        f"{sides.get(posting['direction'], posting['direction'])} {posting['account']} "
        f"{posting['amount_minor']} {posting['currency']}"
        for posting in postings
    )
    return tuple(sorted(lines))


def _show(money: Money) -> str:
    return ", ".join(f"{amount:,} {currency}" for currency, amount in money.items()) or "0"


def _text(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))


def _read(stack: Stack, payment_ids: Collection[str] | None) -> dict[str, Evidence]:
    """The executions first, then the ledger, the gateway last; of a few payments one by one, else all at once."""
    one_by_one = payment_ids is not None and len(payment_ids) <= _FEW
    evidence: dict[str, Evidence] = {}

    def of(payment_id: str) -> Evidence:
        return evidence.setdefault(payment_id, Evidence(payment_id))

    for execution in _executions(stack, payment_ids if one_by_one else None):
        of(execution["name"]).execution = execution
    for item in _items(stack, payment_ids if one_by_one else None):
        of(item["pk"].removeprefix("PAYMENT#")).items[item["sk"]] = item
    for payment_id in _doubts(stack):
        of(payment_id).in_index = True
    for charge in _charges(stack):
        of(charge["reference"]).charges.append(charge)
    if payment_ids is not None:
        evidence = {payment_id: of(payment_id) for payment_id in payment_ids}
    states = stack.client("stepfunctions")
    for payment in evidence.values():
        if payment.execution and not payment.is_running and not payment.record:
            payment.execution = states.describe_execution(executionArn=payment.execution["executionArn"])
    return evidence


def _executions(stack: Stack, payment_ids: Collection[str] | None) -> Iterator[Item]:
    states = stack.client("stepfunctions")
    if payment_ids is None:
        for page in states.get_paginator("list_executions").paginate(stateMachineArn=stack.state_machine_arn):
            yield from page["executions"]
    for payment_id in payment_ids or ():
        try:
            yield states.describe_execution(executionArn=stack.execution_arn(payment_id))
        except states.exceptions.ExecutionDoesNotExist:
            continue


def _items(stack: Stack, payment_ids: Collection[str] | None) -> Iterator[Item]:
    """The payments' items in Python's types; stored cards are left out."""
    table: Any = stack.resource("dynamodb").Table(stack.ledger_table)
    client = table.meta.client
    if payment_ids is None:
        pages = client.get_paginator("scan").paginate(TableName=table.name, ConsistentRead=True)
        yield from (item for page in pages for item in page["Items"] if item["pk"].startswith("PAYMENT#"))
    for payment_id in payment_ids or ():
        pages = client.get_paginator("query").paginate(
            TableName=table.name,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": f"PAYMENT#{payment_id}"},
            ConsistentRead=True,
        )
        yield from (item for page in pages for item in page["Items"])


def _doubts(stack: Stack) -> Iterator[str]:
    """The payments that the index of doubts holds."""
    table: Any = stack.resource("dynamodb").Table(stack.ledger_table)
    for shard in range(DOUBT_SHARDS):
        pages = table.meta.client.get_paginator("query").paginate(
            TableName=table.name,
            IndexName="in_doubt",
            KeyConditionExpression="doubt_shard = :shard",
            ExpressionAttributeValues={":shard": f"in_doubt#{shard:02}"},
        )
        yield from (item["pk"].removeprefix("PAYMENT#") for page in pages for item in page["Items"])


def _charges(stack: Stack) -> Iterator[Item]:
    if stack.sparkle_url:
        yield from requests.get(f"{stack.sparkle_url}/sandbox/charges", timeout=HTTP_TIMEOUT_SECONDS).json()["charges"]
