"""Tries every way to rewrite the ledger on an anchored one. The verification or the audit must find each."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from functions.shared.adapters.anchors import ANCHORS, PARTS
from functions.shared.adapters.kms import KmsMac
from functions.shared.adapters.table import keys
from functions.shared.adapters.table.books import DynamoDbBooks
from functions.shared.adapters.table.items import marshal, unmarshal
from functions.shared.adapters.table.ledger import entry_items, sealed
from functions.shared.adapters.table.written import DynamoDbWritten
from functions.shared.domain.ledger import GENESIS_HASH, PostedEntry, capture_entry, refund_entry, turnover
from functions.shared.domain.operation import Operation, OperationRequest
from functions.shared.domain.payment import Payment, PaymentRequest
from tests.mocked_aws import ANCHORS_BUCKET, CARDS_TABLE, COUNTERS_TABLE, REGION, TABLE, MockedAws, mocked_aws
from tests.samples import ACCOUNTS, payment
from tests.unit.tools.books.conftest import anchored, days_ago
from tools.books import verification as verify
from tools.books.findings import Evidence, Finding, findings
from tools.books.reading import BooksReader
from tools.deployment.rewritings import AUDIT, REWRITINGS, VERIFY
from tools.deployment.stack import Stack

DAY = days_ago(2)
PAID_AT, REFUNDED_AT = f"{DAY}T09:00:00.000Z", f"{DAY}T10:00:00.000Z"
PAID, DECLINED, AUTHORIZED = "PAYMENT#pay-1", "PAYMENT#pay-2", "PAYMENT#pay-4"
Item = dict[str, Any]


def operation(at: str) -> Operation:
    """A rejected refund."""
    return Operation("op-0", "refund", 100, "rejected", "invalid_state", at, at)


class Books:
    """The ledger: a captured and partially refunded payment, a declined one with an operation beside its record, and an
    authorized one, on a closed and anchored day. Tampering takes and puts whole items."""

    def __init__(self, aws: MockedAws) -> None:
        self.aws = aws
        paid, entries = self._requested("pay-1").post(capture_entry("sparkle", 1999, "USD"))
        self.aws.ledger(lambda: PAID_AT).record(paid, entries)
        self.first_version = self.take(PAID, "PAYMENT")
        reserved = paid.reserve(OperationRequest("op-1", "pay-1", "refund", 500, REFUNDED_AT), REFUNDED_AT)
        refunded, more = reserved.settle(reserved.operations[0], REFUNDED_AT).post(
            refund_entry("sparkle", 500, "USD", "op-1")
        )
        for version, posted, previous in ((reserved, (), paid), (refunded, more, reserved)):
            self.aws.ledger(lambda: REFUNDED_AT).record(version, posted, previous=previous)
        apart = replace(operation(PAID_AT), kept_apart=True)
        declined = replace(self._requested("pay-2"), status="declined", captured_minor=0, operations=(apart,))
        self.aws.ledger(lambda: PAID_AT).record(declined)
        self.aws.ledger(lambda: PAID_AT).record(
            replace(self._requested("pay-4"), status="authorized", captured_minor=0)
        )
        self.journal = (*entries, *more)
        postings = [posting for posted in self.journal for posting in posted.entry.postings]
        DynamoDbBooks(aws.dynamodb, TABLE).close(DAY, turnover(postings), f"{days_ago(1)}T02:00:00.000Z")

    @staticmethod
    def _requested(payment_id: str) -> Payment:
        request = PaymentRequest(1999, "USD", merchant_reference="order-1")
        return payment(payment_id, "captured", request, created_at=PAID_AT, updated_at=PAID_AT)

    def take(self, pk: str, sk: str) -> Item:
        return unmarshal(self.aws.dynamodb.get_item(TableName=TABLE, Key=marshal({"pk": pk, "sk": sk}))["Item"])

    def put(self, *items: Item) -> None:
        for item in items:
            self.aws.dynamodb.put_item(TableName=TABLE, Item=marshal(item))

    def change(self, sk: str, pk: str = PAID, **changes: Any) -> None:
        self.put(self.take(pk, sk) | changes)

    def delete(self, *sks: str, pk: str = PAID) -> None:
        for sk in sks:
            self.aws.dynamodb.delete_item(TableName=TABLE, Key=marshal({"pk": pk, "sk": sk}))

    def seal(self, record: Item, at: str = REFUNDED_AT) -> None:
        """Put a record with a seal, as a function would."""
        without = {name: value for name, value in record.items() if name not in ("mac", "written_at", "written_shard")}
        self.put(sealed(without, KmsMac(self.aws.kms, self.aws.books_key_id), at))

    def next_version(self, at: str, pk: str = PAID, **changes: Any) -> None:
        record = self.take(pk, "PAYMENT")
        self.seal(record | {"version": record["version"] + 1} | changes, at)

    @property
    def event(self) -> Item:
        """The newest event of the captured and refunded payment."""
        return self.take(PAID, "EVENT#000003")

    def put_event(self, event: Item, version: int = 3, **payment: Any) -> None:
        """Put an event that shows the payment like this."""
        self.put(event | {"data": {"version": version, "payment": event["data"]["payment"] | payment}})

    def times_100(self) -> Item:
        """Multiply both entries and their postings by 100, recompute the chain, and return the matching record."""
        previous = GENESIS_HASH
        for posted in self.journal:
            more = tuple(replace(each, amount_minor=100 * each.amount_minor) for each in posted.entry.postings)
            forged = PostedEntry.after(
                previous,
                replace(posted.entry, postings=more),
                payment_id="pay-1",
                number=posted.number,
                posted_at=posted.posted_at,
            )
            self.put(*entry_items(forged))
            previous = forged.hash
        record = self.take(PAID, "PAYMENT")
        amounts = {name: 100 * record[name] for name in ("amount_minor", "captured_minor", "refunded_minor")}
        operations = [operation | {"amount_minor": 50000} for operation in record["operations"]]
        return record | amounts | {"operations": operations, "journal_hash": previous}

    def invented(self, at: str) -> Item:
        """Put the entry and the postings of an invented payment, and return its record."""
        record, entries = payment("pay-3", created_at=at, updated_at=at).post(capture_entry("sparkle", 1999, "USD"))
        self.put(*(item for posted in entries for item in entry_items(posted)))
        return asdict(record) | {"pk": "PAYMENT#pay-3", "sk": "PAYMENT"}

    def snapshot(self) -> tuple[list[Any], dict[str, bytes]]:
        """The contents of the table and of the bucket."""
        s3, objects = self.aws.s3, self.aws.s3.list_objects_v2(Bucket=ANCHORS_BUCKET).get("Contents", [])
        bodies = {each["Key"]: s3.get_object(Bucket=ANCHORS_BUCKET, Key=each["Key"])["Body"].read() for each in objects}
        return list(self.aws.dynamodb.scan(TableName=TABLE)["Items"]), bodies

    def restore(self, items: list[Any], bodies: dict[str, bytes]) -> None:
        present = self.aws.dynamodb.scan(TableName=TABLE)["Items"]
        for item in present:
            if item not in items:
                self.aws.dynamodb.delete_item(TableName=TABLE, Key={name: item[name] for name in ("pk", "sk")})
        for item in items:
            if item not in present:
                self.aws.dynamodb.put_item(TableName=TABLE, Item=item)
        self.forget_anchors()
        for key, body in bodies.items():
            self.aws.s3.put_object(Bucket=ANCHORS_BUCKET, Key=key, Body=body)

    def forget_anchors(self) -> None:
        """Remove all anchors."""
        listing = self.aws.s3.list_object_versions(Bucket=ANCHORS_BUCKET)
        for each in (*listing.get("Versions", []), *listing.get("DeleteMarkers", [])):
            self.aws.s3.delete_object(Bucket=ANCHORS_BUCKET, Key=each["Key"], VersionId=each["VersionId"])

    def anchor_key(self, prefix: str) -> str:
        return str(self.aws.s3.list_objects_v2(Bucket=ANCHORS_BUCKET, Prefix=prefix)["Contents"][-1]["Key"])


HOW: dict[str, Callable[[Books], object]] = {}


def rewriting(what: str) -> Callable[[Callable[[Books], object]], Callable[[Books], object]]:
    def add(how: Callable[[Books], object]) -> Callable[[Books], object]:
        HOW[what] = how
        return how

    return add


HOW |= {
    "a status is changed": lambda books: books.change("PAYMENT", status="refunded"),
    "an amount is changed in the record alone": lambda books: books.change("PAYMENT", amount_minor=199900),
    "an amount is multiplied by 100, with its entry, its postings, and the chain recomputed": lambda books: books.put(
        books.times_100()
    ),
    "a payment is invented": lambda books: books.put(books.invented(REFUNDED_AT)),
    "a payment is copied under another id, its seal with it": lambda books: books.put(
        books.take(DECLINED, "PAYMENT") | {"pk": "PAYMENT#pay-3"}
    ),
    "another payment's seal is put in the place of a record's own": lambda books: books.change(
        "PAYMENT", mac=books.take(DECLINED, "PAYMENT")["mac"]
    ),
    "a seal is taken away": lambda books: books.change("PAYMENT", mac=None),
    "the next version of a record is written without a seal": lambda books: books.change(
        "PAYMENT", version=4, mac=None, written_at=None, written_shard=None
    ),
    "an older version of a record is put back": lambda books: books.put(books.first_version),
    "a merchant reference is changed": lambda books: books.change("PAYMENT", merchant_reference="order-2"),
    "a card is changed": lambda books: books.change(
        "PAYMENT", card=books.take(PAID, "PAYMENT")["card"] | {"last4": "0002"}
    ),
    "the date of a payment is changed": lambda books: books.change("PAYMENT", created_at=REFUNDED_AT),
    "an attribute is added to a record": lambda books: books.change("PAYMENT", note="settled"),
    "an operation beside a record is changed": lambda books: books.change("OPERATION#op-0", DECLINED, amount_minor=1),
    "an operation is put beside a record": lambda books: books.put(
        books.take(DECLINED, "OPERATION#op-0") | {"sk": "OPERATION#op-9", "operation_id": "op-9"}
    ),
    "an operation beside a record is deleted": lambda books: books.delete("OPERATION#op-0", pk=DECLINED),
    "an operation is taken out of a record": lambda books: books.change("PAYMENT", operations=[]),
    "the amount of an operation is changed": lambda books: books.change(
        "PAYMENT", operations=[books.take(PAID, "PAYMENT")["operations"][0] | {"amount_minor": 1}]
    ),
    "an operation is said to be the gateway's": lambda books: books.change(
        "PAYMENT", operations=[books.take(PAID, "PAYMENT")["operations"][0] | {"source": "gateway"}]
    ),
    "a payment is put into the index of open ones": lambda books: books.change("PAYMENT", open_shard="open#00"),
    "an authorization is taken out of the index of open ones": lambda books: books.change(
        "PAYMENT", AUTHORIZED, open_shard=None
    ),
    "a payment is put into the index of doubts": lambda books: books.change(
        "PAYMENT", doubt_shard="in_doubt#00", doubt_since=PAID_AT
    ),
    "a record is moved to another day of the index by writing": lambda books: books.change(
        "PAYMENT", written_at=f"{days_ago(0)}T00:00:00.000Z", written_shard=f"{days_ago(0)}#00"
    ),
    "an entry's source is changed": lambda books: books.change("ENTRY#0002", source="op-2"),
    "an entry is added, and not counted": lambda books: books.put(
        *entry_items(
            PostedEntry.after(
                books.journal[-1].hash,
                capture_entry("sparkle", 1, "USD"),
                payment_id="pay-1",
                number=3,
                posted_at=REFUNDED_AT,
            )
        )
    ),
    "a posting's amount is changed": lambda books: books.change("POSTING#0001#1", amount_minor=199900),
    "a posting is moved to another day of its account": lambda books: books.change(
        "POSTING#0001#1", account_day=f"asset:gateway:sparkle#{days_ago(9)}#00"
    ),
    "a posting is added to an entry": lambda books: books.put(
        books.take(PAID, "POSTING#0001#1") | {"sk": "POSTING#0001#3"}
    ),
    "postings are made for a payment that does not exist": lambda books: books.put(
        books.take(PAID, "POSTING#0001#1") | {"pk": "PAYMENT#nobody", "amount_minor": 5000000}
    ),
    "a status is changed, and sealed": lambda books: books.seal(
        books.take(PAID, "PAYMENT") | {"status": "refunded", "refunded_minor": 1999}
    ),
    "a status is changed in a next version, and sealed": lambda books: books.next_version(
        f"{days_ago(0)}T00:00:00.000Z", status="refunded", refunded_minor=1999
    ),
    "an amount is multiplied by 100, recomputed and sealed": lambda books: books.seal(books.times_100()),
    "an amount is multiplied by 100, recomputed and sealed as a next version": lambda books: books.seal(
        books.times_100() | {"version": 4}, f"{days_ago(0)}T00:00:00.000Z"
    ),
    "a merchant reference is changed in a next version, and sealed": lambda books: books.next_version(
        f"{days_ago(0)}T00:00:00.000Z", merchant_reference="order-2"
    ),
    "an operation is taken out in a next version, and sealed": lambda books: books.next_version(
        f"{days_ago(0)}T00:00:00.000Z", operations=[]
    ),
    "a payment is put into the index of open ones in a next version, and sealed": lambda books: books.next_version(
        f"{days_ago(0)}T00:00:00.000Z", open_shard="open#00"
    ),
    "an authorization is taken out of the index of open ones in a next version, and sealed": lambda books: (
        books.next_version(f"{days_ago(0)}T00:00:00.000Z", AUTHORIZED, open_shard=None)
    ),
    "a payment is invented and sealed, as of a day that has an anchor": lambda books: books.seal(
        books.invented(REFUNDED_AT), REFUNDED_AT
    ),
    "a payment is invented and sealed, as of now": lambda books: books.seal(
        books.invented(f"{days_ago(0)}T00:00:00.000Z"), f"{days_ago(0)}T00:00:00.000Z"
    ),
    "the totals of a closed day are changed": lambda books: books.change(
        DAY, f"CLOSE#{DAY[:4]}", totals={"asset:bank": {"USD": [5, 0]}}
    ),
    "a day is closed that is not over": lambda books: books.put(
        books.take(f"CLOSE#{DAY[:4]}", DAY) | {"pk": f"CLOSE#{days_ago(0)[:4]}", "sk": days_ago(0)}
    ),
    "a payment is deleted, with all that it has": lambda books: books.delete("PAYMENT", pk=DECLINED),
    "an entry is deleted, with its postings": lambda books: books.delete(
        "ENTRY#0002", "POSTING#0002#1", "POSTING#0002#2"
    ),
    "the newest event of a payment is changed": lambda books: books.put_event(books.event, status="refunded"),
    "an event is invented": lambda books: books.put_event(
        books.event | {"sk": "EVENT#000004", "type": "payment.updated"}, version=4
    ),
    "an event between others is deleted": lambda books: books.delete("EVENT#000002"),
    "the newest event of a payment is deleted": lambda books: books.delete("EVENT#000003"),
    "a posting is deleted": lambda books: books.delete("POSTING#0001#2"),
    "a record is deleted": lambda books: books.delete("PAYMENT"),
    "postings are written that have no payment's key": lambda books: books.put(
        books.take(PAID, "POSTING#0001#1") | {"pk": "NOBODY", "amount_minor": 5000000}
    ),
}


@rewriting("the last entry is deleted, and the record mended")
def mended(books: Books) -> None:
    books.put(mended_record(books))


def mended_record(books: Books) -> Item:
    books.delete("ENTRY#0002", "POSTING#0002#1", "POSTING#0002#2")
    return books.take(PAID, "PAYMENT") | {
        "status": "captured",
        "refunded_minor": 0,
        "operations": [],
        "entry_count": 1,
        "journal_hash": books.journal[0].hash,
    }


@rewriting("the last entry is deleted, and the record mended and sealed")
def mended_and_sealed(books: Books) -> None:
    books.seal(mended_record(books) | {"version": 4}, f"{days_ago(0)}T00:00:00.000Z")


@rewriting("an older version of a record is put back, and its later entry deleted")
def put_back(books: Books) -> None:
    books.delete("ENTRY#0002", "POSTING#0002#1", "POSTING#0002#2", "EVENT#000002", "EVENT#000003")
    books.put(books.first_version)


HOW["an older version of a record is put back, and its later entry deleted, before there is an anchor"] = put_back


@rewriting("a payment is deleted before there is an anchor")
def deleted(books: Books) -> None:
    events = (f"EVENT#{version:06}" for version in (1, 2, 3))
    books.delete("PAYMENT", *(item["sk"] for posted in books.journal for item in entry_items(posted)), *events)


@rewriting("an anchor is hidden by a delete marker")
def hidden(books: Books) -> None:
    books.aws.s3.delete_object(Bucket=ANCHORS_BUCKET, Key=books.anchor_key(ANCHORS))


@rewriting("the lines of an anchor are hidden")
def lines_hidden(books: Books) -> None:
    books.aws.s3.delete_object(Bucket=ANCHORS_BUCKET, Key=books.anchor_key(PARTS))


@rewriting("another anchor is put in the place of one")
def replaced(books: Books) -> None:
    books.aws.s3.put_object(Bucket=ANCHORS_BUCKET, Key=books.anchor_key(ANCHORS), Body=b"{}")


@rewriting("an anchor is added that no function wrote")
def added(books: Books) -> None:
    key = books.anchor_key(ANCHORS)
    last = json.loads(books.aws.s3.get_object(Bucket=ANCHORS_BUCKET, Key=key)["Body"].read())
    number = last["number"] + 1
    forged = last | {"number": number, "previous": last["root"], "mac": b64encode(bytes(32)).decode()}
    body = json.dumps(forged).encode()
    books.aws.s3.put_object(Bucket=ANCHORS_BUCKET, Key=f"{ANCHORS}{number:08}.json", Body=body)


@pytest.fixture(scope="module")
def anchored_books() -> Iterator[tuple[Books, tuple[list[Any], dict[str, bytes]]]]:
    with mocked_aws() as aws, pytest.MonkeyPatch.context() as patch:
        for owner, name, value in (
            (keys, "ACCOUNT_SHARDS", 2),  # moto's queries are slow
            (DynamoDbBooks, "shards", 2),
            (keys, "WRITTEN_SHARDS", 2),
            (DynamoDbWritten, "shards", 2),
            (verify, "SEGMENTS", 1),  # moto returns the whole table for each segment
            (verify, "REREAD_PAUSES_SECONDS", (0,)),
        ):
            patch.setattr(owner, name, value)
        aws.s3.put_bucket_versioning(Bucket=ANCHORS_BUCKET, VersioningConfiguration={"Status": "Enabled"})
        books = Books(aws)
        anchored(books.aws, DAY, f"{days_ago(1)}T00:30:00.000Z")
        yield books, books.snapshot()


@pytest.fixture
def books(anchored_books: tuple[Books, tuple[list[Any], dict[str, bytes]]]) -> Iterator[Books]:
    books, as_written = anchored_books
    yield books
    books.restore(*as_written)


def verified(books: Books) -> tuple[bool, str]:
    arn = f"arn:aws:states:{REGION}:123456789012:stateMachine:payments-test-payment"
    stack = Stack(
        "http://127.0.0.1:1", REGION, arn, TABLE, "/aws/lambda/", access_key_id="key", secret_access_key="secret",
        cards_table=CARDS_TABLE, counters_table=COUNTERS_TABLE, books_key_arn=books.aws.books_key_id,
        anchors_bucket=ANCHORS_BUCKET,
    )  # fmt: skip
    out = StringIO()
    opened = BooksReader(books.aws.ledger(), DynamoDbBooks(books.aws.dynamodb, TABLE), days_ago(9), ACCOUNTS)
    return verify.verify(stack, opened, Console(file=out, width=200)), out.getvalue()


def test_an_untouched_ledger_is_intact(books: Books) -> None:
    assert verified(books) == (True, verified(books)[1])
    assert "3 payments with 2 entries, 0 stored cards, 1 closed day, and 1 anchor" in verified(books)[1]


def test_a_payment_with_a_pending_refund_is_intact_in_the_index_of_open_payments(books: Books) -> None:
    at = f"{days_ago(0)}T00:00:00.000Z"
    ledger = books.aws.ledger(lambda: at)
    paid = ledger.payment("pay-1")
    assert paid
    reserved = paid.reserve(OperationRequest("op-2", "pay-1", "refund", 100, at), at)
    ledger.record(reserved, previous=paid)
    ledger.record(reserved.end(reserved.operations[-1], "processing", None, at, pending=True), previous=reserved)
    assert "open_shard" in books.take(PAID, "PAYMENT")
    assert verified(books) == (True, verified(books)[1])


def test_every_listed_rewriting_is_tested() -> None:
    assert HOW.keys() == {each.what for each in REWRITINGS}
    assert len(REWRITINGS) == len(HOW) >= 20


@pytest.mark.parametrize(
    "what", [each.what for each in REWRITINGS if each.found_by == VERIFY and "anchors" not in " ".join(each.takes)]
)
def test_the_verification_finds_every_rewriting_of_the_ledger(books: Books, what: str) -> None:
    HOW[what](books)
    intact, output = verified(books)
    assert not intact, output


@pytest.mark.parametrize("what", [each.what for each in REWRITINGS if "anchors" in " ".join(each.takes)])
def test_the_verification_finds_every_rewriting_of_the_anchors(books: Books, what: str) -> None:
    HOW[what](books)
    intact, output = verified(books)
    assert not intact
    assert "anchor 1 " in output or "anchor 2 " in output or PARTS in output


def audited(books: Books, *, with_gateway: bool = True) -> list[Finding]:
    """The audit's findings, given the true executions and charges."""
    evidence = {name: Evidence(name, {"status": "SUCCEEDED"}) for name in ("pay-1", "pay-2", "pay-4")}
    charge = {"id": "ch_1", "gateway": "sparkle", "currency": "USD", "amount_minor": 1999, "void_reason": None}
    charge |= {"disputed_minor": 0, "disputes": []}
    refund = {"id": "re_1", "refund_reference": "op-1", "status": "succeeded", "amount_minor": 500}
    paid = {"status": "partially_refunded", "captured_minor": 1999, "refunded_minor": 500, "refunds": [refund]}
    authorized = {"status": "authorized", "captured_minor": 0, "refunded_minor": 0, "refunds": []}
    evidence["pay-1"].charges.append(charge | paid)
    evidence["pay-1"].operation_executions["op-1"] = {"status": "SUCCEEDED"}
    evidence["pay-4"].charges.append(charge | authorized)
    for item in map(unmarshal, books.aws.dynamodb.scan(TableName=TABLE)["Items"]):
        if item["pk"].startswith("PAYMENT#"):
            payment_id = item["pk"].removeprefix("PAYMENT#")
            evidence.setdefault(payment_id, Evidence(payment_id)).items[item["sk"]] = item
    return list(findings(evidence, with_gateway))


def test_the_audit_finds_nothing_in_an_untouched_ledger(books: Books) -> None:
    assert audited(books) == []


@pytest.mark.parametrize("what", [each.what for each in REWRITINGS if each.found_by == AUDIT])
def test_the_audit_finds_rewritings_before_the_next_anchor(books: Books, what: str) -> None:
    books.forget_anchors()
    books.delete(DAY, pk=f"CLOSE#{DAY[:4]}")
    HOW[what](books)
    assert verified(books)[0], "then the verification finds it, and the list may say so"
    assert audited(books)
    # Without the gateway, the executions show what they did. What was invented has none.
    assert bool(audited(books, with_gateway=False)) is ("invented" not in what)
