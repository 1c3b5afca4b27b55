"""A ledger with known books, some of whose days are closed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from functions.anchor.anchor_day import anchor_day
from functions.reconcile.reconcile_day import Cursor, Reconciliation
from functions.shared.adapters.anchors import S3Anchors
from functions.shared.adapters.kms import KmsMac
from functions.shared.adapters.table import keys
from functions.shared.adapters.table.books import DynamoDbBooks
from functions.shared.adapters.table.written import DynamoDbWritten
from functions.shared.domain.anchor import Anchor
from functions.shared.domain.ledger import (
    JournalEntry,
    capture_entry,
    in_doubt_entry,
    refund_entry,
    settlement_entry,
)
from functions.shared.domain.operation import OperationRequest
from functions.shared.domain.payment import Payment, PaymentRequest, Status
from functions.shared.ports import Ledger
from tests.fakes import FakeBreaks, FakeExecutions, FakeGateway, FakeLedger, only
from tests.mocked_aws import (
    ANCHORS_BUCKET,
    CARDS_TABLE,
    COUNTERS_TABLE,
    REGION,
    TABLE,
    MockedAws,
    mocked_aws,
)
from tests.samples import payment
from tools.books import verification as verify
from tools.cli.__main__ import app
from tools.deployment.stack import Gateway, Stack

SHARDS = 2
"""The shards of an account's day. Few, since moto's queries are slow."""


def days_ago(days: int) -> str:
    return (datetime.now(UTC) - timedelta(days)).date().isoformat()


def anchored(aws: MockedAws, day: str, now: str) -> Anchor:
    """Anchor a day, as the function does."""
    written, anchors = DynamoDbWritten(aws.dynamodb, TABLE), S3Anchors(aws.s3, ANCHORS_BUCKET)
    return anchor_day(day, written=written, anchors=anchors, mac=KmsMac(aws.kms, aws.books_key_id), now=now)


def post(ledger: Ledger, payment_id: str, currency: str, at: str, *entries: JournalEntry) -> None:
    """Post entries to a payment's journal in one write."""
    recorded = ledger.find(payment_id)
    if recorded is None:
        request = PaymentRequest(1234, currency, merchant_reference="order-1001")
        ledger.record(*payment(payment_id, request=request, updated_at=at).post(*entries))
    else:
        ledger.record(*recorded.payment.next_version(at).post(*entries), previous=recorded.payment)


@dataclass
class KnownBooks:
    """Three days, the first of them closed.

    | day     | payment | what                                                                       |
    |---------|---------|----------------------------------------------------------------------------|
    | first   | pay-usd | captured 1,234.50 USD                                                      |
    | first   | pay-jpy | captured 1,234 JPY                                                         |
    | second  | pay-usd | refunded 34.50 USD, then settled by the gateway: 1,234.50 less a fee of 35.80 |
    | second  | pay-kwd | 1.234 KWD in doubt, which are captured on the third day                    |
    """

    aws: MockedAws
    first: str
    second: str
    third: str

    def __post_init__(self) -> None:
        self.ledger = self.aws.ledger()
        self.books = DynamoDbBooks(self.aws.dynamodb, TABLE)
        usd = self.record("pay-usd", 123450, "USD", f"{self.first}T09:00:00.000Z")
        self.record("pay-jpy", 1234, "JPY", f"{self.first}T10:00:00.000Z")
        at = f"{self.second}T00:00:00.000Z"
        reserved = usd.reserve(OperationRequest("op-1", "pay-usd", "refund", 3450, at), at)
        self.ledger.record(reserved, previous=usd)
        refunded, entries = reserved.settle(reserved.operations[0], at).post(
            refund_entry("sparkle", 3450, "USD", "op-1")
        )
        self.ledger.record(refunded, entries, previous=reserved)
        settlement = settlement_entry("sparkle", 123450, 3580, "USD", f"charge:ch_1@{self.first}")
        self.post("pay-usd", "USD", f"{self.second}T23:59:59.999Z", settlement)
        kwd = self.record("pay-kwd", 1234, "KWD", f"{self.second}T12:00:00.000Z", "in_doubt")
        captured = kwd.moved_to("captured", captured_minor=1234, updated_at=f"{self.third}T09:00:00.000Z")
        in_doubt, capture = in_doubt_entry(1234, "KWD"), capture_entry("sparkle", 1234, "KWD")
        self.ledger.record(*captured.post(in_doubt.reverse(1), capture), previous=kwd)
        self.close(self.first)

    def record(
        self, payment_id: str, amount_minor: int, currency: str, at: str, status: Status = "captured"
    ) -> Payment:
        """Record a captured payment, or one in doubt, with its entry."""
        request = PaymentRequest(amount_minor, currency, merchant_reference="order-1001")
        entry = (
            capture_entry("sparkle", amount_minor, currency)
            if status == "captured"
            else in_doubt_entry(amount_minor, currency)
        )
        recorded, entries = payment(payment_id, status, request, updated_at=at, created_at=at).post(entry)
        self.ledger.record(recorded, entries)
        return recorded

    def post(self, payment_id: str, currency: str, at: str, *entries: JournalEntry) -> None:
        post(self.ledger, payment_id, currency, at, *entries)

    def close(self, day: str) -> None:
        """Close a day as reconciliation does."""
        fakes = only(FakeGateway()), FakeLedger(), self.books, FakeBreaks(), FakeExecutions()
        run = Reconciliation(day, "run-1", f"{days_ago(0)}T02:00:00.000Z", *fakes, lambda metric: None)
        assert run.step(Cursor("close")) is None


@pytest.fixture(scope="module")
def books() -> Iterator[KnownBooks]:
    with mocked_aws() as aws, pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "ACCOUNT_SHARDS", SHARDS)
        patch.setattr(DynamoDbBooks, "shards", SHARDS)
        # moto returns the whole table for each segment.
        patch.setattr(verify, "SEGMENTS", 1)
        yield KnownBooks(aws, days_ago(3), days_ago(2), days_ago(1))


@dataclass
class Run:
    status: int
    output: str
    stdout: str


@pytest.fixture
def payments(books: KnownBooks, tmp_path: Path) -> Callable[..., Run]:
    """Runs the command `payments` on the known books."""
    file = tmp_path / "stack.json"
    arn = f"arn:aws:states:{REGION}:123456789012:stateMachine:payments-test-payment"
    stack = Stack("http://127.0.0.1:1", REGION, arn, TABLE, "/aws/lambda/", None, "key", "secret")
    replace(
        stack,
        cards_table=CARDS_TABLE,
        counters_table=COUNTERS_TABLE,
        books_key_arn=books.aws.books_key_id,
        anchors_bucket=ANCHORS_BUCKET,
        gateways={"sparkle": Gateway("https://sparkle.example")},
    ).save(file)

    def run(*arguments: str) -> Run:
        result = CliRunner().invoke(app, [*arguments, "--stack", str(file)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        return Run(result.exit_code, result.output, result.stdout)

    return run
