"""The ledger in a DynamoDB table from which nothing is deleted. keys.py describes the items and indexes.

Every version of a record has a seal: a MAC over the item, including its index keys and the head of its journal. The
chain of hashes binds the entries to the seal, and the entries determine the items of their postings.
"""

from base64 import b64encode
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from typing import TYPE_CHECKING, Any

from functions.shared.adapters.table import keys
from functions.shared.adapters.table.cards import card_item
from functions.shared.adapters.table.events import event_item
from functions.shared.adapters.table.items import (
    IS_NEW,
    ConditionFailed,
    Item,
    marshal,
    put,
    query,
    read_batch,
    write_transaction,
)
from functions.shared.domain.card import CardSummary
from functions.shared.domain.charge import Authentication
from functions.shared.domain.dispute import Dispute
from functions.shared.domain.errors import KeyServiceUnavailable, KeyUnusable, LedgerConflict, LedgerUnavailable
from functions.shared.domain.event import payment_event
from functions.shared.domain.ledger import GENESIS_HASH, JournalEntry, PostedEntry, Posting
from functions.shared.domain.operation import Operation, in_order
from functions.shared.domain.payment import Payment, Status
from functions.shared.domain.seal import digest
from functions.shared.ports import Doubts, Mac, RecordedPayment, StoredCard

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

# The number of payments in a page of `awaiting_gateway`.
OPEN_PAGE_SIZE = 500

# The most payments in doubt counted per shard. A single doubt already raises the alarm, and the limit keeps the
# count cheap on a day when all payments are in doubt.
MAX_DOUBTS_COUNTED = 1000

REPLACES_PREVIOUS_VERSION = "version = :version_before"

READ_WHILE_WRITTEN = "The payment was read while it was written. If this repeats, it is damaged: verify the ledger."


def sealed(record: Item, mac: Mac, at: str) -> Item:
    """Complete a record for writing at that time, with the keys of the index `by_writing` and a MAC over everything."""
    shard = keys.shard_of(record["payment_id"], keys.WRITTEN_SHARDS)
    written = record | {"written_at": at, "written_shard": keys.written_shard(at[:10], shard)}
    item = _without_none(written)
    try:
        return item | {"mac": b64encode(mac.mac(digest("record", item))).decode()}
    except (KeyServiceUnavailable, KeyUnusable) as error:
        raise LedgerUnavailable(f"A record can't be sealed: {error}") from None


class DynamoDbLedger:
    """`Ledger` in one table. Conditions on the data guarantee uniqueness: a new item is only written if it is absent.

    (A `ClientRequestToken` would last for only ten minutes, and botocore itself retries a write whose answer was lost.)
    `seal` is `sealed` with a MAC and a time. Reading needs neither `seal` nor the cards' table.
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

    def record(
        self,
        payment: Payment,
        entries: Sequence[PostedEntry] = (),
        card: StoredCard | None = None,
        *,
        previous: Payment | None = None,
    ) -> None:
        writes = [self._put_payment(payment), *self._put_older_operations(payment, previous)]
        writes.append(put(self._table, event_item(payment_event(payment, previous)), IS_NEW))
        writes += [put(self._table, item, IS_NEW) for posted in entries for item in entry_items(posted)]
        if card:
            assert self._cards_table
            writes.append(put(self._cards_table, card_item(card), IS_NEW))
        try:
            write_transaction(self._client, writes)
        except ConditionFailed:
            if not self._has_recorded(payment, entries):
                raise LedgerConflict("The ledger holds another record of this payment.") from None

    def payment(self, payment_id: str) -> Payment | None:
        items = self._items_through_record(payment_id, since=keys.FIRST_OPERATION)
        return _payment_from_items(items) if items else None

    def find(self, payment_id: str) -> RecordedPayment | None:
        items = self._items_through_record(payment_id, since=keys.FIRST_ENTRY)
        if not items:
            return None
        payment = _payment_from_items(items)
        entries = tuple(to_entry(item) for item in items if item["sk"].startswith(keys.FIRST_ENTRY))
        last_hash = entries[-1].hash if entries else GENESIS_HASH
        if (len(entries), last_hash) != (payment.entry_count, payment.journal_hash):
            raise LedgerUnavailable(READ_WHILE_WRITTEN)
        return RecordedPayment(payment, entries)

    def _items_through_record(self, payment_id: str, since: str) -> list[Item]:
        """The payment's items from this sort key to the record's. ENTRY#… sorts before EVENT#…, OPERATION#… and
        PAYMENT. POSTING#… sorts after it and is not read, as the entries contain their postings.

        A query may see some of a transaction's items before the transaction, and others after it: "Isolation levels for
        DynamoDB transactions", developer guide. So whoever reads several items must compare them with the record."""
        values = {":pk": keys.payment_pk(payment_id), ":since": since, ":record": keys.RECORD}
        condition = "pk = :pk AND sk BETWEEN :since AND :record"
        return list(query(self._client, self._table, condition, values, ConsistentRead=True))

    def statuses(self, payment_ids: Collection[str]) -> dict[str, Status]:
        items = self._batch(
            [(payment_id, keys.RECORD) for payment_id in payment_ids],
            ProjectionExpression="payment_id, #status",
            ExpressionAttributeNames={"#status": "status"},
        )
        return {item["payment_id"]: item["status"] for item in items}

    def payments(self, payment_ids: Collection[str]) -> dict[str, Payment]:
        items = self._batch([(payment_id, keys.RECORD) for payment_id in payment_ids])
        return {payment.payment_id: payment for payment in map(_to_payment, items)}

    def entries(self, numbers: Collection[tuple[str, int]]) -> dict[tuple[str, int], PostedEntry]:
        items = self._batch([(payment_id, keys.entry_sk(number)) for payment_id, number in numbers])
        return {(posted.payment_id, posted.number): posted for posted in map(to_entry, items)}

    def _batch(self, sort_keys: Collection[tuple[str, str]], **projection: Any) -> Iterator[Item]:
        """The items with these pairs of payment id and sort key, in no particular order."""
        pairs = [(keys.payment_pk(payment_id), sort_key) for payment_id, sort_key in sort_keys]
        return read_batch(self._client, self._table, pairs, **projection)

    def awaiting_gateway(self, page: str | None) -> tuple[list[str], str | None]:
        first_shard, _, after = (page or "0#").partition("#")
        payment_ids: list[str] = []
        for shard in range(int(first_shard), keys.OPEN_SHARDS):
            payment_ids += self._open_payment_ids(shard, after, OPEN_PAGE_SIZE - len(payment_ids))
            if len(payment_ids) == OPEN_PAGE_SIZE:
                return payment_ids, f"{shard}#{payment_ids[-1]}"
            after = ""
        return payment_ids, None

    def _open_payment_ids(self, shard: int, after: str, limit: int) -> list[str]:
        """The ids of the shard's first open payments after this id, at most `limit`."""
        items = query(
            self._client,
            self._table,
            "open_shard = :shard AND pk > :after",
            {":shard": keys.open_shard(shard), ":after": keys.payment_pk(after)},
            limit=limit,
            IndexName="open",
            ProjectionExpression="pk",
        )
        return [keys.payment_id_of(item["pk"]) for item in items]

    def doubts(self) -> Doubts:
        shards = (doubts_in(self._client, self._table, n, MAX_DOUBTS_COUNTED) for n in range(keys.DOUBT_SHARDS))
        since = [moment for shard in shards for _, moment in shard]
        return Doubts(len(since), min(since, default=None))

    def _has_recorded(self, payment: Payment, entries: Sequence[PostedEntry]) -> bool:
        """Whether an earlier attempt, whose answer was lost, has recorded exactly this."""
        stored = self.find(payment.payment_id)
        return (
            stored is not None
            and stored.payment.is_same_as(payment)
            and stored.journal[payment.entry_count - len(entries) :] == tuple(posted.entry for posted in entries)
        )

    def _put_payment(self, payment: Payment) -> Item:
        payment_id, day = payment.payment_id, payment.created_at[:10]
        record = asdict(payment) | {"pk": keys.payment_pk(payment_id), "sk": keys.RECORD}
        record["day_shard"] = keys.day_shard(day, keys.shard_of(payment_id, keys.DAY_SHARDS))
        if payment.status != keys.USUAL_STATUS:
            shard = keys.shard_of(payment_id, keys.STATUS_SHARDS)
            record["status_shard"] = keys.status_shard(payment.status, day, shard)
        record["operations"] = [
            _operation_item(operation) for operation in payment.operations if not operation.kept_apart
        ]
        # A payment without disputes is written as before there were any.
        record["disputes"] = [asdict(dispute) for dispute in payment.disputes] or None
        if older := [
            _older_operation_item(payment, operation) for operation in payment.operations if operation.kept_apart
        ]:
            record |= {"operations_apart": len(older), "apart_hash": apart_hash(older)}
        if since := payment.in_doubt_since:
            shard = keys.shard_of(payment_id, keys.DOUBT_SHARDS)
            record |= {"doubt_shard": keys.doubt_shard(shard), "doubt_since": since}
        if payment.awaits_gateway:
            record["open_shard"] = keys.open_shard(keys.shard_of(payment_id, keys.OPEN_SHARDS))
        assert self._seal
        record = self._seal(record)
        if payment.version == 1:
            return put(self._table, record, IS_NEW)
        return put(self._table, record, REPLACES_PREVIOUS_VERSION, {":version_before": payment.version - 1})

    def _put_older_operations(self, payment: Payment, previous: Payment | None) -> Iterator[Item]:
        """The writes of the operations that this version stores apart. The condition on the record covers them."""
        stored = set(previous.operations if previous else ())
        for operation in payment.operations:
            if operation.kept_apart and operation not in stored:
                yield {"Put": {"TableName": self._table, "Item": marshal(_older_operation_item(payment, operation))}}


def doubts_in(client: "DynamoDBClient", table: str, shard: int, limit: int | None = None) -> Iterator[tuple[str, str]]:
    """The ids of the shard's payments in doubt, each with the time since when, the oldest doubt first."""
    items = query(
        client,
        table,
        "doubt_shard = :shard",
        {":shard": keys.doubt_shard(shard)},
        limit=limit,
        IndexName="in_doubt",
        ProjectionExpression="pk, doubt_since",
    )
    return ((keys.payment_id_of(item["pk"]), item["doubt_since"]) for item in items)


def entry_items(posted: PostedEntry) -> Iterator[Item]:
    """The items of an entry: its own, then one for each posting."""
    common = {"pk": keys.payment_pk(posted.payment_id), "posted_at": posted.posted_at}
    entry = asdict(posted.entry) | {"postings": [asdict(posting) for posting in posted.entry.postings]}
    chain = {"number": posted.number, "previous_hash": posted.previous_hash, "hash": posted.hash}
    yield common | entry | chain | {"sk": keys.entry_sk(posted.number)}
    day, shard = posted.posted_at[:10], keys.shard_of(posted.payment_id, keys.ACCOUNT_SHARDS)
    for n, posting in enumerate(entry["postings"], start=1):
        yield (
            common
            | posting
            | {
                "sk": keys.posting_sk(posted.number, n),
                "account_day": keys.account_day(posting["account"], day, shard),
                "kind": posted.entry.kind,
                "source": posted.entry.source,
            }
        )


def _operation_item(operation: Operation) -> Item:
    """The operation without the fields that have their default, so that an older version of the code, which does not
    know a new field, can read every operation that does not use the field."""
    return {
        field.name: value for field in fields(operation) if (value := getattr(operation, field.name)) != field.default
    }


def _older_operation_item(payment: Payment, operation: Operation) -> Item:
    """The item of an operation that is stored apart from the record."""
    key = {"pk": keys.payment_pk(payment.payment_id), "sk": keys.operation_sk(operation.operation_id)}
    return _without_none(key | _operation_item(operation))


def apart_hash(items: Iterable[Mapping[str, Any]]) -> str:
    """The hash of all operations stored apart from a record. The record contains the hash, so the record's seal covers
    these operations, too."""
    return digest("operations", {item["sk"]: item for item in items}).hex()


def _without_none(item: Item) -> Item:
    return {name: value for name, value in item.items() if value is not None}


def _payment_from_items(items: Sequence[Item]) -> Payment:
    """The payment from its items, the last of which is the record.

    Raises LedgerUnavailable without a record, or if the operations beside it are not those that it was written with.
    """
    if items[-1]["sk"] != keys.RECORD:
        raise LedgerUnavailable(READ_WHILE_WRITTEN)
    older = [item for item in items if item["sk"].startswith(keys.FIRST_OPERATION)]
    if (apart_hash(older) if older else None) != items[-1].get("apart_hash"):
        raise LedgerUnavailable(READ_WHILE_WRITTEN)
    return _to_payment(items[-1], [_to_operation(item) for item in older])


def _to_payment(item: Item, older: Sequence[Operation] = ()) -> Payment:
    record: dict[str, Any] = {field.name: item.get(field.name) for field in fields(Payment)}
    return Payment(
        **record
        | {
            "card": CardSummary.from_dict(item["card"]) if "card" in item else None,
            "flags": tuple(item["flags"]),
            "authentication": Authentication(**item["authentication"]) if "authentication" in item else None,
            "disputes": tuple(Dispute(**dispute) for dispute in item.get("disputes", ())),
            "operations": in_order([*older, *map(_to_operation, item["operations"])]),
        }
    )


def _to_operation(item: Mapping[str, Any]) -> Operation:
    attributes: dict[str, Any] = {
        field.name: item.get(field.name, None if field.default is MISSING else field.default)
        for field in fields(Operation)
    }
    return Operation(**attributes)


def to_entry(item: Mapping[str, Any]) -> PostedEntry:
    """Read an entry from its item. Raises ValueError, KeyError or TypeError for an invalid item."""
    return PostedEntry(
        payment_id=keys.payment_id_of(item["pk"]),
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
