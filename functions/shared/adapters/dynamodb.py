"""The ledger and the stored cards in one DynamoDB table.

| pk                     | sk                     | what                                                     |
|------------------------|------------------------|----------------------------------------------------------|
| `PAYMENT#{payment_id}` | `PAYMENT`              | the payment's current record, its operations in it       |
| `PAYMENT#{payment_id}` | `ENTRY#{number}`       | a journal entry with its postings, and its hash          |
| `PAYMENT#{payment_id}` | `POSTING#{number}#{n}` | one posting, for the index `by_account`                  |
| `CARD#{token}`         | `CARD`                 | the encrypted card, until `expires_at`                   |

`attendance.py`, `books.py` and `velocity.py` keep more in the same table.

The index `by_account` has the hash key `account_day`, `{account}#{day}#{shard}`, and the range key `posted_at`. The
index `in_doubt` has `doubt_shard`, `in_doubt#{shard}`, and `doubt_since`: only payments in doubt, themselves or an
operation of theirs, have them. The index `by_day` has `day_shard`, `{day}#{shard}`, and `created_at`: the payments by
the day on which they were asked for, for the console.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zlib import crc32

from botocore.exceptions import BotoCoreError, ClientError

from functions.shared.domain.card import CardSummary
from functions.shared.domain.errors import LedgerConflict, LedgerUnavailable
from functions.shared.domain.ledger import JournalEntry, PostedEntry, Posting
from functions.shared.domain.operation import Operation
from functions.shared.domain.payment import Payment, Status
from functions.shared.ports import Doubts, RecordedPayment, StoredCard

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

# A day's postings to one account are spread over so many index keys, so that none is a hot key: docs/scale.md.
ACCOUNT_SHARDS = 64

# Doubts are few, but for the day when the gateway is down: then all payments are. They are counted every five minutes.
DOUBT_SHARDS = 128

# The payments of a day, so that none of their keys takes a hundredth of the writes either.
DAY_SHARDS = 128

# So many payments in doubt are counted of each shard: a person is woken for the first, and the count stays cheap.
DOUBTS_COUNTED = 1000

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
def ledger_errors() -> Iterator[None]:
    """Whatever DynamoDB refuses, we try again: the money has moved, and an operator may yet mend the permission."""
    try:
        yield
    except ClientError as error:
        raise LedgerUnavailable(f"DynamoDB: {error.response['Error']['Code']}") from None
    except BotoCoreError as error:
        raise LedgerUnavailable(f"DynamoDB: {type(error).__name__}") from None


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


class DynamoDbLedger:
    """`Ledger` in one table. Uniqueness lives in the data: every item is written on the condition that it is new.

    (A `ClientRequestToken` would only last ten minutes, and botocore repeats by itself a write whose answer was lost.)
    """

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def record(self, payment: Payment, entries: Sequence[PostedEntry] = (), card: StoredCard | None = None) -> None:
        writes = [self._put_payment(payment)]
        writes += [self._put(item, IS_NEW) for posted in entries for item in entry_items(posted)]
        if card:
            writes.append(self._put(_card_item(card), IS_NEW))
        try:
            self._write_transaction(writes)
        except _ConditionFailed:
            if not self._holds(payment, entries):
                raise LedgerConflict("The ledger holds another record of this payment.") from None

    def payment(self, payment_id: str) -> Payment | None:
        with ledger_errors():
            answer = self._client.get_item(
                TableName=self._table,
                Key=marshal({"pk": f"PAYMENT#{payment_id}", "sk": "PAYMENT"}),
                ConsistentRead=True,
            )
        return _to_payment(unmarshal(answer["Item"])) if "Item" in answer else None

    def find(self, payment_id: str) -> RecordedPayment | None:
        with ledger_errors():
            pages = self._client.get_paginator("query").paginate(
                TableName=self._table,
                # ENTRY#… sorts before PAYMENT, POSTING#… after it: the entries hold their postings already.
                KeyConditionExpression="pk = :pk AND sk <= :payment",
                ExpressionAttributeValues=marshal({":pk": f"PAYMENT#{payment_id}", ":payment": "PAYMENT"}),
                ConsistentRead=True,
            )
            items = [unmarshal(item) for page in pages for item in page["Items"]]
        if not items:
            return None
        *entries, payment = items
        return RecordedPayment(_to_payment(payment), tuple(map(to_entry, entries)))

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
        record = asdict(payment) | {
            "pk": f"PAYMENT#{payment.payment_id}",
            "sk": "PAYMENT",
            "day_shard": day_shard(payment.created_at[:10], payment.payment_id),
        }
        if since := payment.in_doubt_since:
            record |= {
                "doubt_shard": doubt_shard(payment.payment_id),
                "doubt_since": since,
            }
        if payment.version == 1:
            return self._put(record, IS_NEW)
        return self._put(record, REPLACES_THE_VERSION_BEFORE, {":version_before": payment.version - 1})

    def _put(self, item: dict[str, Any], condition: str, values: dict[str, Any] | None = None) -> dict[str, Any]:
        put = {"TableName": self._table, "Item": marshal(item), "ConditionExpression": condition}
        return {"Put": put | ({"ExpressionAttributeValues": marshal(values)} if values else {})}

    def _write_transaction(self, writes: list[dict[str, Any]]) -> None:
        with ledger_errors():
            try:
                self._client.transact_write_items(TransactItems=writes)  # type: ignore[arg-type]
            except self._client.exceptions.TransactionCanceledException as error:
                codes = {reason.get("Code") for reason in error.response["CancellationReasons"]}
                if "ConditionalCheckFailed" in codes:
                    raise _ConditionFailed from None
                raise


class DynamoDbCardVault:
    """`CardVault` in the ledger's table, whose TTL attribute is `expires_at` (epoch seconds)."""

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


def _entry_key(number: int) -> str:
    return f"ENTRY#{number:04}"


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


def _shard(payment_id: str, shards: int) -> str:
    return f"{crc32(payment_id.encode()) % shards:02}"


def _to_payment(item: dict[str, Any]) -> Payment:
    record: dict[str, Any] = {field.name: item.get(field.name) for field in fields(Payment)}
    return Payment(
        **record
        | {
            "card": CardSummary.from_dict(item["card"]) if "card" in item else None,
            "flags": tuple(item["flags"]),
            "operations": tuple(Operation(**operation) for operation in item["operations"]),
        }
    )


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
