"""What must hold in every run.

I1 debits equal credits, per currency and entry, and the chain of entries is intact
I2 a payment is captured at the gateway at most once
I3 the gateway's net amount equals the ledger's, per payment and so in total
I4 in the end every accepted payment and operation is terminal; until then, those in doubt are in the index
I6 a status changes only along the state diagram (`NEXT_STATUSES`)
I7 a charge is reversed at most once, and refunds, reservations and disputes never exceed the captured amount
I8 the same key gives the same result, and is counted once
I9 what succeeded was done exactly once, and what was rejected was not done
I10 once a payment has ended, neither its card, nor its security code, nor the key to open either is there, and none
    comes back
I11 a stored card is the one that was charged, and once it was erased it stays so
I12 a payment is at one gateway, which is the recorded one, and no other has ever charged it; while none is recorded,
    it is reversed at all of them
I13 a payment waits for its customer until the customer has answered or the time is over, the API says so meanwhile and
    at no other time, and what has ended nobody can approve any more; a task token is never in the clear, nor kept after
    the wait
I14 every version of a payment, and every erased card, has its event, and whoever is told accepts each one, for the
    first time in their order (telling.py)
I15 a dispute is recorded as the gateway has it, goes only forward, and holds money only while it is open

(tests/stack/test_leaks.py checks I5, no card number anywhere.)
"""

import hashlib
import json
from base64 import b64decode
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from functions.shared.domain.ledger import GENESIS_HASH
from functions.shared.domain.payment import NEXT_STATUSES, SCREENED_PREFIX
from tests.simulation.gateway import Book
from tests.simulation.states import TASK_TOKEN, Execution
from tests.simulation.table import EPHEMERAL, Item, Key, Table
from tools.local.sparkle.charges import Charge

Nets = dict[str, int]
"""An amount per currency, without zeros."""

Record = dict[str, Any]
"""An item with Python's types."""

NEXT_OPERATION_STATUSES = {
    None: {"processing", "rejected", "succeeded"},
    "processing": {"processing", "succeeded", "rejected", "in_doubt"},
    "in_doubt": {"in_doubt", "processing", "succeeded", "rejected"},
    "succeeded": {"succeeded"},
    "rejected": {"rejected"},
}

_NEXT_DISPUTE_STATUSES: dict[str, tuple[str, ...]] = {"open": ("won", "lost"), "won": (), "lost": ()}

_CAPTURED = ("captured", "partially_refunded", "refunded")

SECRETS = {"private_key", "ciphertext", "security_code", "customer_wait", "task_token", "wait_shard"}
"""What an item of the table `ephemeral` has only until the payment ends."""

_deserialize = TypeDeserializer().deserialize


def broken_by_write(key: Key, before: Item | None, after: Item, book: Book) -> Iterator[str]:
    """Yield the rules that this write to the table breaks, whatever follows."""
    old, new = _plain(before or {}), _plain(after)
    if TASK_TOKEN in str(new):
        yield "I13: a task token is written in the clear"
    if key[1] == EPHEMERAL:
        if "ended_at" in old and (back := SECRETS & new.keys()):
            yield f"I10: {sorted(back)} written after the payment's end"
        if {"ciphertext"} <= old.keys() & new.keys() and old["ciphertext"] != new["ciphertext"]:
            yield "I11: a held card is replaced"
        if "kid" in old and "private_key" not in old and "private_key" in new:
            yield "I10: a key is issued after one was deleted"
    elif key[0].startswith("VELOCITY#"):
        if "counted" in new and new["payments"] != len(new["counted"]):
            yield f"I8: {len(new['counted'])} payments are counted as {new['payments']}"
    elif key[1] == "PAYMENT":
        yield from _broken_by_record(old, new)
        yield from _broken_by_pending(old, new, book)
        if new["status"] != "in_doubt" and _waits_at_gateway(new["payment_id"], book):
            yield f"I13: {new['status']} is recorded, and the customer can still approve the charge"
        # A reversal in flight may arrive at any time, so its charge must not be recorded as final.
        is_asked = new["payment_id"] in book.asked_to_reverse
        if is_asked and new["status"] not in ("in_doubt", "reversed", "declined"):
            yield f"I3: {new['status']} is recorded, and we have asked the gateway to reverse it"
    elif key[1] not in ("CARD", "ATTENDED", "CHECKED", "DELIVERED") and old:
        yield f"{key[1]} is written a second time"


def _broken_by_record(old: Record, new: Record) -> Iterator[str]:
    if old and new["status"] not in NEXT_STATUSES[old["status"]] | {old["status"]}:
        yield f"I6: the status moves from {old['status']} to {new['status']}"
    if new["version"] != old.get("version", 0) + 1:
        yield f"I6: version {new['version']} is written over {old.get('version', 0)}"
    earlier, operations = (
        {each["operation_id"]: each for each in record.get("operations", [])} for record in (old, new)
    )
    for name in earlier | operations:
        was, is_now = (each.get(name, {}).get("status") for each in (earlier, operations))
        came_back = (was, operations.get(name, {}).get("error")) == ("succeeded", "refund_failed")
        if is_now not in NEXT_OPERATION_STATUSES[was] and not (is_now == "rejected" and came_back):
            yield f"I6: {name} moves from {was} to {is_now}"
        # The status allowed every reservation. If it no longer does, the change of status must be on the books.
        refused = was in ("processing", "in_doubt") and operations[name].get("error") == "invalid_state"
        if refused and new["status"] == "authorized":
            yield f"I9: {name} is rejected for the payment's state, and that is still authorized"
    reserved = sum(each["amount_minor"] for each in _open(new) if each["type"] == "refund")
    # A refund or a dispute at the gateway may make earlier reservations too large; the gateway then refuses them.
    reserves_more = any(each["operation_id"] not in earlier for each in _open(new))
    returned = new["refunded_minor"] + sum(each["amount_minor"] for each in _disputes(new) if each["status"] != "won")
    if returned + reserved > new["captured_minor"] and reserves_more:
        yield f"I7: {reserved} is reserved, and {returned} refunded or disputed, of {new['captured_minor']} captured"
    disputes = {each["dispute_id"]: each["status"] for each in _disputes(new)}
    for each in _disputes(old):
        if disputes.get(each["dispute_id"]) not in (each["status"], *_NEXT_DISPUTE_STATUSES[each["status"]]):
            yield f"I15: a dispute moves from {each['status']} to {disputes.get(each['dispute_id'])}"
    if len(_open(new)) > 1 and new["status"] == "authorized":
        yield "I2: an authorization is about to be captured or voided twice"
    since = [each["updated_at"] for each in _open(new) if each["status"] == "in_doubt"]
    if new["status"] == "in_doubt":
        since = [new["updated_at"]]
        if old and old["updated_at"] != new["updated_at"]:
            yield "I4: a doubt looks younger than it is"
    if new.get("doubt_since") != min(since, default=None) or ("doubt_shard" in new) != bool(since):
        yield f"I4: {new['status']}, and the index in_doubt disagrees"


def _broken_by_pending(old: Record, new: Record, book: Book) -> Iterator[str]:
    """A refund has succeeded once the gateway has carried it out, not while it is pending there."""
    before = {each["operation_id"]: each["status"] for each in old.get("operations", [])}
    pending = {
        refund.refund_reference
        for charge in book.all()
        for refund in charge.refunds
        if charge.reference == new["payment_id"] and refund.status == "pending"
    }
    for operation in new["operations"]:
        name, status = operation["operation_id"], operation["status"]
        if status == "succeeded" and before.get(name) != status and name in pending:
            yield f"I9: {name} is recorded as done, and is pending at the gateway"


def _waits_at_gateway(payment_id: str, book: Book) -> bool:
    return any(charge.status == "action_required" for charge in book.all() if charge.reference == payment_id)


def broken_by_end(execution: Execution, table: Table) -> Iterator[str]:
    """Yield the rules that are broken if the execution ends like this now, whatever looks after it later."""
    erases = (
        execution.status == "SUCCEEDED"
        or execution.error == "PaymentReversed"
        or (execution.error == "PaymentRejected" and "Erase" not in execution.caught)
    )
    if erases:
        yield from _broken_by_remains(execution, table)


def _broken_by_remains(execution: Execution, table: Table) -> Iterator[str]:
    item = table.items.get((execution.name, EPHEMERAL), {})
    secrets = SECRETS & item.keys()
    if execution.machine == "store_card" and _kid_of(json.loads(execution.request).get("card_data")) != item.get("kid"):
        secrets -= {"private_key"}  # somebody has asked for a key at the same moment, to which nothing is sealed
    if secrets:
        yield f"I10: {execution.error or execution.status}, and {sorted(secrets)} is kept"
    if execution.machine == "payment" and "ended_at" not in item:
        yield f"I10: {execution.error or execution.status}, and nothing keeps its card from coming back"


def _kid_of(card_data: Any) -> dict[str, str] | None:
    """The id, as the table has it, of the key that a card is sealed to."""
    if not isinstance(card_data, str):
        return None
    header = card_data.partition(".")[0]
    return {"S": json.loads(b64decode(header + "==", altchars=b"-_"))["kid"]}


def broken_at_the_end(execution: Execution, table: Table, book: Book) -> Iterator[str]:
    """Yield the rules that a payment breaks once nothing remains to be done."""
    payment_id = execution.name
    items = [_plain(item) for item in table.of(f"PAYMENT#{payment_id}")]
    record = next((item for item in items if item["sk"] == "PAYMENT"), None)
    entries = [item for item in items if item["sk"].startswith("ENTRY#")]
    postings = [item for item in items if item["sk"].startswith("POSTING#")]
    charges = [charge for charge in book.all() if charge.reference == payment_id]

    yield from _broken_by_remains(execution, table)
    if _waits_at_gateway(payment_id, book):
        yield "I13: the payment has ended, and its customer can still approve the charge"
    yield from _broken_in_the_journal(entries, postings)
    yield from _broken_at_the_gateway(payment_id, charges, book)
    gateway: Counter[str] = Counter()
    for charge in charges:
        gateway[charge.currency] += charge.captured_minor - charge.refunded_minor - charge.disputed_minor
    at_gateway = _without_zeros(gateway)
    by_account = _by_account(postings)
    if (in_ledger := by_account.get(f"asset:gateway:{book.gateway}", {})) != at_gateway:
        yield f"I3: the gateway has {at_gateway}, the ledger says {in_ledger}"
    if disputed := by_account.get(f"asset:disputed:{book.gateway}"):
        yield f"I15: no dispute is open, and {disputed} is left in the account of what is disputed"
    if others := {name for name in by_account if name.startswith("asset:gateway:")} - {f"asset:gateway:{book.gateway}"}:
        yield f"I12: {book.gateway} has the payment, and {sorted(others)} has postings of it"

    if record is None:
        if charges:
            yield f"I4: the ledger does not know the payment, and its charge is {charges[-1].status}"
        if execution.status != "FAILED":
            yield f"I4: the ledger does not know the payment, and its execution {execution.status}"
        return
    if charges and record.get("gateway") != book.gateway:
        yield f"I12: {book.gateway} has charged, and the recorded gateway is {record.get('gateway')}"
    status = record["status"]
    if status == "in_doubt":
        yield "I4: the payment is in doubt for ever"
        return
    for operation in _open(record):
        yield f"I4: {operation['operation_id']} is {operation['status']} for ever"
    if suspense := by_account.get("suspense:in_doubt"):
        yield f"I4: {status}, and {suspense} is left in suspense"
    if (execution.status == "SUCCEEDED" or execution.error == "PaymentReversed") and (
        (status == "reversed") != (execution.error == "PaymentReversed")
    ):
        yield f"I8: {status}, and the execution ended {execution.error or execution.status}"
    if (record["entry_count"], record["journal_hash"]) != (
        len(entries),
        entries[-1]["hash"] if entries else GENESIS_HASH,
    ):
        yield f"I1: the record does not end the chain of its {len(entries)} entries"
    yield from _broken_by_outcome(record, json.loads(execution.request), charges, book)
    yield from _broken_by_count(record, execution, table)


def broken_elsewhere(execution: Execution, table: Table, own: Book, books: Collection[Book]) -> Iterator[str]:
    """Yield the gateways, other than the payment's `own`, that have charged it or, if it was reversed before anybody
    knew its gateway, still would."""
    record = _plain(table.items.get((f"PAYMENT#{execution.name}", "PAYMENT"), {}))
    is_anywhere = record.get("status") == "reversed" and not record.get("gateway")
    for book in books:
        if book is own:
            continue
        if book.history[execution.name]:
            yield f"I12: {own.gateway} has the payment, and {book.gateway} has charged it"
        if is_anywhere and not book.will_refuse(execution.name):
            yield f"I12: reversed, its gateway is not recorded, and {book.gateway} would still charge it"


def broken_stored_card(execution: Execution, table: Table, erased: Collection[Key]) -> Iterator[str]:
    """Yield what doesn't hold of a payment's stored card once nothing remains to be done. `erased` cards are gone."""
    record = _plain(table.items.get((f"PAYMENT#{execution.name}", "PAYMENT"), {}))
    token = (record.get("card") or {}).get("token")
    request = json.loads(execution.request)
    wants_it_stored = request.get("save_card") and record.get("status") != "declined"
    if execution.status == "SUCCEEDED" and wants_it_stored and not token:
        yield "I11: the card was to be stored, and the record knows no token"
    key = (f"CARD#{token}", "CARD")
    # A payment that a rule denied has no transaction: its card was never encrypted.
    if token is None or not record.get("transaction_id") or key in erased:
        return
    if key not in table.items:
        yield "I11: the record has a token, and no card is stored under it"
    elif hashlib.sha256(table.items[key]["ciphertext"]["B"]).hexdigest() != record["transaction_id"]:
        yield "I11: the stored card is not the one that was charged"


def broken_card(execution: Execution, table: Table, book: Book, erased: Collection[Key]) -> Iterator[str]:
    """What does not hold of a card that was to be stored, once nothing is left to do."""
    if (f"PAYMENT#{execution.name}", "PAYMENT") in table.items or book.find(execution.name):
        yield "I4: a card that was to be stored moved money"
    request = table.items.get((f"REQUEST#{execution.name}", "REQUEST"))
    key = (f"CARD#{request['token']['S']}", "CARD") if request else None
    if key and key not in table.items and key not in erased:
        yield "I2: the request is there, and the card that it stored is not"
    if execution.status == "SUCCEEDED" and request is None:
        yield "I4: the card was stored, and is not there"


def broken_operation(execution: Execution, paid: Execution | None, table: Table, book: Book) -> Iterator[str]:
    """Yield the rules that an operation on the payment breaks once nothing remains to be done."""
    name, request = execution.name, json.loads(execution.request)
    recorded = table.items.get((f"PAYMENT#{request.get('payment_id')}", "PAYMENT"))
    record = _plain(recorded or {})
    operation = next((each for each in record.get("operations", []) if each["operation_id"] == name), None)
    succeeded = operation is not None and operation["status"] == "succeeded"
    # What a rule denied may be recorded after its execution gave up. Nothing had moved by then, and who asked for an
    # operation was told that there is no payment.
    was_paid = bool(record) and not str(record.get("decline_code")).startswith(SCREENED_PREFIX)
    if operation is None and was_paid and "_nonsense-" not in name:
        yield f"I4: the record does not know the operation, and its execution {execution.status} {execution.error}"
    if was_paid and execution.cause == "PaymentNotFound" and paid and paid.started_at < execution.started_at:
        yield "I8: rejected, as if its payment had not been asked for before it"
    came_back = operation is not None and operation["error"] == "refund_failed"
    if execution.status == "SUCCEEDED" and not succeeded and not came_back:
        yield f"I8: {operation and operation['status']}, and the execution succeeded"
    # A late Reserve may have found a payment that did not exist yet.
    if succeeded and execution.error == "OperationRejected" and execution.cause != "PaymentNotFound":
        yield "I8: succeeded, and the execution says that it was rejected"
    if book.refunded[name] != (succeeded and request["operation"] == "refund"):
        yield f"I9: {operation and operation['status']}, and refunded {book.refunded[name]} times"
    # A capture that somebody reversed before we looked has left no trace.
    is_seen = request.get("operation") == "void" or record.get("status") != "voided"
    if f"{request.get('payment_id')}-{request.get('operation')}-{name}" in book.moved and is_seen and not succeeded:
        yield f"I9: {operation and operation['status']}, and done at the gateway"


def is_shown(body: Record, recorded: Item | None) -> bool:
    """Whether the API shows what the payment's record has or, without a record, that the payment was rejected."""
    if recorded is None:
        return (body.get("status"), body.get("operations"), body.get("disputes")) == ("rejected", [], [])
    record = _plain(recorded)
    record.setdefault("disputes", [])
    for operation in record["operations"]:
        operation.setdefault("source", None)  # An operation's default values are not stored.
        for not_shown in ("updated_at", "caller", "pending", "kept_apart"):
            operation.pop(not_shown, None)
    fields = ("status", "captured_minor", "refunded_minor", "decline_code", "operations", "disputes")
    return all(body.get(name) == record.get(name) for name in fields)


def _broken_by_count(record: Record, execution: Execution, table: Table) -> Iterator[str]:
    """Only the gateway's declines are counted, under reference, BIN and caller. Declines that came to light after the
    execution may be counted or not."""
    attempt = hashlib.sha256(f"{record['payment_id']}/{record['created_at']}".encode()).digest()[:8]
    times = sum(attempt in _plain(item).get("declines", ()) for item in table.items.values())
    was_declined = record["status"] == "declined" and not str(record.get("decline_code")).startswith("screened:")
    if times != 3 * was_declined and not (was_declined and execution.status != "SUCCEEDED"):
        yield f"I8: {record['status']}, and counted as declined {times} times"


def _broken_in_the_journal(entries: list[Record], postings: list[Record]) -> Iterator[str]:
    previous = GENESIS_HASH
    for number, entry in enumerate(entries, start=1):
        if balance := _net(entry["postings"]):
            yield f"I1: entry {number} is out of balance: {balance}"
        content = {name: entry.get(name) for name in ("kind", "postings", "source", "reverses")}
        chained = [previous, entry["pk"].removeprefix("PAYMENT#"), number, entry["posted_at"], content]
        text = json.dumps(chained, sort_keys=True, separators=(",", ":"), default=int)
        if (entry["previous_hash"], entry["hash"]) != (previous, hashlib.sha256(text.encode()).hexdigest()):
            yield f"I1: entry {number} is not what its hash was made of"
        previous = entry["hash"]
    if _by_account(postings) != _by_account([posting for entry in entries for posting in entry["postings"]]):
        yield "I1: the postings in the index are not those of the entries"


def _broken_at_the_gateway(payment_id: str, charges: list[Charge], book: Book) -> Iterator[str]:
    if book.captures[payment_id] > 1:
        yield f"I2: captured {book.captures[payment_id]} times"
    if book.reversals[payment_id] > 1:
        yield f"I7: reversed {book.reversals[payment_id]} times"
    if any(charge.refunded_minor + charge.disputed_minor > charge.captured_minor for charge in charges):
        yield "I7: more is refunded and disputed than was captured"


def _broken_by_outcome(record: Record, request: dict[str, Any], charges: list[Charge], book: Book) -> Iterator[str]:
    """The gateway's actions match the record and the request."""
    status, statuses = record["status"], [charge.status for charge in charges]
    succeeded = Counter(each["type"] for each in record["operations"] if each["status"] == "succeeded")
    match status:
        case "reversed":
            if not book.will_refuse(record["payment_id"]):
                yield "I3: reversed, and a charge that came now would go through"
            if "authorized" in statuses:
                yield "I3: reversed, and the card is still held"
        case "stored":
            if charges:
                yield "I3: a card was to be stored, and is charged"
        case "declined":
            if statuses != ([] if str(record.get("decline_code")).startswith("screened:") else ["declined"]):
                yield f"I3: declined, and the gateway's charges are {statuses}"
        case _:
            # The gateway may release an authorization without notifying anybody.
            at_gateway = "voided" if any(charge.void_reason for charge in charges) else status
            amounts = request["amount_minor"], request["currency"], record["captured_minor"], record["refunded_minor"]
            actual = [
                (each.status, each.amount_minor, each.currency, each.captured_minor, each.refunded_minor)
                for each in charges
            ]
            if actual != [(at_gateway, *amounts)]:
                yield f"I3: {status}, and the gateway's charges are {actual}"
            # Only the gateway voids a captured charge, by reversing it.
            if request["capture"] and record["captured_minor"] != (status != "voided") * request["amount_minor"]:
                yield f"I9: {record['captured_minor']} are captured of {request['amount_minor']}"
            was_captured = status in _CAPTURED or (status == "voided" and succeeded["capture"])
            if (succeeded["capture"], succeeded["void"]) != (
                was_captured and not request["capture"],
                status == "voided",
            ):
                yield f"I9: {status}, and {dict(succeeded)} were done"
    there_disputed = [(each.id, each.status, each.amount_minor) for charge in charges for each in charge.disputes]
    disputes = [(each["dispute_id"], each["status"], each["amount_minor"]) for each in _disputes(record)]
    if disputes != there_disputed and status != "reversed":
        yield f"I15: the gateway's disputes are {there_disputed}, and {disputes} are recorded"
    if charges and (authentication := charges[-1].authentication) != record.get("authentication"):
        yield f"I13: the customer's authentication is {authentication}, and {record.get('authentication')} is recorded"
    refunds = [each for each in record["operations"] if (each["type"], each["status"]) == ("refund", "succeeded")]
    if (total := sum(each["amount_minor"] for each in refunds)) != record["refunded_minor"]:
        yield f"I9: {record['refunded_minor']} are refunded, by refunds of {total}"


def _disputes(record: Record) -> list[Record]:
    return list(record.get("disputes", []))


def _open(record: Record) -> list[Record]:
    """The operations that may still move money."""
    return [each for each in record.get("operations", []) if each["status"] in ("processing", "in_doubt")]


def _plain(item: Item) -> dict[str, Any]:
    return {name: _deserialize(value) for name, value in item.items()}


def _net(postings: list[dict[str, Any]]) -> Nets:
    """Debits minus credits."""
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
