"""Flaws of a payment in the ledger: in its journal, in its events, in its record's seal, and against the anchors."""

import re
from base64 import b64decode
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, get_args

from functions.shared.adapters.table import keys
from functions.shared.adapters.table.events import event_item, to_event
from functions.shared.adapters.table.ledger import apart_hash, entry_items, to_entry
from functions.shared.domain.anchor import UNSEALED, Anchor, Line, without_mac
from functions.shared.domain.event import EVENT_TYPES, Event
from functions.shared.domain.ledger import GENESIS_HASH, PostedEntry, chart_of_accounts
from functions.shared.domain.payment import Status
from functions.shared.domain.seal import digest
from tools.books.reading import Item
from tools.output import counted

# The sort key of an entry or of a posting, with the entry's number.
_ENTRY_KEY = re.compile(rf"(?:{keys.FIRST_ENTRY}|{keys.FIRST_POSTING})(\d{{4,}})(?:#\d+)?")

# What an event shows as the record has it. The rest of an event may be shown otherwise by a later version of the code.
_SHOWN_AS_RECORDED = (
    *("payment_id", "status", "amount_minor", "currency", "captured_minor", "refunded_minor"),
    *("charge_id", "gateway", "merchant_reference", "created_at", "updated_at"),
)


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that differs from what was written: an entry (`payment/number`), a record, a closed day, or an
    anchor."""

    where: str
    what: str


def first_flaw(payment_id: str, items: Mapping[str, Item]) -> Flaw | None:
    """The first flaw of a payment, given all of its items by sort key; None if it is intact.

    Entries must be numbered without gaps, balance, carry the hash of the entry before and a correct hash of their own,
    and have exactly their posting items. The record must count the entries and hold the last one's hash. The same holds
    for operations in items of their own. From its first event on, each version of the record must have its event.
    """
    if keys.RECORD not in items:
        return Flaw(payment_id, "its record is missing")
    by_number: defaultdict[int, dict[str, Item]] = defaultdict(dict)
    separate = {key for key in items if key.startswith(keys.FIRST_OPERATION)}
    if flaw := _flaw_of_separate_operations(items[keys.RECORD], [items[key] for key in separate]):
        return Flaw(payment_id, flaw)
    events = {key for key in items if key.startswith(keys.FIRST_EVENT)}
    if flaw := _flaw_of_events(items[keys.RECORD], [items[key] for key in sorted(events)]):
        return Flaw(payment_id, flaw)
    for key in items.keys() - {keys.RECORD} - separate - events:
        match = _ENTRY_KEY.fullmatch(key)
        if match is None:
            return Flaw(payment_id, f"{key} is no item of the ledger")
        by_number[int(match[1])][key] = items[key]
    previous, last = GENESIS_HASH, max(by_number, default=0)
    for number in range(1, last + 1):
        try:
            previous = _read_entry(number, previous, by_number[number], items[keys.RECORD].get("gateway")).hash
        except ValueError as error:
            return Flaw(f"{payment_id}/{number}", str(error))
        except (ArithmeticError, AttributeError, KeyError, TypeError) as error:
            return Flaw(f"{payment_id}/{number}", f"can't be read: {error!r}")
    count, journal_hash = (items[keys.RECORD].get(name) for name in ("entry_count", "journal_hash"))
    if isinstance(count, int | Decimal) and count > last:
        return Flaw(f"{payment_id}/{last + 1}", f"is missing: the record counts {count}")
    if count != last:
        return Flaw(f"{payment_id}/{last}", f"is not counted: the record counts {count}")
    if journal_hash != previous:
        return Flaw(f"{payment_id}/{last}" if last else payment_id, "the record's journal_hash is not its hash")
    return None


def _flaw_of_separate_operations(record: Item, separate: Sequence[Item]) -> str | None:
    expected = record.get("operations_apart", 0)
    if len(separate) != expected:
        return f"has {counted(len(separate), 'operation')} beside its record, which counts {expected}"
    if separate and apart_hash(map(_plain, separate)) != record.get("apart_hash"):
        return "an operation beside its record is not as it was written"
    return None


def _flaw_of_events(record: Item, items: Sequence[Item]) -> str | None:
    """What is wrong with the events, which are in the order of their keys. Versions from before events were introduced
    have none."""
    for item in items:
        if flaw := flaw_of_event(item):
            return f"{item['sk']} {flaw}"
    events = [to_event(_plain(item)) for item in items]
    if not events:
        return None
    versions, version = [event.data["version"] for event in events], int(record["version"])
    if missing := set(range(versions[0], version + 1)).difference(versions):
        return f"its event of version {min(missing)} is missing"
    if versions[-1] > version:
        return f"has an event of version {versions[-1]}, and its record is of version {version}"
    payment = events[-1].data["payment"]
    for name in _SHOWN_AS_RECORDED:
        if payment.get(name) != _plain(record.get(name)):
            return f"its event of version {version} has {name} {payment.get(name)}, and its record {record.get(name)}"
    return None


def flaw_of_event(item: Item) -> str | None:
    """What is wrong with an event's item by itself, whatever its subject."""
    try:
        event = to_event(_plain(item))
        is_whole = event_item(event) == _plain(item) and event.type in EVENT_TYPES
        is_of_its_content = (event.type, event.subject, event.sequence, event.at) == _by_content(event)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return f"can't be read: {error!r}"
    return None if is_whole and is_of_its_content else "is not as it was written"


def _by_content(event: Event) -> tuple[str, str, str, str]:
    """The type, the subject, the sequence and the time that an event with this content has."""
    family, _, change = event.type.partition(".")
    if family == "payment":
        payment = event.data["payment"]
        type_ = f"payment.{payment['status']}" if change in get_args(Status) else event.type
        return type_, payment["payment_id"], f"{event.data['version']:06}", payment["updated_at"]
    if family == "card":
        return event.type, event.data["token"], event.at, event.at
    subject = "#".join(event.data[name] for name in ("day", "type", "payment_id", "item"))
    return event.type, subject, event.at, event.at


def flaw_of_seal(
    payment_id: str, record: Item, lines: Sequence[tuple[Anchor, Line]], verify_mac: Callable[[bytes, bytes], bool]
) -> Flaw | None:
    """The flaw of a record whose seal is not the MAC of all its attributes, index keys included.

    A record from before seals were introduced has none; it must be what the first anchor has.
    """
    item = _plain(record)
    if "mac" not in item:
        first_anchored = [line.record for anchor, line in lines if anchor.number == 1]
        marked = str(item.get("written_shard")).startswith(f"{UNSEALED}#")
        if marked and digest("record", item).hex() in first_anchored:
            return None
        return Flaw(payment_id, "its record has no MAC")
    try:
        mac = b64decode(item["mac"], validate=True)
    except (TypeError, ValueError):
        mac = b""
    if not mac or not verify_mac(digest("record", without_mac(item)), mac):
        return Flaw(payment_id, "its record is not what its MAC was made of")
    if item.get("pk") != keys.payment_pk(str(item.get("payment_id"))):
        return Flaw(payment_id, f"its record is that of {item.get('payment_id')}")
    written = keys.written_shard(item["written_at"][:10], keys.shard_of(payment_id, keys.WRITTEN_SHARDS))
    if item["written_shard"] != written:
        return Flaw(payment_id, "its record is not where its day's are")
    is_disputed = any(each["status"] == "open" for each in item.get("disputes", ()))
    is_pending = any(each.get("pending") for each in item["operations"])
    awaits_gateway = item["status"] == "authorized" or is_pending or is_disputed
    expected_shard = keys.open_shard(keys.shard_of(payment_id, keys.OPEN_SHARDS))
    if item.get("open_shard") != (expected_shard if awaits_gateway else None):
        return Flaw(payment_id, f"its record is {'not ' if awaits_gateway else ''}in the index of open payments")
    return None


def flaw_of_anchors(payment_id: str, items: Mapping[str, Item], lines: Sequence[tuple[Anchor, Line]]) -> Flaw | None:
    """The flaw of a payment that differs from an anchor. A payment may have grown since it was anchored, but entries
    that an anchor lists can't have gone."""
    record = _plain(items.get(keys.RECORD) or {})
    for anchor, line in lines:
        anchor_has = f"anchor {anchor.number}, of {anchor.day}, has"
        if not record:
            entries = counted(line.entry_count, "entry", "entries")
            return Flaw(payment_id, f"is gone: {anchor_has} it in version {line.version}, with {entries}")
        try:
            current = Line.of(record)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            return Flaw(payment_id, f"its record can't be read: {error!r}")
        if current.version < line.version:
            return Flaw(payment_id, f"its record is of version {current.version}: {anchor_has} version {line.version}")
        if current.version == line.version and current.record != line.record:
            return Flaw(payment_id, f"its record of version {current.version} is another: {anchor_has} it otherwise")
        if current.facts != line.facts:
            return Flaw(payment_id, f"what was asked for is another: {anchor_has} it otherwise")
        last = items.get(keys.entry_sk(line.entry_count), {}).get("hash") if line.entry_count else GENESIS_HASH
        if last != line.journal_hash:
            return Flaw(f"{payment_id}/{line.entry_count}", f"is gone, or another: {anchor_has} it otherwise")
    return None


def _plain(value: Any) -> Any:
    """Numbers as int, since we store no others; a number that is not an integer becomes text."""
    match value:
        case Decimal():
            return int(value) if value == int(value) else str(value)
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {name: _plain(item) for name, item in value.items()}
    return value


def _read_entry(number: int, previous: str, items: Mapping[str, Item], gateway: str | None) -> PostedEntry:
    """The entry that these items hold. Raises ValueError, which says what is wrong, or whatever reading them raises."""
    key = keys.entry_sk(number)
    if key not in items:
        raise ValueError("is missing, and its postings are there" if items else "is missing")
    posted = to_entry(_plain(items[key]))
    if posted.number != number:
        raise ValueError(f"says that it is number {posted.number}")
    if posted.previous_hash != previous:
        raise ValueError("does not follow the entry before it: its previous_hash is another")
    if not posted.is_intact:
        raise ValueError("is not what its hash was made of")
    for posting in posted.entry.postings:
        # Older records don't name their gateway: then it may be any.
        accounts = chart_of_accounts([gateway or posting.account.rpartition(":")[2]])
        if posting.account not in accounts:
            raise ValueError(f"is posted to {posting.account}, which is not an account of its payment")
    written = {item["sk"]: item for item in entry_items(posted)}
    for key in sorted(written.keys() | items.keys()):
        if key not in items:
            raise ValueError(f"{key} is missing")
        if key not in written:
            raise ValueError(f"{key} is not one of its postings")
        for name in sorted(written[key].keys() | items[key].keys()):
            found, expected = items[key].get(name), written[key].get(name)
            if found != expected:
                raise ValueError(f"{key}: {name} is {found}, and was written as {expected}")
    return posted
