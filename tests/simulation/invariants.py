"""What must hold whatever happens.

I1 debits equal credits, per currency and entry
I2 a payment is captured at the gateway once at most
I3 the gateway's net is the ledger's, per payment, and so in all
I4 in the end every accepted payment is terminal; until then, who is in doubt is in the index
I6 a status moves along the state diagram only (`NEXT_STATUSES`)
I7 a charge is reversed once at most, and never more than was captured
I8 the same key, the same result

(I5, no card number anywhere, is tests/stack/test_leaks.py's.)
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from functions.shared.domain.payment import NEXT_STATUSES
from tests.simulation.gateway import Book
from tests.simulation.states import Execution
from tests.simulation.table import Item, Key, Table

Nets = dict[str, int]
"""Money by currency, without zeros."""

_deserialize = TypeDeserializer().deserialize


def broken_by_write(key: Key, before: Item | None, after: Item) -> Iterator[str]:
    """What a write to the table breaks, whatever comes later."""
    if key[1] == "CARD":
        return
    if key[1] != "PAYMENT":
        if before is not None:
            yield f"{key[1]} is written a second time"
        return
    old, new = _plain(before or {}), _plain(after)
    if old and new["status"] not in NEXT_STATUSES[old["status"]]:
        yield f"I6: the status moves from {old['status']} to {new['status']}"
    if new["version"] != old.get("version", 0) + 1:
        yield f"I6: version {new['version']} is written over {old.get('version', 0)}"
    if (new["status"] == "in_doubt") != ("doubt_shard" in new and "doubt_since" in new):
        yield f"I4: {new['status']}, and the index in_doubt disagrees"


def broken_at_the_end(execution: Execution, table: Table, book: Book) -> Iterator[str]:
    """What does not hold of one payment once nothing is left to do."""
    payment_id = execution.name
    items = [_plain(item) for item in table.of(f"PAYMENT#{payment_id}")]
    record = next((item for item in items if item["sk"] == "PAYMENT"), None)
    entries = [item["postings"] for item in items if item["sk"].startswith("ENTRY#")]
    postings = [item for item in items if item["sk"].startswith("POSTING#")]
    charges = [charge for charge in book.all() if charge.reference == payment_id]

    for number, entry in enumerate(entries, start=1):
        if balance := _net(entry):
            yield f"I1: entry {number} is out of balance: {balance}"
    if _by_account(postings) != _by_account([posting for entry in entries for posting in entry]):
        yield "I1: the postings in the index are not those of the entries"
    if book.captures[payment_id] > 1:
        yield f"I2: captured {book.captures[payment_id]} times"
    if book.reversals[payment_id] > 1:
        yield f"I7: reversed {book.reversals[payment_id]} times"
    if any(charge.refunded_minor > charge.captured_minor for charge in charges):
        yield "I7: more is refunded than was captured"
    gateway: Counter[str] = Counter()
    for charge in charges:
        gateway[charge.currency] += charge.captured_minor - charge.refunded_minor
    at_gateway = _without_zeros(gateway)
    by_account = _by_account(postings)
    if (in_ledger := by_account.get("asset:gateway:sparkle", {})) != at_gateway:
        yield f"I3: the gateway has {at_gateway}, the ledger says {in_ledger}"

    if record is None:
        if charges:
            yield f"I4: the ledger does not know the payment, and its charge is {charges[-1].status}"
        if execution.status != "FAILED" and json.loads(execution.request)["operation"] != "store":
            yield f"I4: the ledger does not know the payment, and its execution {execution.status}"
        return
    status = record["status"]
    if status == "in_doubt":
        yield "I4: the payment is in doubt for ever"
        return
    if suspense := by_account.get("suspense:in_doubt"):
        yield f"I4: {status}, and {suspense} is left in suspense"
    if (execution.status == "SUCCEEDED" or execution.error == "PaymentReversed") and (
        (status == "reversed") != (execution.error == "PaymentReversed")
    ):
        yield f"I8: {status}, and the execution ended {execution.error or execution.status}"
    if record["entry_count"] != len(entries):
        yield f"I1: the record counts {record['entry_count']} entries, and there are {len(entries)}"
    if status == "reversed":
        if not book.will_refuse(payment_id):
            yield "I3: reversed, and a charge that came now would go through"
        if any(charge.status == "authorized" for charge in charges):
            yield "I3: reversed, and the card is still held"
    elif status == "stored":
        if charges:
            yield "I3: a card was to be stored, and is charged"
    elif status == "declined":
        if [charge.status for charge in charges] != ["declined"]:
            yield f"I3: declined, and the gateway's charges are {[charge.status for charge in charges]}"
    else:
        asked = json.loads(execution.request)
        wanted = (status, asked["amount_minor"], asked["currency"])
        if [(charge.status, charge.amount_minor, charge.currency) for charge in charges] != [wanted]:
            yield f"I3: {status}, and the gateway's charges are {[charge.status for charge in charges]}"


def _plain(item: Item) -> dict[str, Any]:
    return {name: _deserialize(value) for name, value in item.items()}


def _net(postings: list[dict[str, Any]]) -> Nets:
    """Debits less credits."""
    net: defaultdict[str, int] = defaultdict(int)
    for posting in postings:
        net[posting["currency"]] += int(posting["amount_minor"]) * (1 if posting["direction"] == "debit" else -1)
    return _without_zeros(net)


def _by_account(postings: list[dict[str, Any]]) -> dict[str, Nets]:
    accounts = sorted({posting["account"] for posting in postings})
    nets = {account: _net([posting for posting in postings if posting["account"] == account]) for account in accounts}
    return {account: net for account, net in nets.items() if net}


def _without_zeros(net: Nets) -> Nets:
    return {currency: amount for currency, amount in net.items() if amount}
