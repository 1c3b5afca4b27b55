"""The ledger in a DynamoDB table from which nobody deletes, and the stored cards in one of their own.

| table  | pk                     | sk                     | what                                                    |
|--------|------------------------|------------------------|---------------------------------------------------------|
| ledger | `PAYMENT#{payment_id}` | `PAYMENT`              | the payment's current record, its last operations in it |
| ledger | `PAYMENT#{payment_id}` | `OPERATION#{id}`       | an older operation, that has ended                      |
| ledger | `PAYMENT#{payment_id}` | `ENTRY#{number}`       | a journal entry with its postings, and its hash         |
| ledger | `PAYMENT#{payment_id}` | `POSTING#{number}#{n}` | one posting, for the index `by_account`                 |
| cards  | `CARD#{token}`         | `CARD`                 | the encrypted card, until `expires_at`                  |

`books.py` keeps more in the ledger. `attendance.py` and `velocity.py` have a table for what is forgotten after a while.

The index `by_account` has the hash key `account_day`, `{account}#{day}#{shard}`, and the range key `posted_at`. The
index `in_doubt` has `doubt_shard`, `in_doubt#{shard}`, and `doubt_since`: only payments in doubt, themselves or an
operation of theirs, have them. The index `open` has `open_shard`, `open#{shard}`, and `pk`: only payments have it of
which the gateway may yet end something by itself. The index `by_day` has `day_shard`, `{day}#{shard}`, and
`created_at`: the payments by the day on which they were asked for, for the console. The index `by_writing` has
`written_shard`, `{day}#{shard}`, and `written_at`, of each payment's last version.

Every version of a record has a seal: a MAC over the item, with its index keys and the head of its journal. An entry is
bound to it by the chain of hashes, and what else is written of an entry follows from it.
"""

import time
from base64 import b64encode
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import MISSING, asdict, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zlib import crc32

from botocore.exceptions import BotoCoreError, ClientError

from functions.shared.domain.card import CardSummary
from functions.shared.domain.errors import KeyServiceUnavailable, KeyUnusable, LedgerConflict, LedgerUnavailable
from functions.shared.domain.ledger import JournalEntry, PostedEntry, Posting
from functions.shared.domain.operation import Operation, in_order
from functions.shared.domain.payment import Payment, Status
from functions.shared.domain.seal import digest
from functions.shared.ports import Doubts, Mac, RecordedPayment, StoredCard

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

# A day's postings to one account are spread over so many index keys, so that none is a hot key: docs/scale.md.
ACCOUNT_SHARDS = 64

# Doubts are few, but for the day when the gateway is down: then all payments are. They are counted every five minutes.
DOUBT_SHARDS = 128

# Authorizations are written to the index `open` as fast as payments come.
OPEN_SHARDS = 128
OPEN_READ = 500
# The payments of a day, so that none of their keys takes a hundredth of the writes either.
DAY_SHARDS = 128

# So many payments in doubt are counted of each shard: a person is woken for the first, and the count stays cheap.
DOUBTS_COUNTED = 1000

# A day's records are spread over so many index keys likewise.
WRITTEN_SHARDS = 128
# Two transactions that touch one item at once are both refused, and DynamoDB's client repeats none of them.
_CONFLICT_PAUSES_SECONDS = (0.02, 0.05, 0.1)

# What BatchGetItem takes at once.
_BATCH = 100

IS_NEW = "attribute_not_exists(pk)"
REPLACES_THE_VERSION_BEFORE = "version = :version_before"
IS_THERE = "attribute_exists(pk)"
IS_THERE_AND_ENDS_EARLIER = f"{IS_THERE} AND expires_at < :expires_at"

_CARD_FIELDS = tuple(field.name for field in fields(CardSummary))


# boto3 has such a pair too: for decimals and all that we don't store, and it takes all of boto3 to import.
def marshal(item: Mapping[str, Any]) -> dict[str, Any]:
    """The item as DynamoDB takes it, without what is None. Numbers are int: we store no others."""
    return {name: _attribute(value) for name, value in item.items() if value is not None}


def unmarshal(item: Mapping[str, Any]) -> dict[str, Any]:
    """The item as it was stored."""
    return {name: _plain(attribute) for name, attribute in item.items()}


def _attribute(value: Any) -> dict[str, Any]:
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case str():
            return {"S": value}
        case bytes():
            return {"B": value}
        case set():
            return {"BS": list(value)}
        case list() | tuple():
            return {"L": [_attribute(each) for each in value]}
        case dict():
            return {"M": {name: _attribute(each) for name, each in value.items()}}
    raise TypeError(f"A ledger holds no {type(value).__name__}.")


def _plain(attribute: Mapping[str, Any]) -> Any:
    [(kind, value)] = attribute.items()
    match kind:
        case "NULL":
            return None
        case "N":
            return int(value)
        case "L":
            return [_plain(each) for each in value]
        case "M":
            return {name: _plain(each) for name, each in value.items()}
    return value


@contextmanager
def ledger_errors(service: str = "DynamoDB") -> Iterator[None]:
    """Whatever AWS refuses, we try again: the money has moved, and an operator may yet mend the permission."""
    try:
        yield
    except ClientError as error:
        raise LedgerUnavailable(f"{service}: {error.response['Error']['Code']}") from None
    except BotoCoreError as error:
        raise LedgerUnavailable(f"{service}: {type(error).__name__}") from None


def read_batch(
    client: "DynamoDBClient", table: str, keys: Collection[tuple[str, str]], **projection: Any
) -> Iterator[dict[str, Any]]:
    """The items with these pairs of pk and sk, as far as there are such, in no order."""
    left = [marshal({"pk": pk, "sk": sk}) for pk, sk in keys]
    while left:
        asked, left = left[:_BATCH], left[_BATCH:]
        read: Any = {"Keys": asked, "ConsistentRead": True} | projection
        with ledger_errors():
            answer = client.batch_get_item(RequestItems={table: read})
        yield from map(unmarshal, answer["Responses"].get(table, []))
        unprocessed: Any = answer["UnprocessedKeys"].get(table)
        left += unprocessed["Keys"] if unprocessed else []


class _ConditionFailed(Exception):
    """A write's condition did not hold: something is there already."""


Item = dict[str, Any]


def sealed(record: Item, mac: Mac, at: str) -> Item:
    """A record as it is written at that time: with the keys of the index `by_writing`, and the MAC over all of it."""
    shard = writing_shard(record["payment_id"])
    written = record | {"written_at": at, "written_shard": written_shard(at[:10], shard)}
    item = {name: value for name, value in written.items() if value is not None}
    try:
        return item | {"mac": b64encode(mac.mac(digest("record", item))).decode()}
    except (KeyServiceUnavailable, KeyUnusable) as error:
        raise LedgerUnavailable(f"A record can't be sealed: {error}") from None


class DynamoDbLedger:
    """`Ledger` in one table. Uniqueness lives in the data: every item is written on the condition that it is new.

    (A `ClientRequestToken` would only last ten minutes, and botocore repeats by itself a write whose answer was lost.)
    Who only reads needs neither `seal`, which is `sealed` with a MAC and a time, nor the cards' table.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        seal: Callable[[Item], Item] | None = None,
        cards_table: str | None = None,
    ) -> None:
        self._client = client
        self._table = table
        self._seal = seal
        self._cards_table = cards_table

    def record(self, payment: Payment, entries: Sequence[PostedEntry] = (), card: StoredCard | None = None) -> None:
        writes = [self._put_payment(payment), *self._put_apart(payment)]
        writes += [_put(self._table, item, IS_NEW) for posted in entries for item in entry_items(posted)]
        if card:
            assert self._cards_table
            writes.append(_put(self._cards_table, _card_item(card), IS_NEW))
        try:
            self._write_transaction(writes)
        except _ConditionFailed:
            if not self._holds(payment, entries):
                raise LedgerConflict("The ledger holds another record of this payment.") from None

    def payment(self, payment_id: str) -> Payment | None:
        items = self._up_to_the_record(payment_id, since="OPERATION#")
        return _whole_payment(items) if items else None

    def find(self, payment_id: str) -> RecordedPayment | None:
        items = self._up_to_the_record(payment_id, since="ENTRY#")
        if not items:
            return None
        entries = [to_entry(item) for item in items if item["sk"].startswith("ENTRY#")]
        return RecordedPayment(_whole_payment(items), tuple(entries))

    def _up_to_the_record(self, payment_id: str, since: str) -> list[dict[str, Any]]:
        """The payment's items from this sort key on. ENTRY#… sorts before OPERATION#…, that before PAYMENT, and
        POSTING#… after it: the entries hold their postings already."""
        names = {":pk": f"PAYMENT#{payment_id}", ":since": since, ":record": "PAYMENT"}
        with ledger_errors():
            pages = self._client.get_paginator("query").paginate(
                TableName=self._table,
                KeyConditionExpression="pk = :pk AND sk BETWEEN :since AND :record",
                ExpressionAttributeValues=marshal(names),
                ConsistentRead=True,
            )
            return [unmarshal(item) for page in pages for item in page["Items"]]

    def statuses(self, payment_ids: Collection[str]) -> dict[str, Status]:
        items = self._batch(
            [(payment_id, "PAYMENT") for payment_id in payment_ids],
            ProjectionExpression="payment_id, #status",
            ExpressionAttributeNames={"#status": "status"},
        )
        return {item["payment_id"]: item["status"] for item in items}

    def payments(self, payment_ids: Collection[str]) -> dict[str, Payment]:
        items = self._batch([(payment_id, "PAYMENT") for payment_id in payment_ids])
        return {payment.payment_id: payment for payment in map(_to_payment, items)}

    def entries(self, numbers: Collection[tuple[str, int]]) -> dict[tuple[str, int], PostedEntry]:
        items = self._batch([(payment_id, _entry_key(number)) for payment_id, number in numbers])
        return {(posted.payment_id, posted.number): posted for posted in map(to_entry, items)}

    def _batch(self, keys: Collection[tuple[str, str]], **projection: Any) -> Iterator[dict[str, Any]]:
        """The payments' items with these sort keys, in no order."""
        items = [(f"PAYMENT#{payment_id}", key) for payment_id, key in keys]
        return read_batch(self._client, self._table, items, **projection)

    def awaiting_gateway(self, page: str | None) -> tuple[list[str], str | None]:
        first, _, after = (page or "0#").partition("#")
        found: list[str] = []
        for shard in range(int(first), OPEN_SHARDS):
            found += self._open_of(shard, after, OPEN_READ - len(found))
            if len(found) == OPEN_READ:
                return found, f"{shard}#{found[-1]}"
            after = ""
        return found, None

    def _open_of(self, shard: int, after: str, limit: int) -> list[str]:
        """The first of the shard's open payments whose ids come after this one."""
        with ledger_errors():
            answer = self._client.query(
                TableName=self._table,
                IndexName="open",
                KeyConditionExpression="open_shard = :shard AND pk > :after",
                ExpressionAttributeValues=marshal({":shard": f"open#{shard:02}", ":after": f"PAYMENT#{after}"}),
                ProjectionExpression="pk",
                Limit=limit,
            )
        return [item["pk"]["S"].removeprefix("PAYMENT#") for item in answer["Items"]]

    def doubts(self) -> Doubts:
        with ledger_errors():
            since = [moment for shard in range(DOUBT_SHARDS) for moment in self._doubts_of(shard)]
        return Doubts(len(since), min(since, default=None))

    def _doubts_of(self, shard: int) -> list[str]:
        """Since when the shard's payments are in doubt, the oldest first."""
        answer = self._client.query(
            TableName=self._table,
            IndexName="in_doubt",
            KeyConditionExpression="doubt_shard = :shard",
            ExpressionAttributeValues=marshal({":shard": f"in_doubt#{shard:02}"}),
            ProjectionExpression="doubt_since",
            Limit=DOUBTS_COUNTED,
        )
        return [item["doubt_since"]["S"] for item in answer["Items"]]

    def _holds(self, payment: Payment, entries: Sequence[PostedEntry]) -> bool:
        """Whether exactly this was recorded before, by an earlier attempt whose answer got lost."""
        stored = self.find(payment.payment_id)
        return (
            stored is not None
            and stored.payment.is_same_as(payment)
            and stored.journal[payment.entry_count - len(entries) :] == tuple(posted.entry for posted in entries)
        )

    def _put_payment(self, payment: Payment) -> dict[str, Any]:
        record = asdict(payment) | {"pk": f"PAYMENT#{payment.payment_id}", "sk": "PAYMENT"}
        record["day_shard"] = day_shard(payment.created_at[:10], payment.payment_id)
        record["operations"] = [_operation_item(each) for each in payment.operations if each.kept_apart is None]
        if apart := [_apart_item(payment, each) for each in payment.operations if each.kept_apart is not None]:
            record |= {"operations_apart": len(apart), "apart_hash": apart_hash(apart)}
        if since := payment.in_doubt_since:
            record |= {
                "doubt_shard": doubt_shard(payment.payment_id),
                "doubt_since": since,
            }
        if payment.awaits_gateway:
            record["open_shard"] = open_shard(payment.payment_id)
        assert self._seal
        record = self._seal(record)
        if payment.version == 1:
            return _put(self._table, record, IS_NEW)
        return _put(self._table, record, REPLACES_THE_VERSION_BEFORE, {":version_before": payment.version - 1})

    def _put_apart(self, payment: Payment) -> Iterator[Item]:
        """The operations that this version puts beside the record, whose version is the condition for them too."""
        for operation in payment.operations:
            if operation.kept_apart == payment.version:
                yield {"Put": {"TableName": self._table, "Item": marshal(_apart_item(payment, operation))}}

    def _write_transaction(self, writes: list[dict[str, Any]]) -> None:
        for pause in (*_CONFLICT_PAUSES_SECONDS, None):
            with ledger_errors():
                try:
                    self._client.transact_write_items(TransactItems=writes)  # type: ignore[arg-type]
                    return
                except self._client.exceptions.TransactionCanceledException as error:
                    codes = {reason.get("Code") for reason in error.response["CancellationReasons"]}
                    if "ConditionalCheckFailed" in codes:
                        raise _ConditionFailed from None
                    if "TransactionConflict" not in codes or pause is None:
                        raise
                time.sleep(pause)


def _put(table: str, item: Item, condition: str, values: Item | None = None) -> Item:
    put = {"TableName": table, "Item": marshal(item), "ConditionExpression": condition}
    return {"Put": put | ({"ExpressionAttributeValues": marshal(values)} if values else {})}


class DynamoDbCardVault:
    """`CardVault` in the cards' table, whose TTL attribute is `expires_at` (epoch seconds)."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def renew(self, token: str, until: str) -> None:
        with ledger_errors(), suppress(self._client.exceptions.ConditionalCheckFailedException):
            self._client.update_item(
                TableName=self._table,
                Key=marshal(_card_key(token)),
                UpdateExpression="SET expires_at = :expires_at",
                ConditionExpression=IS_THERE_AND_ENDS_EARLIER,
                ExpressionAttributeValues=marshal({":expires_at": _epoch_seconds(until)}),
            )

    def ciphertext(self, token: str, at: str) -> bytes | None:
        card = self._read(token, at, ("ciphertext",))
        return bytes(card["ciphertext"]) if card else None

    def summary(self, token: str, at: str) -> CardSummary | None:
        card = self._read(token, at, _CARD_FIELDS)
        return CardSummary.from_dict(card) if card else None

    def _read(self, token: str, at: str, attributes: Sequence[str]) -> dict[str, Any] | None:
        """These of the card's attributes, while its time is not over: DynamoDB takes days to delete what is."""
        names = {f"#{name}": name for name in (*attributes, "expires_at")}
        with ledger_errors():
            answer = self._client.get_item(
                TableName=self._table,
                Key=marshal(_card_key(token)),
                ProjectionExpression=", ".join(names),
                ExpressionAttributeNames=names,
                ConsistentRead=True,
            )
        if "Item" not in answer:
            return None
        item = unmarshal(answer["Item"])
        return item if item.pop("expires_at") > datetime.fromisoformat(at).timestamp() else None

    def erase(self, token: str) -> bool:
        with ledger_errors():
            try:
                self._client.delete_item(
                    TableName=self._table, Key=marshal(_card_key(token)), ConditionExpression=IS_THERE
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                return False
        return True


def _card_item(card: StoredCard) -> dict[str, Any]:
    assert card.summary.token  # by which it is kept
    kept = {"ciphertext": card.ciphertext, "expires_at": _epoch_seconds(card.until)}
    return _card_key(card.summary.token) | card.summary.to_dict() | kept


def _card_key(token: str) -> dict[str, str]:
    return {"pk": f"CARD#{token}", "sk": "CARD"}


def _epoch_seconds(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp())


def account_day(account: str, day: str, shard: str) -> str:
    """The index key of the account's postings of one day (YYYY-MM-DD, UTC) that lie in the shard."""
    return f"{account}#{day}#{shard}"


def entry_items(posted: PostedEntry) -> Iterator[dict[str, Any]]:
    """What is written of an entry: its own item, then one for each of its postings."""
    own = {"pk": f"PAYMENT#{posted.payment_id}", "posted_at": posted.posted_at}
    entry = asdict(posted.entry) | {"postings": [asdict(posting) for posting in posted.entry.postings]}
    chain = {"number": posted.number, "previous_hash": posted.previous_hash, "hash": posted.hash}
    yield own | entry | chain | {"sk": _entry_key(posted.number)}
    shard = account_shard(posted.payment_id)
    for n, posting in enumerate(entry["postings"], start=1):
        yield (
            own
            | posting
            | {
                "sk": f"POSTING#{posted.number:04}#{n}",
                "account_day": account_day(posting["account"], posted.posted_at[:10], shard),
                "kind": posted.entry.kind,
                "source": posted.entry.source,
            }
        )


def _operation_item(operation: Operation) -> dict[str, Any]:
    """Without what it has by default: a version that does not know a field yet reads what does not need it."""
    return {each.name: value for each in fields(operation) if (value := getattr(operation, each.name)) != each.default}


def _apart_item(payment: Payment, operation: Operation) -> Item:
    """An operation as it is kept apart from the record."""
    key = {"pk": f"PAYMENT#{payment.payment_id}", "sk": f"OPERATION#{operation.operation_id}"}
    item = key | _operation_item(operation)
    return {name: value for name, value in item.items() if value is not None}


def apart_hash(items: Iterable[Mapping[str, Any]]) -> str:
    """Of all operations that are kept apart from a record: it has this, so that its seal is about them too."""
    return digest("operations", {item["sk"]: item for item in items}).hex()


def _entry_key(number: int) -> str:
    return f"ENTRY#{number:04}"


def writing_shard(payment_id: str) -> str:
    """In which of a day's shards of the index by_writing the payment lies."""
    return _shard(payment_id, WRITTEN_SHARDS)


def written_shard(day: str, shard: str) -> str:
    """The index key of the payments whose last version was written on that day (YYYY-MM-DD, UTC), of one shard."""
    return f"{day}#{shard}"


def account_shard(payment_id: str) -> str:
    """In which of an account's shards the payment's postings lie."""
    return _shard(payment_id, ACCOUNT_SHARDS)


def day_shard(day: str, payment_id: str) -> str:
    """The index key of the payment, which was asked for on that day (YYYY-MM-DD, UTC)."""
    return day_key(day, _shard(payment_id, DAY_SHARDS))


def day_key(day: str, shard: str) -> str:
    """One of the index keys of the payments that were asked for on a day."""
    return f"{day}#{shard}"


def doubt_shard(payment_id: str) -> str:
    """The index key of the payment while it is in doubt."""
    return f"in_doubt#{_shard(payment_id, DOUBT_SHARDS)}"


def open_shard(payment_id: str) -> str:
    """The index key of the payment while the gateway may yet end something of it by itself."""
    return f"open#{_shard(payment_id, OPEN_SHARDS)}"


def _shard(payment_id: str, shards: int) -> str:
    return f"{crc32(payment_id.encode()) % shards:02}"


def _whole_payment(items: Sequence[dict[str, Any]]) -> Payment:
    """The payment of these items, of which the record is the last. Raises LedgerUnavailable where the items were read
    while they were written, some before and some after."""
    apart = [_to_operation(each) for each in items if each["sk"].startswith("OPERATION#")]
    if len(apart) != items[-1].get("operations_apart", 0):
        raise LedgerUnavailable("The payment was read while it was written.")
    return _to_payment(items[-1], apart)


def _to_payment(item: dict[str, Any], apart: Sequence[Operation] = ()) -> Payment:
    record: dict[str, Any] = {field.name: item.get(field.name) for field in fields(Payment)}
    return Payment(
        **record
        | {
            "card": CardSummary.from_dict(item["card"]) if "card" in item else None,
            "flags": tuple(item["flags"]),
            "operations": in_order([*apart, *map(_to_operation, item["operations"])]),
        }
    )


def _to_operation(item: Mapping[str, Any]) -> Operation:
    known: dict[str, Any] = {
        each.name: item.get(each.name, None if each.default is MISSING else each.default) for each in fields(Operation)
    }
    return Operation(**known)


def to_entry(item: Mapping[str, Any]) -> PostedEntry:
    """An entry's own item, read back. Raises ValueError, KeyError or TypeError for what no entry can be."""
    return PostedEntry(
        payment_id=item["pk"].removeprefix("PAYMENT#"),
        number=item["number"],
        posted_at=item["posted_at"],
        entry=JournalEntry(
            item["kind"],
            tuple(Posting(**posting) for posting in item["postings"]),
            item.get("source"),
            item.get("reverses"),
        ),
        previous_hash=item["previous_hash"],
        hash=item["hash"],
    )
