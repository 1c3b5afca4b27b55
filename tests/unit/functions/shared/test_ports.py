"""Contract tests of the ports, run on the adapters and on the fakes."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import requests
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError

from functions.shared.adapters.currencies import minor_unit
from functions.shared.adapters.gateways.registry import adapter
from functions.shared.adapters.kms import KmsCardCipher, KmsMac
from functions.shared.adapters.table import keys
from functions.shared.adapters.table.attendance import DynamoDbAttendance
from functions.shared.adapters.table.cards import DynamoDbCardVault
from functions.shared.adapters.table.customer_waits import DynamoDbCustomerWaits
from functions.shared.adapters.table.held_cards import DynamoDbHeldCards
from functions.shared.adapters.table.index import DynamoDbPaymentIndex
from functions.shared.adapters.table.velocity import DynamoDbVelocityCounter
from functions.shared.domain.card import Card, CardSummary
from functions.shared.domain.charge import Charge, Refused, Reversal, Verification
from functions.shared.domain.errors import (
    GatewayBusy,
    GatewayOutcomeUnknown,
    GatewayRefused,
    KeyUnusable,
    LedgerConflict,
    LedgerUnavailable,
)
from functions.shared.domain.ledger import PostedEntry, capture_entry, in_doubt_entry
from functions.shared.domain.operation import Operation
from functions.shared.domain.payment import DeclinedCard, Payment, PaymentRequest
from functions.shared.ports import (
    Attendance,
    CardCipher,
    CardVault,
    CustomerWaits,
    Doubts,
    HeldCard,
    HeldCards,
    Ledger,
    Mac,
    PaymentGateway,
    PaymentIndex,
    Position,
    RecordedPayment,
    StoredCard,
    StoredOnRequest,
    Velocity,
    VelocityCounter,
)
from tests.fakes import (
    LEDGER_DOWN,
    FakeAttendance,
    FakeCardCipher,
    FakeCardVault,
    FakeCustomerWaits,
    FakeGateway,
    FakeHeldCards,
    FakeLedger,
    FakeMac,
    FakePaymentIndex,
    FakeVelocityCounter,
)
from tests.mocked_aws import (
    API_KEY,
    AUTHORIZATION,
    CARDS_TABLE,
    COUNTERS_TABLE,
    EPHEMERAL_TABLE,
    TABLE,
    MockedAws,
    new_id,
)
from tests.samples import (
    CHALLENGED_AND_DECLINED_PAN,
    CHALLENGED_PAN,
    DECLINED_PAN,
    KEPT_UNTIL,
    LATER,
    NETWORK_TRANSACTION_ID,
    NOW,
    PAN,
    REQUEST,
    SECURITY_CODE,
    STORE,
    SUMMARY,
    WAIT,
    WRONG_SECURITY_CODE,
    card,
    order,
    payment,
    refund_request,
    stored,
)

CAPTURE = capture_entry("sparkle", 1999, "USD")
DOUBT = in_doubt_entry(1999, "USD")


@dataclass
class LedgerUnderTest:
    ledger: Ledger
    lose_next_answer: Callable[[], None]
    go_down_once: Callable[[], None]


@pytest.fixture(params=["fake", "dynamodb"])
def books(request: pytest.FixtureRequest) -> Iterator[LedgerUnderTest]:
    if request.param == "fake":
        fake = FakeLedger()
        yield LedgerUnderTest(
            fake,
            lambda: fake.faults.arm("record", LEDGER_DOWN, done=True),
            lambda: fake.faults.arm("record", LEDGER_DOWN),
        )
        return
    aws: MockedAws = request.getfixturevalue("aws")
    events = aws.dynamodb.meta.events

    def fail_once(event: str, error: Exception) -> Callable[[], None]:
        def fail(**_: object) -> None:
            events.unregister(event, fail)
            raise error

        return lambda: events.register(event, fail)

    # Raised outside of botocore's retries, as after the last one.
    yield LedgerUnderTest(
        aws.ledger(),
        fail_once("after-call.dynamodb.TransactWriteItems", ConnectionClosedError(endpoint_url="https://dynamodb")),
        fail_once("before-call.dynamodb.TransactWriteItems", EndpointConnectionError(endpoint_url="https://dynamodb")),
    )


def captured(**changes: Any) -> RecordedPayment:
    """A payment that no other test uses, with its entry."""
    return RecordedPayment(*payment(new_id(), **changes).post(CAPTURE))


def doubted() -> RecordedPayment:
    return RecordedPayment(*payment(new_id(), "in_doubt").post(DOUBT))


def record(ledger: Ledger, recorded: RecordedPayment) -> None:
    """Record the payment with its entries."""
    ledger.record(recorded.payment, recorded.entries)


class TestLedger:
    def test_what_is_recorded_is_found(self, books: LedgerUnderTest) -> None:
        paid = captured()
        record(books.ledger, paid)
        assert books.ledger.payment(paid.payment.payment_id) == paid.payment
        assert books.ledger.find(paid.payment.payment_id) == paid

    def test_what_is_absent_is_found_absent(self, books: LedgerUnderTest) -> None:
        old = stored(new_id())
        books.ledger.record(old)
        assert books.ledger.find(old.payment_id) == RecordedPayment(old, ())

    def test_operations_and_flags_are_found_as_they_were_recorded(self, books: LedgerUnderTest) -> None:
        paid = captured(flags=("large_amount",))
        record(books.ledger, paid)
        reserved = paid.payment.reserve(refund_request(paid.payment, 500), LATER)
        rejected = reserved.reserve(refund_request(paid.payment, 1500), LATER)
        books.ledger.record(reserved)
        books.ledger.record(rejected)
        assert books.ledger.payment(paid.payment.payment_id) == rejected
        assert [operation.status for operation in rejected.operations] == ["processing", "rejected"]

    def test_a_payment_that_was_never_recorded_is_none(self, books: LedgerUnderTest) -> None:
        payment_id = new_id()
        assert books.ledger.payment(payment_id) is None
        assert books.ledger.find(payment_id) is None

    def test_the_same_record_again_succeeds_and_posts_nothing_twice(self, books: LedgerUnderTest) -> None:
        paid = captured()
        record(books.ledger, paid)
        record(books.ledger, paid)
        assert books.ledger.find(paid.payment.payment_id) == paid

    def test_the_same_record_made_later_is_the_same_record(self, books: LedgerUnderTest) -> None:
        first = payment(new_id())
        paid = RecordedPayment(*first.post(CAPTURE))
        record(books.ledger, paid)
        books.ledger.record(*replace(first, updated_at=LATER).post(CAPTURE))
        assert books.ledger.find(first.payment_id) == paid

    @pytest.mark.parametrize(
        "changes",
        [
            {"amount_minor": 2000},
            {"currency": "EUR"},
            {"charge_id": "ch_2"},
            {"transaction_id": "1" * 64},
            {"merchant_reference": None},
            {"card": replace(SUMMARY, last4="1111")},
            {"status": "declined", "captured_minor": 0},
            {"flags": ("large_amount",)},
        ],
    )
    def test_another_record_under_the_same_id_is_a_conflict(
        self, books: LedgerUnderTest, changes: dict[str, object]
    ) -> None:
        paid = captured()
        record(books.ledger, paid)
        with pytest.raises(LedgerConflict):
            books.ledger.record(replace(paid.payment, **changes), paid.entries)  # type: ignore[arg-type]
        assert books.ledger.find(paid.payment.payment_id) == paid

    def test_other_entries_under_the_same_record_are_a_conflict(self, books: LedgerUnderTest) -> None:
        first = payment(new_id())
        paid = RecordedPayment(*first.post(CAPTURE))
        record(books.ledger, paid)
        for entries in ([], [CAPTURE.reverse(1)], [capture_entry("sparkle", 1, "USD")]):
            with pytest.raises(LedgerConflict):
                books.ledger.record(*first.post(*entries))
        assert books.ledger.find(first.payment_id) == paid

    def test_the_next_version_replaces_the_record_and_keeps_its_entries(self, books: LedgerUnderTest) -> None:
        doubtful = doubted()
        cleared, entries = doubtful.payment.moved_to("reversed", updated_at=LATER).post(DOUBT.reverse(1))
        record(books.ledger, doubtful)
        books.ledger.record(cleared, entries)
        assert books.ledger.find(cleared.payment_id) == RecordedPayment(cleared, (*doubtful.entries, *entries))

    def test_payments_are_counted_while_they_are_in_doubt_with_the_time_of_the_oldest(
        self, books: LedgerUnderTest
    ) -> None:
        before = books.ledger.doubts().count
        ancient = [payment(new_id(), "in_doubt", updated_at=f"2001-01-0{day}T00:00:00.000Z") for day in (2, 1, 3)]
        for doubtful in ancient:
            books.ledger.record(doubtful)
        books.ledger.record(payment(new_id(), updated_at="2000-01-01T00:00:00.000Z"))
        assert books.ledger.doubts() == Doubts(before + 3, "2001-01-01T00:00:00.000Z")
        for doubtful in ancient:
            books.ledger.record(doubtful.moved_to("reversed", updated_at=LATER))
        assert books.ledger.doubts().count == before

    def test_a_payment_is_counted_while_an_operation_of_its_is_in_doubt(self, books: LedgerUnderTest) -> None:
        before = books.ledger.doubts().count
        paid = captured()
        record(books.ledger, paid)
        reserved = paid.payment.reserve(refund_request(paid.payment), NOW)
        (refund,) = reserved.operations
        doubtful = reserved.end(refund, "in_doubt", "gateway_outcome_unknown", "2001-01-01T00:00:00.000Z")
        for version in (reserved, doubtful):
            books.ledger.record(version)
        assert books.ledger.doubts() == Doubts(before + 1, "2001-01-01T00:00:00.000Z")
        (refund,) = doubtful.operations
        books.ledger.record(doubtful.settle(refund, LATER))
        assert books.ledger.doubts().count == before

    def test_the_next_version_again_succeeds(self, books: LedgerUnderTest) -> None:
        doubtful = doubted()
        cleared, entries = doubtful.payment.moved_to("reversed").post(DOUBT.reverse(1))
        record(books.ledger, doubtful)
        books.ledger.record(cleared, entries)
        books.ledger.record(cleared, entries)
        assert books.ledger.find(cleared.payment_id) == RecordedPayment(cleared, (*doubtful.entries, *entries))

    def test_the_next_version_made_at_another_time_is_a_conflict(self, books: LedgerUnderTest) -> None:
        """Whoever made it would go on from entries, and a head of the journal, that are not there."""
        doubtful = doubted()
        record(books.ledger, doubtful)
        cleared, entries = doubtful.payment.moved_to("reversed").post(DOUBT.reverse(1))
        books.ledger.record(cleared, entries)
        with pytest.raises(LedgerConflict):
            books.ledger.record(*doubtful.payment.moved_to("reversed", updated_at=LATER).post(DOUBT.reverse(1)))
        assert books.ledger.find(cleared.payment_id) == RecordedPayment(cleared, (*doubtful.entries, *entries))

    def test_of_two_next_versions_the_second_is_a_conflict(self, books: LedgerUnderTest) -> None:
        doubtful = payment(new_id(), "in_doubt")
        books.ledger.record(doubtful)
        books.ledger.record(doubtful.moved_to("reversed"))
        with pytest.raises(LedgerConflict):
            books.ledger.record(doubtful.moved_to("captured"))

    def test_a_version_whose_predecessor_is_missing_is_a_conflict(self, books: LedgerUnderTest) -> None:
        doubtful = payment(new_id(), "in_doubt")
        with pytest.raises(LedgerConflict):
            books.ledger.record(doubtful.moved_to("reversed"))
        assert books.ledger.payment(doubtful.payment_id) is None

    def test_an_entry_is_never_replaced_and_nothing_is_written_beside_it(self, books: LedgerUnderTest) -> None:
        doubtful = doubted()
        record(books.ledger, doubtful)
        unaware = replace(doubtful.payment, entry_count=0).moved_to("reversed")
        with pytest.raises(LedgerConflict):
            books.ledger.record(*unaware.post(DOUBT.reverse(1)))
        assert books.ledger.find(doubtful.payment.payment_id) == doubtful

    def test_a_record_whose_answer_was_lost_can_be_repeated(self, books: LedgerUnderTest) -> None:
        first = payment(new_id())
        paid = RecordedPayment(*first.post(CAPTURE))
        books.lose_next_answer()
        with pytest.raises(LedgerUnavailable):
            record(books.ledger, paid)
        books.ledger.record(*replace(first, updated_at=LATER).post(CAPTURE))
        assert books.ledger.find(first.payment_id) == paid

    def test_a_ledger_that_is_down_has_written_nothing(self, books: LedgerUnderTest) -> None:
        paid = captured()
        books.go_down_once()
        with pytest.raises(LedgerUnavailable):
            record(books.ledger, paid)
        assert books.ledger.find(paid.payment.payment_id) is None


@pytest.fixture(params=["fake", "dynamodb"])
def held_cards(request: pytest.FixtureRequest) -> HeldCards:
    if request.param == "fake":
        return FakeHeldCards()
    aws: MockedAws = request.getfixturevalue("aws")
    return DynamoDbHeldCards(aws.dynamodb, EPHEMERAL_TABLE)


class TestHeldCards:
    @pytest.mark.parametrize(
        "card",
        [
            HeldCard(b"ciphertext"),
            HeldCard(b"ciphertext", b"code"),
            HeldCard(b"ciphertext", network_transaction_id=NETWORK_TRANSACTION_ID),
        ],
    )
    def test_a_card_is_held_until_it_is_erased(self, held_cards: HeldCards, card: HeldCard) -> None:
        payment_id = new_id()
        assert held_cards.find(payment_id) is None
        assert held_cards.hold(payment_id, card, NOW) == card
        assert held_cards.find(payment_id) == card
        for _ in range(2):
            held_cards.erase(payment_id, LATER)
            assert held_cards.find(payment_id) is None

    def test_of_two_cards_the_first_is_held(self, held_cards: HeldCards) -> None:
        first, payment_id = HeldCard(b"first", b"its code"), new_id()
        held_cards.hold(payment_id, first, NOW)
        assert held_cards.hold(payment_id, HeldCard(b"second", b"another"), LATER) == first
        assert held_cards.find(payment_id) == first

    @pytest.mark.parametrize("was_held", [True, False])
    def test_after_the_end_nothing_is_held(self, held_cards: HeldCards, was_held: bool) -> None:
        payment_id = new_id()
        if was_held:
            held_cards.hold(payment_id, HeldCard(b"ciphertext"), NOW)
        held_cards.erase(payment_id, LATER)
        with pytest.raises(LedgerConflict):
            held_cards.hold(payment_id, HeldCard(b"ciphertext"), LATER)
        assert held_cards.find(payment_id) is None


@dataclass
class Waits:
    """What waits for customers, beside the cards that are held meanwhile."""

    held_cards: HeldCards
    customer_waits: CustomerWaits

    def begin(self, token: str = "AQB4-task-token") -> str:
        """A new payment that waits."""
        payment_id = new_id()
        self.held_cards.hold(payment_id, HeldCard(b"ciphertext"), NOW)
        self.customer_waits.begin(payment_id, token, WAIT)
        return payment_id


@pytest.fixture(params=["fake", "dynamodb"])
def waits(request: pytest.FixtureRequest) -> Waits:
    if request.param == "fake":
        fake = FakeCustomerWaits()
        return Waits(FakeHeldCards(fake), fake)
    aws: MockedAws = request.getfixturevalue("aws")
    cipher = KmsCardCipher(aws.kms, aws.ephemeral_key_id)
    customer_waits = DynamoDbCustomerWaits(aws.dynamodb, EPHEMERAL_TABLE, lambda: cipher)
    return Waits(DynamoDbHeldCards(aws.dynamodb, EPHEMERAL_TABLE), customer_waits)


class TestCustomerWaits:
    def test_a_payment_waits_until_the_wait_ends(self, waits: Waits) -> None:
        payment_id = waits.begin()
        assert waits.customer_waits.find(payment_id) == WAIT
        assert waits.customer_waits.task_token(payment_id) == "AQB4-task-token"
        for _ in range(2):
            waits.customer_waits.end(payment_id)
            assert waits.customer_waits.find(payment_id) is None
            assert waits.customer_waits.task_token(payment_id) is None
        assert waits.held_cards.find(payment_id)

    def test_a_wait_that_begins_again_has_the_new_token(self, waits: Waits) -> None:
        payment_id = waits.begin("first")
        waits.customer_waits.begin(payment_id, "second", WAIT)
        assert waits.customer_waits.task_token(payment_id) == "second"

    def test_what_waits_is_listed_and_what_does_not_is_not(self, waits: Waits) -> None:
        waiting, ended, erased = (waits.begin() for _ in range(3))
        waits.customer_waits.end(ended)
        waits.held_cards.erase(erased, LATER)
        assert {waiting, ended, erased} & set(waits.customer_waits.waiting()) == {waiting}

    def test_the_end_of_a_payment_is_the_end_of_its_wait(self, waits: Waits) -> None:
        payment_id = waits.begin()
        waits.held_cards.erase(payment_id, LATER)
        assert waits.customer_waits.find(payment_id) is None
        assert waits.customer_waits.task_token(payment_id) is None
        with pytest.raises(LedgerConflict):
            waits.customer_waits.begin(payment_id, "late", WAIT)

    def test_a_payment_that_nobody_knows_waits_for_nobody(self, waits: Waits) -> None:
        payment_id = new_id()
        waits.customer_waits.end(payment_id)
        assert waits.customer_waits.find(payment_id) is None
        assert waits.customer_waits.task_token(payment_id) is None


def test_a_task_token_is_kept_encrypted_for_its_payment_alone(aws: MockedAws) -> None:
    cipher = KmsCardCipher(aws.kms, aws.ephemeral_key_id)
    customer_waits = DynamoDbCustomerWaits(aws.dynamodb, EPHEMERAL_TABLE, lambda: cipher)
    payment_id = Waits(DynamoDbHeldCards(aws.dynamodb, EPHEMERAL_TABLE), customer_waits).begin()
    item = aws.dynamodb.get_item(TableName=EPHEMERAL_TABLE, Key={"payment_id": {"S": payment_id}})["Item"]
    assert "AQB4" not in str(item)
    for context in (
        {"payment_id": new_id(), "purpose": "task_token"},
        {"payment_id": payment_id, "purpose": "sealing"},
    ):
        with pytest.raises(KeyUnusable):
            cipher.decrypt(item["task_token"]["B"], context)


def test_ending_what_never_was_leaves_no_item_that_nobody_would_delete(aws: MockedAws) -> None:
    payment_id = new_id()
    cipher = KmsCardCipher(aws.kms, aws.ephemeral_key_id)
    DynamoDbCustomerWaits(aws.dynamodb, EPHEMERAL_TABLE, lambda: cipher).end(payment_id)
    assert "Item" not in aws.dynamodb.get_item(TableName=EPHEMERAL_TABLE, Key={"payment_id": {"S": payment_id}})


@dataclass
class Cards:
    """The vault, and the ledger that stores cards in it."""

    vault: CardVault
    ledger: Ledger

    def keep(self, card: CardSummary, until: str = KEPT_UNTIL) -> None:
        self.ledger.record(payment(new_id(), card=card), (), StoredCard(card, b"ciphertext", until))


@pytest.fixture(params=["fake", "dynamodb"])
def cards(request: pytest.FixtureRequest) -> Cards:
    if request.param == "fake":
        vault = FakeCardVault()
        return Cards(vault, FakeLedger(vault))
    aws: MockedAws = request.getfixturevalue("aws")
    return Cards(DynamoDbCardVault(aws.dynamodb, CARDS_TABLE, TABLE), aws.ledger())


@pytest.fixture
def token() -> str:
    """A card that no other test stores."""
    return f"tok_{new_id()}"


class TestCardVault:
    def test_a_card_that_is_kept_is_known_by_its_token(self, cards: Cards, token: str) -> None:
        summary = replace(SUMMARY, token=token)
        cards.keep(summary)
        assert cards.vault.summary(token, LATER) == summary
        assert cards.vault.find(token, LATER) == HeldCard(b"ciphertext")

    def test_a_card_is_gone_when_its_time_is_over(self, cards: Cards, token: str) -> None:
        cards.keep(replace(SUMMARY, token=token))
        last_second = "2027-12-28T09:00:00.000Z"
        assert cards.vault.summary(token, last_second)
        assert cards.vault.find(token, last_second)
        assert cards.vault.summary(token, KEPT_UNTIL) is None
        assert cards.vault.find(token, KEPT_UNTIL) is None

    def test_a_card_that_was_never_kept_is_none(self, cards: Cards, token: str) -> None:
        assert cards.vault.summary(token, LATER) is None
        assert cards.vault.find(token, LATER) is None

    def test_a_card_is_stored_with_its_payment_or_not_at_all(self, cards: Cards, token: str) -> None:
        cards.ledger.record(payment("pay-of-another-card"))
        with pytest.raises(LedgerConflict):
            cards.ledger.record(
                payment("pay-of-another-card", charge_id="ch_2"),
                (),
                StoredCard(replace(SUMMARY, token=token), b"ciphertext", KEPT_UNTIL),
            )
        assert cards.vault.summary(token, LATER) is None

    def test_a_card_that_was_erased_is_not_brought_back_by_a_repetition(self, cards: Cards, token: str) -> None:
        card = StoredCard(replace(SUMMARY, token=token), b"ciphertext", KEPT_UNTIL)
        paid = payment(new_id(), card=card.summary)
        cards.ledger.record(paid, (), card)
        cards.vault.erase(token, LATER)
        cards.ledger.record(paid, (), card)
        assert cards.vault.summary(token, LATER) is None

    def test_a_card_that_is_stored_without_a_payment_is_known_by_its_token_and_by_its_key(
        self, cards: Cards, token: str
    ) -> None:
        card, key = StoredCard(replace(SUMMARY, token=token), b"ciphertext", KEPT_UNTIL), new_id()
        assert cards.vault.stored_on_request(key, NOW) is None
        cards.vault.keep(key, card, NOW)
        assert cards.vault.summary(token, LATER) == card.summary
        assert cards.vault.find(token, LATER) == HeldCard(b"ciphertext")
        assert cards.vault.stored_on_request(key, LATER) == StoredOnRequest(card.summary, NOW)
        assert cards.vault.stored_on_request(key, KEPT_UNTIL) is None

    def test_the_request_s_sealed_card_is_known_by_its_hash(self, cards: Cards, token: str) -> None:
        card, key = StoredCard(replace(SUMMARY, token=token), b"ciphertext", KEPT_UNTIL), new_id()
        cards.vault.keep(key, card, NOW, "0" * 64)
        cards.vault.keep(key, card, LATER, "1" * 64)
        assert cards.vault.stored_on_request(key, LATER) == StoredOnRequest(card.summary, NOW, "0" * 64)

    def test_the_same_card_is_stored_again_and_stays_what_it_was(self, cards: Cards, token: str) -> None:
        card, key = StoredCard(replace(SUMMARY, token=token), b"ciphertext", KEPT_UNTIL), new_id()
        cards.vault.keep(key, card, NOW)
        cards.vault.keep(key, replace(card, ciphertext=b"of the same card"), LATER)
        assert cards.vault.find(token, LATER) == HeldCard(b"ciphertext")
        assert cards.vault.stored_on_request(key, LATER) == StoredOnRequest(card.summary, NOW)

    @pytest.mark.parametrize("change", ["token", "expiry"])
    def test_another_card_is_not_stored_under_the_same_key(self, cards: Cards, token: str, change: str) -> None:
        card, key = StoredCard(replace(SUMMARY, token=token), b"ciphertext", KEPT_UNTIL), new_id()
        cards.vault.keep(key, card, NOW)
        other = {"token": f"tok_{new_id()}", "expiry": "11/44"}[change]
        with pytest.raises(LedgerConflict):
            cards.vault.keep(key, replace(card, summary=replace(card.summary, **{change: other})), LATER)
        assert cards.vault.stored_on_request(key, LATER) == StoredOnRequest(card.summary, NOW)
        if change == "token":
            assert cards.vault.summary(other, LATER) is None

    def test_a_card_that_was_erased_is_not_stored_again_under_its_key(self, cards: Cards, token: str) -> None:
        card, key = StoredCard(replace(SUMMARY, token=token), b"ciphertext", KEPT_UNTIL), new_id()
        cards.vault.keep(key, card, NOW)
        cards.vault.erase(token, LATER)
        with pytest.raises(LedgerConflict):
            cards.vault.keep(key, card, LATER)
        assert cards.vault.summary(token, LATER) is None
        assert cards.vault.stored_on_request(key, LATER) == StoredOnRequest(None, NOW)

    def test_a_card_that_is_renewed_is_kept_for_longer_and_never_for_less(self, cards: Cards, token: str) -> None:
        cards.keep(replace(SUMMARY, token=token))
        cards.vault.renew(token, "2028-01-01T00:00:00.000Z")
        cards.vault.renew(token, NOW)
        assert cards.vault.summary(token, KEPT_UNTIL)
        assert cards.vault.summary(token, "2028-01-01T00:00:00.000Z") is None

    def test_the_first_network_transaction_id_of_a_card_stays_the_cards(self, cards: Cards, token: str) -> None:
        cards.keep(replace(SUMMARY, token=token))
        for until, network_transaction_id in (
            ("2028-01-01T00:00:00.000Z", None),
            ("2028-01-02T00:00:00.000Z", NETWORK_TRANSACTION_ID),
            ("2028-01-03T00:00:00.000Z", "MCC9ABCDE1129"),
            ("2028-01-04T00:00:00.000Z", None),
        ):
            cards.vault.renew(token, until, network_transaction_id)
        renewed = HeldCard(b"ciphertext", network_transaction_id=NETWORK_TRANSACTION_ID)
        assert cards.vault.find(token, "2028-01-03T23:59:59.000Z") == renewed

    def test_a_card_that_is_stored_with_a_network_transaction_id_keeps_it(self, cards: Cards, token: str) -> None:
        card = StoredCard(replace(SUMMARY, token=token), b"ciphertext", KEPT_UNTIL, NETWORK_TRANSACTION_ID)
        cards.vault.keep(new_id(), card, NOW)
        cards.vault.renew(token, "2028-01-01T00:00:00.000Z", "MCC9ABCDE1129")
        renewed = HeldCard(b"ciphertext", network_transaction_id=NETWORK_TRANSACTION_ID)
        assert cards.vault.find(token, KEPT_UNTIL) == renewed

    def test_a_card_that_was_erased_or_never_kept_is_not_renewed(self, cards: Cards, token: str) -> None:
        cards.vault.renew(token, KEPT_UNTIL)
        assert cards.vault.summary(token, NOW) is None
        cards.keep(replace(SUMMARY, token=token))
        cards.vault.erase(token, LATER)
        cards.vault.renew(token, KEPT_UNTIL)
        assert cards.vault.summary(token, NOW) is None

    def test_one_of_two_cards_of_one_number_can_be_erased(self, cards: Cards, token: str) -> None:
        cards.keep(replace(SUMMARY, token=token))
        cards.keep(replace(SUMMARY, token=f"{token}-2", expiry="01/50"))
        assert cards.vault.erase(token, LATER) is True
        assert cards.vault.summary(token, LATER) is None
        assert cards.vault.summary(f"{token}-2", LATER) == replace(SUMMARY, token=f"{token}-2", expiry="01/50")

    def test_there_is_nothing_to_erase_twice(self, cards: Cards, token: str) -> None:
        cards.keep(replace(SUMMARY, token=token))
        assert [cards.vault.erase(token, LATER), cards.vault.erase(token, LATER)] == [True, False]


@pytest.fixture(params=["fake", "dynamodb"])
def counter(request: pytest.FixtureRequest) -> VelocityCounter:
    if request.param == "fake":
        return FakeVelocityCounter()
    return DynamoDbVelocityCounter(request.getfixturevalue("aws").dynamodb, COUNTERS_TABLE)


def any_card(lookalike_cards: int) -> bool:
    return True


def none_above_two(lookalike_cards: int) -> bool:
    return lookalike_cards <= 2


@dataclass
class Shop:
    """A caller with an order and a bank's card that no other test uses."""

    card: CardSummary
    request: PaymentRequest

    def pays(
        self,
        counter: VelocityCounter,
        amount_minor: int = 1999,
        currency: str = "USD",
        *,
        payment_id: str | None = None,
        at: str = NOW,
        reference: str | None = "",
        caller: str | None = "",
        admits: Callable[[int], bool] = any_card,
        **card: str,
    ) -> Velocity:
        """Count a payment with these changes."""
        request = replace(
            self.request,
            amount_minor=amount_minor,
            currency=currency,
            merchant_reference=self.request.merchant_reference if reference == "" else reference,
            caller=self.request.caller if caller == "" else caller,
        )
        return counter.count(payment_id or new_id(), request, replace(self.card, **card), at, admits)

    def declined(self, payment_id: str, **changes: Any) -> Payment:
        return replace(payment(payment_id, "declined", self.request), **{"card": self.card} | changes)


@pytest.fixture
def shop() -> Shop:
    fingerprint = new_id()
    card = replace(SUMMARY, fingerprint=f"fp_{fingerprint}", bin=f"bin-{fingerprint}")
    return Shop(card, replace(REQUEST, merchant_reference=f"order-{fingerprint}", caller=f"arn:{fingerprint}"))


@pytest.fixture(params=["fake", "dynamodb"])
def attendance(request: pytest.FixtureRequest) -> Attendance:
    if request.param == "fake":
        return FakeAttendance()
    return DynamoDbAttendance(request.getfixturevalue("aws").dynamodb, COUNTERS_TABLE)


class TestAttendance:
    def test_nobody_looks_after_an_execution_before_somebody_says_so(self, attendance: Attendance) -> None:
        attended, other = new_id(), new_id()
        assert attendance.unattended("payment", {attended, other}) == {attended, other}
        for at in (NOW, LATER):
            attendance.attend("payment", attended, at)
        assert attendance.unattended("payment", {attended, other}) == {other}

    def test_a_payment_and_an_operation_of_the_same_name_are_two(self, attendance: Attendance) -> None:
        attendance.attend("payment", name := new_id(), NOW)
        assert attendance.unattended("operation", [name]) == {name}

    def test_of_more_than_can_be_asked_for_at_once_those_left_are_found(self, attendance: Attendance) -> None:
        names = [new_id() for _ in range(150)]
        for name in names[:120]:
            attendance.attend("operation", name, NOW)
        assert attendance.unattended("operation", names) == set(names[120:])
        assert attendance.unattended("operation", []) == set()

    def test_it_is_known_until_when_all_was_checked(self, attendance: Attendance) -> None:
        before = attendance.checked_until()
        assert before in (None, LATER)  # tests share the table
        for moment in (NOW, LATER):
            attendance.check_until(moment)
            assert attendance.checked_until() == moment


class TestVelocityCounter:
    def test_the_first_payment_of_a_card_is_counted_with_itself(self, counter: VelocityCounter, shop: Shop) -> None:
        assert shop.pays(counter) == Velocity(1, 1, 1999, 1999, 1, 1, 1, 0, 1, 0, 1, 0)

    def test_payments_add_up_and_those_of_other_cards_do_not(self, counter: VelocityCounter, shop: Shop) -> None:
        shop.pays(counter, fingerprint=f"fp_{new_id()}")
        shop.pays(counter)
        shop.pays(counter, 1, at=LATER)
        assert of_card(shop.pays(counter, 1000, at=LATER)) == (3, 3, 3000, 3000)

    def test_payments_are_counted_in_all_currencies_and_amounts_in_one(
        self, counter: VelocityCounter, shop: Shop
    ) -> None:
        shop.pays(counter, 500, "JPY")
        shop.pays(counter)
        assert of_card(shop.pays(counter, 700, "JPY")) == (3, 3, 1200, 1200)
        assert of_card(shop.pays(counter, 1, "EUR", at=LATER)) == (4, 4, 1, 1)

    def test_a_card_that_is_stored_counts_as_a_payment_of_nothing(self, counter: VelocityCounter, shop: Shop) -> None:
        shop.pays(counter)
        assert of_card(counter.count(new_id(), STORE, shop.card, NOW, any_card)) == (2, 2, 0, 0)
        assert of_card(shop.pays(counter, 1)) == (3, 3, 2000, 2000)

    def test_a_payment_that_is_counted_again_changes_nothing(self, counter: VelocityCounter, shop: Shop) -> None:
        payment_id = new_id()
        shop.pays(counter, payment_id=payment_id)
        shop.pays(counter, 1)
        assert of_card(shop.pays(counter, payment_id=payment_id)) == (2, 2, 2000, 2000)
        assert of_card(shop.pays(counter, 1000, at=LATER)) == (3, 3, 3000, 3000)

    def test_another_attempt_under_the_same_key_counts_as_another(self, counter: VelocityCounter, shop: Shop) -> None:
        """Whoever sends a card again under the key under which it was declined tries another date or security code."""
        key = new_id()
        for _ in range(2):
            counter.count(key, STORE, shop.card, NOW, any_card)
        another_date = replace(shop.card, expiry="01/31")
        velocities = [counter.count(key, STORE, another_date, LATER, any_card) for _ in range(2)]
        assert [(each.payments_1h, each.card_expiry_dates_1h) for each in velocities] == [(2, 2)] * 2
        paid = shop.pays(counter, payment_id=key, at="2026-11-23T09:30:00.000Z")  # with the key of the stored card
        assert of_card(paid) == (3, 3, 1999, 1999)

    @pytest.mark.parametrize(
        ("earlier", "in_the_hour", "in_the_day"),
        [
            ("2026-11-23T09:02:03.456Z", True, True),
            ("2026-11-23T08:02:03.456Z", True, True),
            ("2026-11-23T08:00:00.000Z", True, True),
            ("2026-11-23T07:59:59.999Z", False, True),
            ("2026-11-22T09:02:03.456Z", False, True),
            ("2026-11-22T09:00:00.000Z", False, True),
            ("2026-11-22T08:59:59.999Z", False, False),
        ],
    )
    def test_an_hour_and_a_day_are_rounded_up_to_whole_five_minutes(
        self, counter: VelocityCounter, shop: Shop, earlier: str, in_the_hour: bool, in_the_day: bool
    ) -> None:
        shop.pays(counter, 1000, at=earlier)
        velocity = shop.pays(counter, 1, at="2026-11-23T09:02:03.456Z")
        assert of_card(velocity) == (1 + in_the_hour, 1 + in_the_day, 1 + 1000 * in_the_hour, 1 + 1000 * in_the_day)

    def test_a_payment_that_started_later_and_is_counted_already_is_seen(
        self, counter: VelocityCounter, shop: Shop
    ) -> None:
        shop.pays(counter, 1000, at="2026-11-23T09:05:00.000Z")
        assert of_card(shop.pays(counter, 1, at="2026-11-23T09:04:59.999Z")) == (2, 2, 1001, 1001)

    def test_a_card_is_known_by_each_of_its_expiry_dates_for_an_hour(
        self, counter: VelocityCounter, shop: Shop
    ) -> None:
        shop.pays(counter, expiry="11/30", at="2026-11-23T07:59:59.999Z")
        velocities = [shop.pays(counter, expiry=expiry, at=NOW) for expiry in ("12/30", "01/31", "12/30", "02/31")]
        assert [velocity.card_expiry_dates_1h for velocity in velocities] == [1, 2, 2, 3]

    def test_cards_are_counted_by_reference_by_bin_by_caller_and_by_what_is_shown_of_them(
        self, counter: VelocityCounter, shop: Shop
    ) -> None:
        for n in range(3):
            assert of_others(shop.pays(counter, fingerprint=f"fp_{n}")) == 4 * (n + 1,)
            assert of_others(shop.pays(counter, fingerprint=f"fp_{n}")) == 4 * (n + 1,)
        assert of_others(shop.pays(counter, fingerprint="fp_3", last4="0000")) == (1, 4, 4, 4)
        assert of_others(shop.pays(counter, fingerprint="fp_4", reference=new_id())) == (4, 1, 5, 5)
        assert of_others(shop.pays(counter, fingerprint="fp_5", caller=new_id())) == (5, 5, 6, 1)
        assert of_others(shop.pays(counter, fingerprint="fp_6", bin="400000")) == (1, 6, 1, 6)
        assert of_others(shop.pays(counter, fingerprint="fp_7", reference=None, caller=None)) == (6, 0, 7, 0)

    def test_a_card_that_is_not_admitted_counts_as_one_that_never_came(
        self, counter: VelocityCounter, shop: Shop
    ) -> None:
        """Nothing tells which of the cards that look alike it was: not what is returned, and no later count."""
        first, second, third, other = (f"fp_{new_id()}" for _ in range(4))
        for fingerprint in (first, second):
            shop.pays(counter, fingerprint=fingerprint, expiry="01/31", admits=none_above_two)
        refused = [shop.pays(counter, 7, fingerprint=each, admits=none_above_two) for each in (third, first, second)]
        assert refused == [Velocity(1, 1, 7, 7, 1, 3, cards, 0, cards, 0, cards, 0) for cards in (3, 4, 5)]
        assert of_others(shop.pays(counter, fingerprint=other, last4="0000")) == (1, 6, 6, 6)
        for fingerprint, payments in ((first, 2), (second, 2), (third, 1)):
            assert shop.pays(counter, fingerprint=fingerprint, at="2026-11-23T23:00:00.000Z").payments_24h == payments

    def test_an_attempt_that_is_not_admitted_counts_once(self, counter: VelocityCounter, shop: Shop) -> None:
        for _ in range(2):
            refused = shop.pays(counter, payment_id="refused", admits=lambda lookalike_cards: False)
            assert of_others(refused) == (1, 1, 1, 1)

    def test_declines_are_counted_once_for_each_payment(self, counter: VelocityCounter, shop: Shop) -> None:
        for payment_id in (first := new_id(), new_id(), first):
            counter.count_decline(shop.declined(payment_id))
        assert declines(shop.pays(counter)) == (2, 2, 2)
        assert declines(shop.pays(counter, reference=new_id(), bin="400000")) == (0, 0, 2)

    def test_a_card_that_was_declined_when_it_was_to_be_stored_is_counted_by_bin_and_caller(
        self, counter: VelocityCounter, shop: Shop
    ) -> None:
        declined = shop.declined(new_id())
        assert declined.card
        card_to_store = DeclinedCard(new_id(), declined.card, declined.caller, declined.created_at)
        for _ in range(2):
            counter.count_decline(card_to_store)
        assert declines(shop.pays(counter)) == (0, 1, 1)
        counter.count_decline(replace(card_to_store, created_at=LATER))  # sent again under the same key
        assert declines(shop.pays(counter, at=LATER)) == (0, 2, 2)

    def test_a_decline_of_whoever_gave_no_reference_is_counted_by_the_rest(
        self, counter: VelocityCounter, shop: Shop
    ) -> None:
        counter.count_decline(shop.declined(new_id(), merchant_reference=None))
        counter.count_decline(shop.declined(new_id(), caller=None))
        assert declines(shop.pays(counter)) == (1, 2, 1)

    @pytest.mark.parametrize(
        ("earlier", "is_seen"),
        [
            ("2026-11-23T09:59:00.000Z", True),
            ("2026-11-23T09:20:00.000Z", True),
            ("2026-11-23T08:40:00.000Z", True),
            ("2026-11-23T08:39:59.999Z", False),
        ],
    )
    def test_of_a_reference_a_bin_and_a_caller_the_hour_is_rounded_up_to_whole_twenty_minutes(
        self, counter: VelocityCounter, shop: Shop, earlier: str, is_seen: bool
    ) -> None:
        shop.pays(counter, fingerprint="fp_1", at=earlier)
        counter.count_decline(shop.declined(new_id(), created_at=earlier))
        velocity = shop.pays(counter, at="2026-11-23T09:59:59.000Z")
        assert of_others(velocity) == 4 * (1 + is_seen,)
        assert declines(velocity) == 3 * (is_seen,)


def of_card(velocity: Velocity) -> tuple[int, int, int, int]:
    return velocity.payments_1h, velocity.payments_24h, velocity.amount_minor_1h, velocity.amount_minor_24h


def of_others(velocity: Velocity) -> tuple[int, int, int, int]:
    return (
        velocity.lookalike_cards_1h,
        velocity.reference_cards_1h,
        velocity.bin_cards_1h,
        velocity.caller_cards_1h,
    )


def declines(velocity: Velocity) -> tuple[int, int, int]:
    return velocity.reference_declines_1h, velocity.bin_declines_1h, velocity.caller_declines_1h


@pytest.fixture(params=["fake", "kms"])
def cipher(request: pytest.FixtureRequest) -> CardCipher:
    if request.param == "fake":
        return FakeCardCipher()
    aws: MockedAws = request.getfixturevalue("aws")
    return KmsCardCipher(aws.kms, aws.card_key_id)


class TestCardCipher:
    def test_what_is_encrypted_is_decrypted_under_the_same_context(self, cipher: CardCipher) -> None:
        first, second = (cipher.encrypt(text, {"fingerprint": "tok_1"}) for text in (PAN.encode(), b"another"))
        assert cipher.decrypt(first, {"fingerprint": "tok_1"}) == PAN.encode()
        assert cipher.decrypt(second, {"fingerprint": "tok_1"}) == b"another"

    def test_the_ciphertext_does_not_show_the_plaintext(self, cipher: CardCipher) -> None:
        assert PAN.encode() not in cipher.encrypt(PAN.encode(), {"fingerprint": "tok_1"})

    def test_the_same_card_twice_is_two_ciphertexts(self, cipher: CardCipher) -> None:
        assert cipher.encrypt(b"card", {"fingerprint": "tok_1"}) != cipher.encrypt(b"card", {"fingerprint": "tok_1"})

    @pytest.mark.parametrize("context", [{"fingerprint": "tok_2"}, {}, {"fingerprint": "tok_1", "more": "of it"}])
    def test_under_another_context_there_is_no_plaintext(self, cipher: CardCipher, context: dict[str, str]) -> None:
        ciphertext = cipher.encrypt(PAN.encode(), {"fingerprint": "tok_1"})
        with pytest.raises(KeyUnusable):
            cipher.decrypt(ciphertext, context)

    def test_what_was_never_encrypted_has_no_plaintext(self, cipher: CardCipher) -> None:
        with pytest.raises(KeyUnusable):
            cipher.decrypt(b"0" * 64, {"fingerprint": "tok_1"})


@pytest.fixture(params=["fake", "kms"])
def token_mac(request: pytest.FixtureRequest) -> Mac:
    if request.param == "fake":
        return FakeMac()
    aws: MockedAws = request.getfixturevalue("aws")
    return KmsMac(aws.kms, aws.token_key_id)


class TestTokenMac:
    def test_the_same_number_has_the_same_mac_and_other_numbers_have_others(self, token_mac: Mac) -> None:
        assert token_mac.mac(PAN.encode()) == token_mac.mac(PAN.encode())
        assert token_mac.mac(PAN.encode()) != token_mac.mac(DECLINED_PAN.encode())

    def test_a_mac_is_32_bytes_and_no_plain_hash(self, token_mac: Mac) -> None:
        mac = token_mac.mac(PAN.encode())
        assert len(mac) == 32
        assert mac != hashlib.sha256(PAN.encode()).digest()


ALREADY_ENDED = (requests.HTTPError, AssertionError)
WRONG_CODE_AT_STRIPE = card("4000000000000127", security_code=SECURITY_CODE)
AUTHENTICATED_ON_REQUEST_AT_STRIPE = card("4000000000003055")
"""https://docs.stripe.com/testing (seen 2026-11-29)"""


@dataclass
class GatewayUnderTest:
    gateway: PaymentGateway
    break_next: Callable[[str, str, str], None]
    """(operation, the sandbox's word for the fault, reference)"""
    answer_challenge: Callable[[Charge, bool], None] = lambda charge, passed: None
    """The customer passes the challenge, or fails it; nobody is asked at a gateway without 3-D Secure."""
    wrong_code: Card = field(default_factory=lambda: card(security_code=WRONG_SECURITY_CODE))
    """A card with a security code that is wrong."""
    discloses_verifications: bool = True
    """Whether a verification has the network's id."""
    asked_if_required: Card = field(default_factory=card)
    """A card whose holder is authenticated only on request."""
    dispute: Callable[[Charge, bool | None], object] = lambda charge, won: None
    """The cardholder disputes the charge (None), and the bank then decides."""


@pytest.fixture(params=["fake", "sparkle", "stripe"])
def bank(request: pytest.FixtureRequest) -> GatewayUnderTest:
    if request.param == "fake":
        fake = FakeGateway()
        unknown = GatewayOutcomeUnknown("No answer.")
        faults = {
            "timeout_before": lambda operation: fake.faults.arm(operation, unknown),
            "timeout_after": lambda operation: fake.faults.arm(operation, unknown, done=True),
            "http_429": lambda operation: fake.faults.arm(operation, GatewayBusy("429")),
        }
        return GatewayUnderTest(
            fake,
            lambda operation, fault, reference: faults[fault](operation),
            lambda charge, passed: fake.answer_challenge(charge.reference, approve=passed),
            dispute=lambda charge, won: fake.dispute(charge.reference, won=won),
        )
    url: str = request.getfixturevalue({"sparkle": "sandbox_url", "stripe": "stripe_url"}[request.param])

    def break_next(operation: str, fault: str, reference: str) -> None:
        body = {"operation": operation, "fault": fault, "reference": reference, "seconds": 0}
        requests.post(f"{url}/sandbox/faults", json=body, headers=AUTHORIZATION, timeout=5).raise_for_status()

    def answer_challenge(charge: Charge, passed: bool) -> None:
        body = {"outcome": "approve" if passed else "fail"}
        answer = f"{url}/sandbox/charges/{charge.charge_id}/challenge"
        requests.post(answer, json=body, headers=AUTHORIZATION, timeout=5).raise_for_status()

    def dispute(charge: Charge, won: bool | None) -> None:
        outcome = {None: "open", True: "won", False: "lost"}[won]
        path = f"{url}/sandbox/charges/{charge.charge_id}/dispute"
        requests.post(path, json={"outcome": outcome}, headers=AUTHORIZATION, timeout=5).raise_for_status()

    gateway = adapter(request.param).connect(
        url,
        lambda: API_KEY,
        connect_timeout_seconds=1,
        read_timeout_seconds=5,
        settings={},
        iso_minor_unit=minor_unit,
        now=lambda: NOW,
        observe=lambda operation, seconds, succeeded: None,
    )
    if request.param == "sparkle":
        return GatewayUnderTest(gateway, break_next, answer_challenge, dispute=dispute)
    return GatewayUnderTest(
        gateway,
        break_next,
        answer_challenge,
        WRONG_CODE_AT_STRIPE,
        discloses_verifications=False,
        asked_if_required=AUTHENTICATED_ON_REQUEST_AT_STRIPE,
        dispute=dispute,
    )


class TestPaymentGateway:
    def test_a_charge_takes_the_money(self, bank: GatewayUnderTest) -> None:
        ordered = order(new_id())
        charge = bank.gateway.charge(ordered, card(), f"{ordered.reference}-charge")
        assert (charge.reference, charge.status, charge.amount_minor, charge.currency, charge.captured_minor) == (
            ordered.reference,
            "captured",
            1999,
            "USD",
            1999,
        )
        assert charge.charge_id
        assert charge.decline_code is None

    def test_an_authorization_holds_the_money(self, bank: GatewayUnderTest) -> None:
        charge = bank.gateway.authorize(order(reference := new_id()), card(), f"{reference}-charge")
        assert (charge.status, charge.amount_minor, charge.captured_minor) == ("authorized", 1999, 0)

    def test_a_decline_is_a_charge_with_a_decline_code(self, bank: GatewayUnderTest) -> None:
        charge = bank.gateway.charge(order(reference := new_id()), card(DECLINED_PAN), f"{reference}-charge")
        assert (charge.status, charge.decline_code, charge.captured_minor) == ("declined", "insufficient_funds", 0)
        assert bank.gateway.find_by_reference(order(reference)) == charge

    def test_an_approved_charge_has_the_networks_id_and_a_declined_one_none(self, bank: GatewayUnderTest) -> None:
        charge = bank.gateway.charge(order(reference := new_id()), card(), f"{reference}-charge")
        assert charge.network_transaction_id
        assert bank.gateway.find_by_reference(order(reference)) == charge
        declined = bank.gateway.charge(order(reference := new_id()), card(DECLINED_PAN), f"{reference}-charge")
        assert declined.network_transaction_id is None

    def test_the_gateway_judges_the_security_code(self, bank: GatewayUnderTest) -> None:
        right = bank.gateway.charge(
            order(reference := new_id()), card(security_code=SECURITY_CODE), f"{reference}-charge"
        )
        assert (right.status, right.decline_code) == ("captured", None)
        wrong = bank.gateway.charge(order(reference := new_id()), bank.wrong_code, f"{reference}-charge")
        assert (wrong.status, wrong.decline_code) == ("declined", "incorrect_cvc")

    def test_a_card_is_verified_without_a_charge(self, bank: GatewayUnderTest) -> None:
        reference = new_id()
        first, second = (bank.gateway.verify(reference, card(), f"{reference}-verification") for _ in range(2))
        assert (first.reference, first.decline_code) == (reference, None)
        assert bool(first.network_transaction_id) == bank.discloses_verifications
        assert first == second
        assert bank.gateway.find_by_reference(order(reference)) is None

    def test_a_declined_verification_says_why(self, bank: GatewayUnderTest) -> None:
        for test_card, declined in ((card(DECLINED_PAN), "insufficient_funds"), (bank.wrong_code, "incorrect_cvc")):
            verification = bank.gateway.verify(reference := new_id(), test_card, f"{reference}-verification")
            assert verification == Verification(reference, declined, None)

    def test_a_charge_is_found_by_our_reference(self, bank: GatewayUnderTest) -> None:
        charge = bank.gateway.charge(order(reference := new_id()), card(), f"{reference}-charge")
        assert bank.gateway.find_by_reference(order(reference)) == charge
        assert bank.gateway.find_by_reference(order(new_id())) is None

    def test_a_charge_of_nobody_is_not_shown(self, bank: GatewayUnderTest) -> None:
        charge_id = bank.gateway.charge(order(reference := new_id()), card(), f"{reference}-charge").charge_id
        unknown_id = charge_id[:-4] + ("0000" if not charge_id.endswith("0000") else "1111")
        assert bank.gateway.find(unknown_id) is None

    def test_the_same_key_and_order_give_the_same_charge(self, bank: GatewayUnderTest) -> None:
        reference = new_id()
        first, second = (bank.gateway.charge(order(reference), card(), f"{reference}-charge") for _ in range(2))
        assert first == second

    def test_the_same_key_with_another_order_is_refused(self, bank: GatewayUnderTest) -> None:
        bank.gateway.charge(order(reference := new_id()), card(), f"{reference}-charge")
        with pytest.raises(GatewayRefused):
            bank.gateway.charge(order(reference, amount_minor=2000), card(), f"{reference}-charge")

    def test_a_second_charge_for_a_reference_is_not_made(self, bank: GatewayUnderTest) -> None:
        charge = bank.gateway.charge(order(reference := new_id()), card(), f"{reference}-charge")
        with pytest.raises(GatewayOutcomeUnknown):
            bank.gateway.charge(order(reference), card(), f"{reference}-again")
        assert bank.gateway.find_by_reference(order(reference)) == charge

    def test_a_charge_whose_answer_was_lost_is_unknown_and_can_be_found(self, bank: GatewayUnderTest) -> None:
        bank.break_next("charge", "timeout_after", reference := new_id())
        with pytest.raises(GatewayOutcomeUnknown):
            bank.gateway.charge(order(reference), card(), f"{reference}-charge")
        found = bank.gateway.find_by_reference(order(reference))
        assert found is not None
        assert found.status == "captured"
        assert bank.gateway.charge(order(reference), card(), f"{reference}-charge") == found

    def test_a_charge_that_was_never_made_is_unknown_and_not_found(self, bank: GatewayUnderTest) -> None:
        bank.break_next("charge", "timeout_before", reference := new_id())
        with pytest.raises(GatewayOutcomeUnknown):
            bank.gateway.charge(order(reference), card(), f"{reference}-charge")
        assert bank.gateway.find_by_reference(order(reference)) is None

    def test_a_busy_gateway_has_done_nothing(self, bank: GatewayUnderTest) -> None:
        bank.break_next("charge", "http_429", reference := new_id())
        with pytest.raises(GatewayBusy):
            bank.gateway.charge(order(reference), card(), f"{reference}-charge")
        assert bank.gateway.find_by_reference(order(reference)) is None

    @pytest.mark.parametrize("operation", ["find", "reverse"])
    def test_no_answer_is_unknown_whatever_was_asked(self, bank: GatewayUnderTest, operation: str) -> None:
        bank.break_next(operation, "timeout_before", reference := new_id())
        ask = bank.gateway.reverse if operation == "reverse" else bank.gateway.find_by_reference
        with pytest.raises(GatewayOutcomeUnknown):
            ask(order(reference))

    @pytest.mark.parametrize("capture", [True, False])
    def test_a_reversal_undoes_the_charge_again_and_again(self, bank: GatewayUnderTest, capture: bool) -> None:
        ask = bank.gateway.charge if capture else bank.gateway.authorize
        charge = ask(order(reference := new_id()), card(), f"{reference}-charge")
        reversal = bank.gateway.reverse(order(reference))
        assert reversal.charge
        if reversal.result == "voided":
            assert reversal.charge == replace(charge, status="voided", captured_minor=0, captured_at=None)
        else:  # not every gateway can void what is captured
            (returned,) = reversal.charge.refunds
            assert (capture, reversal.result, returned.amount_minor) == (True, "refunded", charge.captured_minor)
            assert reversal.charge == replace(charge, status="refunded", refunds=(returned,))
        assert bank.gateway.reverse(order(reference)) == reversal
        assert bank.gateway.find_by_reference(order(reference)) == reversal.charge

    def test_a_reversal_of_nothing_keeps_a_late_charge_out(self, bank: GatewayUnderTest) -> None:
        reversal = bank.gateway.reverse(order(reference := new_id()))
        assert (reversal.result, reversal.charge) == ("tombstoned", None)
        with pytest.raises(GatewayRefused):
            bank.gateway.charge(order(reference), card(), f"{reference}-charge")
        assert bank.gateway.find_by_reference(order(reference)) is None

    def test_a_reversal_of_a_declined_charge_says_that_it_was_declined(self, bank: GatewayUnderTest) -> None:
        charge = bank.gateway.charge(order(reference := new_id()), card(DECLINED_PAN), f"{reference}-charge")
        reversal = bank.gateway.reverse(order(reference))
        assert reversal.result == "declined"
        assert reversal.charge == charge

    def test_a_reversal_whose_answer_was_lost_has_undone_the_charge(self, bank: GatewayUnderTest) -> None:
        bank.gateway.charge(order(reference := new_id()), card(), f"{reference}-charge")
        bank.break_next("reverse", "timeout_after", reference)
        with pytest.raises(GatewayOutcomeUnknown):
            bank.gateway.reverse(order(reference))
        assert bank.gateway.reverse(order(reference)).result in ("voided", "refunded")


RETURN_URL = "https://shop.example/orders/1001"


def waiting(bank: GatewayUnderTest, *, capture: bool = True, pan: str = CHALLENGED_PAN, **changes: Any) -> Charge:
    """A charge whose customer has to pass a challenge first."""
    ask = bank.gateway.charge if capture else bank.gateway.authorize
    new_order = order(new_id(), return_url=RETURN_URL, **changes)
    charge = ask(new_order, card(pan), f"{new_order.reference}-charge")
    assert charge.status == "action_required"
    return charge


class TestAuthentication:
    @pytest.mark.parametrize("capture", [True, False])
    def test_while_the_customer_is_asked_no_money_is_held(self, bank: GatewayUnderTest, capture: bool) -> None:
        charge = waiting(bank, capture=capture)
        assert charge.redirect_url
        assert (charge.captured_minor, charge.authentication, charge.network_transaction_id) == (0, None, None)
        assert charge.is_as_requested(charge.reference, 1999, "USD", capture=capture)
        assert bank.gateway.find(charge.charge_id) == charge
        assert bank.gateway.find_by_reference(order(charge.reference)) == charge

    @pytest.mark.parametrize(("capture", "status"), [(True, "captured"), (False, "authorized")])
    def test_whoever_passes_the_challenge_pays(self, bank: GatewayUnderTest, capture: bool, status: str) -> None:
        charge = waiting(bank, capture=capture)
        bank.answer_challenge(charge, True)
        paid = bank.gateway.find(charge.charge_id)
        assert paid
        assert (paid.status, paid.captured_minor, paid.redirect_url) == (status, 1999 * capture, None)
        assert paid.authentication
        assert (paid.authentication.result, paid.authentication.version) == ("authenticated", "2.2.0")
        assert paid.authentication.liability_shift in (True, None)
        assert paid.network_transaction_id
        assert bank.gateway.find_by_reference(order(charge.reference)) == paid

    def test_whoever_fails_it_is_declined_for_good(self, bank: GatewayUnderTest) -> None:
        charge = waiting(bank)
        bank.answer_challenge(charge, False)
        declined = bank.gateway.find(charge.charge_id)
        assert declined
        assert (declined.status, declined.decline_code) == ("declined", "authentication_failed")
        assert declined.authentication
        assert declined.authentication.result == "failed"
        assert bank.gateway.find(charge.charge_id) == declined
        assert bank.gateway.cancel_authentication(charge.charge_id) == declined
        assert bank.gateway.reverse(order(charge.reference)) == Reversal("declined", declined)
        with pytest.raises(ALREADY_ENDED):
            bank.answer_challenge(charge, True)

    def test_whoever_passes_it_may_lack_the_money(self, bank: GatewayUnderTest) -> None:
        charge = waiting(bank, pan=CHALLENGED_AND_DECLINED_PAN)
        bank.answer_challenge(charge, True)
        declined = bank.gateway.find(charge.charge_id)
        assert declined
        assert (declined.status, declined.decline_code) == ("declined", "insufficient_funds")
        assert declined.authentication
        assert declined.authentication.result == "authenticated"
        assert bank.gateway.find(charge.charge_id) == declined

    @pytest.mark.parametrize("capture", [True, False])
    def test_once_nobody_waits_any_more_nobody_passes_it(self, bank: GatewayUnderTest, capture: bool) -> None:
        charge = waiting(bank, capture=capture)
        expired = bank.gateway.cancel_authentication(charge.charge_id)
        assert (expired.status, expired.decline_code) == ("declined", "authentication_expired")
        assert (expired.authentication, expired.redirect_url) == (None, None)
        assert bank.gateway.cancel_authentication(charge.charge_id) == expired
        with pytest.raises(ALREADY_ENDED):
            bank.answer_challenge(charge, True)
        assert bank.gateway.find(charge.charge_id) == expired
        assert bank.gateway.find_by_reference(order(charge.reference)) == expired

    @pytest.mark.parametrize(("capture", "status"), [(True, "captured"), (False, "authorized")])
    def test_the_wait_cannot_be_ended_for_whoever_was_faster(
        self, bank: GatewayUnderTest, capture: bool, status: str
    ) -> None:
        charge = waiting(bank, capture=capture)
        bank.answer_challenge(charge, True)
        paid = bank.gateway.cancel_authentication(charge.charge_id)
        assert paid == bank.gateway.find(charge.charge_id)
        assert (paid.status, paid.captured_minor) == (status, 1999 * capture)

    def test_the_end_of_a_wait_whose_answer_was_lost_is_unknown_and_again_the_same(
        self, bank: GatewayUnderTest
    ) -> None:
        charge = waiting(bank)
        bank.break_next("cancel_authentication", "timeout_after", charge.reference)
        with pytest.raises(GatewayOutcomeUnknown):
            bank.gateway.cancel_authentication(charge.charge_id)
        assert bank.gateway.cancel_authentication(charge.charge_id).decline_code == "authentication_expired"

    def test_a_busy_gateway_waits_on(self, bank: GatewayUnderTest) -> None:
        charge = waiting(bank)
        bank.break_next("cancel_authentication", "http_429", charge.reference)
        with pytest.raises(GatewayBusy):
            bank.gateway.cancel_authentication(charge.charge_id)
        assert bank.gateway.find(charge.charge_id) == charge

    def test_the_wait_for_a_charge_that_is_not_there_is_refused(self, bank: GatewayUnderTest) -> None:
        with pytest.raises(GatewayRefused):
            bank.gateway.cancel_authentication("ch_000000000000000000000000")

    def test_a_reversal_ends_the_wait_as_well(self, bank: GatewayUnderTest) -> None:
        charge = waiting(bank)
        reversal = bank.gateway.reverse(order(charge.reference))
        assert reversal.charge
        assert (reversal.result, reversal.charge.decline_code) == ("declined", "authentication_expired")
        with pytest.raises(ALREADY_ENDED):
            bank.answer_challenge(charge, True)
        assert bank.gateway.reverse(order(charge.reference)) == reversal

    def test_a_challenge_whose_first_answer_was_lost_is_found(self, bank: GatewayUnderTest) -> None:
        bank.break_next("charge", "timeout_after", reference := new_id())
        new_order = order(reference, return_url=RETURN_URL)
        with pytest.raises(GatewayOutcomeUnknown):
            bank.gateway.charge(new_order, card(CHALLENGED_PAN), f"{reference}-charge")
        found = bank.gateway.find_by_reference(new_order)
        assert found
        assert (found.status, bool(found.redirect_url)) == ("action_required", True)
        assert bank.gateway.charge(new_order, card(CHALLENGED_PAN), f"{reference}-charge") == found

    def test_authentication_may_be_required(self, bank: GatewayUnderTest) -> None:
        for three_d_secure, status in (("automatic", "captured"), ("required", "action_required")):
            new_order = order(reference := new_id(), return_url=RETURN_URL, three_d_secure=three_d_secure)
            charge = bank.gateway.charge(new_order, bank.asked_if_required, f"{reference}-charge")
            assert charge.status == status

    @pytest.mark.parametrize("changes", [{"return_url": None}, {"three_d_secure": "none"}])
    def test_a_customer_who_may_not_be_asked_does_not_pay(
        self, bank: GatewayUnderTest, changes: dict[str, Any]
    ) -> None:
        new_order = order(reference := new_id(), **{"return_url": RETURN_URL} | changes)
        charge = bank.gateway.charge(new_order, card(CHALLENGED_PAN), f"{reference}-charge")
        if charge.status == "action_required":
            charge = bank.gateway.cancel_authentication(charge.charge_id)
            assert (charge.status, charge.decline_code) == ("declined", "authentication_expired")
        else:
            assert (charge.status, charge.decline_code) == ("declined", "authentication_required")
        assert bank.gateway.find(charge.charge_id) == charge

    def test_an_exemption_may_be_asked_for(self, bank: GatewayUnderTest) -> None:
        new_order = order(reference := new_id(), return_url=RETURN_URL, exemption="low_value")
        assert bank.gateway.charge(new_order, card(), f"{reference}-charge").status == "captured"


PENDING = Operation("operation-of-ours", "refund", 500, "processing", None, NOW, NOW, pending=True)
AUTHORIZE, CHARGE = False, True
Ask = Callable[[PaymentGateway, Charge], Charge | Refused]


def charged(bank: GatewayUnderTest, capture: bool) -> Charge:
    ask = bank.gateway.charge if capture else bank.gateway.authorize
    return ask(order(reference := new_id()), card(), f"{reference}-charge")


def capture(gateway: PaymentGateway, charge: Charge, amount_minor: int = 1500) -> Charge | Refused:
    return gateway.capture(charge.charge_id, amount_minor, "USD", f"{charge.reference}-capture-{amount_minor}")


def void(gateway: PaymentGateway, charge: Charge) -> Charge | Refused:
    return gateway.void(charge.charge_id, f"{charge.reference}-void")


def refund(gateway: PaymentGateway, charge: Charge, amount_minor: int = 500, n: int = 1) -> Charge | Refused:
    reference = f"{charge.reference}-{n}"
    return gateway.refund(charge.charge_id, amount_minor, "USD", reference, f"{reference}-refund")


OPERATIONS: list[tuple[str, bool, Ask]] = [
    ("capture", AUTHORIZE, capture),
    ("void", AUTHORIZE, void),
    ("refund", CHARGE, refund),
]
every_operation = pytest.mark.parametrize(
    ("operation", "captured", "ask"), OPERATIONS, ids=[name for name, _, _ in OPERATIONS]
)


class TestDisputesAtTheGateway:
    @pytest.mark.parametrize("won", [True, False])
    def test_a_charge_shows_what_is_disputed_and_how_that_ended(self, bank: GatewayUnderTest, won: bool) -> None:
        charge = charged(bank, CHARGE)
        bank.dispute(charge, None)
        disputed = bank.gateway.find(charge.charge_id)
        assert disputed is not None
        (dispute,) = disputed.disputes
        assert (dispute.status, dispute.amount_minor, dispute.reason) == ("open", 1999, "fraudulent")
        assert dispute.opened_at
        assert replace(disputed, disputes=()) == charge
        assert bank.gateway.find_by_reference(order(charge.reference)) == disputed
        bank.dispute(charge, won)
        ended = bank.gateway.find(charge.charge_id)
        assert ended is not None
        (end,) = ended.disputes
        assert replace(end, ended_at=None) == replace(dispute, status="won" if won else "lost")
        assert end.ended_at or not won
        assert ended.is_undone != won

    def test_what_is_disputed_is_not_refunded_until_it_is_won(self, bank: GatewayUnderTest) -> None:
        charge = charged(bank, CHARGE)
        bank.dispute(charge, None)
        assert refund(bank.gateway, charge) == Refused("payment_disputed")
        bank.dispute(charge, True)
        assert isinstance(refund(bank.gateway, charge, n=2), Charge)

    def test_what_is_lost_is_never_refunded(self, bank: GatewayUnderTest) -> None:
        charge = charged(bank, CHARGE)
        bank.dispute(charge, None)
        bank.dispute(charge, False)
        assert refund(bank.gateway, charge) == Refused("payment_disputed")

    @pytest.mark.parametrize("won", [True, False])
    def test_a_reversal_waits_until_the_dispute_has_ended(self, bank: GatewayUnderTest, won: bool) -> None:
        charge = charged(bank, CHARGE)
        bank.dispute(charge, None)
        with pytest.raises(GatewayOutcomeUnknown):
            bank.gateway.reverse(order(charge.reference))
        bank.dispute(charge, won)
        reversal = bank.gateway.reverse(order(charge.reference))
        assert reversal.charge
        assert (reversal.result, reversal.charge.is_undone) == ("refunded", True)
        assert len(reversal.charge.refunds) == won


class TestOperationsAtTheGateway:
    def test_what_was_authorized_is_captured_in_whole_or_in_part(self, bank: GatewayUnderTest) -> None:
        charge = charged(bank, AUTHORIZE)
        captured = capture(bank.gateway, charge)
        assert isinstance(captured, Charge)
        assert (captured.status, captured.captured_minor, captured.amount_minor) == ("captured", 1500, 1999)
        assert captured.captured_at
        assert bank.gateway.find_by_reference(order(charge.reference)) == captured

    def test_what_was_authorized_is_released(self, bank: GatewayUnderTest) -> None:
        charge = charged(bank, AUTHORIZE)
        assert void(bank.gateway, charge) == replace(charge, status="voided")

    def test_what_was_captured_is_refunded_until_nothing_is_left(self, bank: GatewayUnderTest) -> None:
        charge = charged(bank, CHARGE)
        first, second, third = (refund(bank.gateway, charge, amount, n) for n, amount in enumerate((500, 1500, 1499)))
        assert isinstance(first, Charge)
        (part,) = first.refunds
        assert (first.charge_id, part.amount_minor, part.status) == (charge.charge_id, 500, "succeeded")
        assert second == Refused("amount_exceeds_captured")
        assert isinstance(third, Charge)
        found = bank.gateway.find_by_reference(order(charge.reference))
        assert found == third
        assert (found.status, found.captured_minor) == ("refunded", 1999)

    def test_a_charge_shows_its_refunds_under_our_references(self, bank: GatewayUnderTest) -> None:
        charge = charged(bank, CHARGE)
        refunded = refund(bank.gateway, charge)
        assert isinstance(refunded, Charge)
        assert refunded.refund(f"{charge.reference}-1") == refunded.refunds[0]
        assert refunded.refund("another") is None
        assert bank.gateway.find_by_reference(order(charge.reference)) == refunded

    def test_an_authorization_says_when_it_expires(self, bank: GatewayUnderTest) -> None:
        assert charged(bank, AUTHORIZE).expires_at
        assert charged(bank, CHARGE).expires_at is None

    @every_operation
    def test_the_same_key_gives_the_same_answer(
        self, bank: GatewayUnderTest, operation: str, captured: bool, ask: Ask
    ) -> None:
        charge = charged(bank, captured)
        assert ask(bank.gateway, charge) == ask(bank.gateway, charge)

    @every_operation
    def test_what_the_charges_state_forbids_is_refused_for_good(
        self, bank: GatewayUnderTest, operation: str, captured: bool, ask: Ask
    ) -> None:
        charge = charged(bank, captured)
        bank.gateway.reverse(order(charge.reference))
        assert ask(bank.gateway, charge) == ask(bank.gateway, charge) == Refused("invalid_state")

    def test_more_than_was_authorized_is_not_captured(self, bank: GatewayUnderTest) -> None:
        assert capture(bank.gateway, charged(bank, AUTHORIZE), 2000) == Refused("amount_exceeds_authorized")

    def test_one_reference_is_one_refund_whatever_the_key(self, bank: GatewayUnderTest) -> None:
        charge = charged(bank, CHARGE)
        refunded = bank.gateway.refund(charge.charge_id, 500, "USD", "op", f"{charge.reference}-a")
        with suppress(GatewayOutcomeUnknown):
            assert bank.gateway.refund(charge.charge_id, 500, "USD", "op", f"{charge.reference}-b") == refunded
        assert bank.gateway.find_by_reference(order(charge.reference)) == refunded

    @every_operation
    def test_an_operation_whose_answer_was_lost_is_unknown_and_again_the_same(
        self, bank: GatewayUnderTest, operation: str, captured: bool, ask: Ask
    ) -> None:
        charge = charged(bank, captured)
        bank.break_next(operation, "timeout_after", charge.reference)
        with pytest.raises(GatewayOutcomeUnknown):
            ask(bank.gateway, charge)
        assert not isinstance(ask(bank.gateway, charge), Refused)

    @every_operation
    def test_a_busy_gateway_has_done_nothing_of_it(
        self, bank: GatewayUnderTest, operation: str, captured: bool, ask: Ask
    ) -> None:
        charge = charged(bank, captured)
        bank.break_next(operation, "http_429", charge.reference)
        with pytest.raises(GatewayBusy):
            ask(bank.gateway, charge)
        assert bank.gateway.find_by_reference(order(charge.reference)) == charge

    def test_a_charge_that_is_not_there_is_no_answer_but_a_refusal_to_work(self, bank: GatewayUnderTest) -> None:
        with pytest.raises(GatewayRefused):
            bank.gateway.void("ch_000000000000000000000000", new_id())


class TestPaymentsThatTheGatewayMayYetMove:
    def test_they_are_found_page_by_page_and_no_others(self, books: LedgerUnderTest) -> None:
        authorized = [payment(new_id(), "authorized") for _ in range(5)]
        pending = payment(new_id(), "captured", operations=(PENDING,))
        ended = [payment(new_id(), status) for status in ("captured", "declined")]
        for each in (*authorized, pending, *ended):
            books.ledger.record(each)
        voided = authorized.pop()
        books.ledger.record(voided.moved_to("voided"))
        payment_ids, page = books.ledger.awaiting_gateway(None)
        while page:
            more, page = books.ledger.awaiting_gateway(page)
            payment_ids += more
        assert len(payment_ids) == len(set(payment_ids))
        expected = {each.payment_id for each in (*authorized, pending)}
        assert expected <= set(payment_ids)
        assert not set(payment_ids) & {each.payment_id for each in (voided, *ended)}


class TestStatuses:
    def test_the_statuses_of_many_payments_are_read_at_once(self, books: LedgerUnderTest) -> None:
        ids = [new_id() for _ in range(130)]
        for n, payment_id in enumerate(ids[:120]):
            books.ledger.record(payment(payment_id, "declined" if n % 2 else "captured"))
        statuses = books.ledger.statuses(ids)
        assert statuses == {of: "declined" if n % 2 else "captured" for n, of in enumerate(ids[:120])}
        assert books.ledger.statuses([]) == {}


class TestPayments:
    def test_many_payments_are_read_at_once(self, books: LedgerUnderTest) -> None:
        recorded = {of: payment(of) for of in (new_id() for _ in range(110))}
        for each in recorded.values():
            books.ledger.record(each)
        assert books.ledger.payments([*recorded, new_id()]) == recorded
        assert books.ledger.payments([]) == {}


class TestPaymentIndex:
    @pytest.fixture
    def index(
        self, books: LedgerUnderTest, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
    ) -> PaymentIndex:
        if isinstance(books.ledger, FakeLedger):
            return FakePaymentIndex(books.ledger)
        for shards in ("DAY_SHARDS", "STATUS_SHARDS"):  # moto's queries are slow
            monkeypatch.setattr(keys, shards, 4)
        aws: MockedAws = request.getfixturevalue("aws")
        return DynamoDbPaymentIndex(aws.dynamodb, TABLE)

    def test_payments_are_listed_by_their_day_and_status_as_it_is_now(
        self, books: LedgerUnderTest, index: PaymentIndex
    ) -> None:
        day = "2001-01-31"  # of no other test
        at = [f"{day}T09:00:00.00{n}Z" for n in (0, 1, 1, 2)]
        ids = sorted(new_id() for _ in at)
        for payment_id, created_at in zip(ids, at, strict=True):
            books.ledger.record(payment(payment_id, "authorized", created_at=created_at, captured_minor=0))
        captured = books.ledger.payment(ids[2])
        assert captured
        books.ledger.record(captured.moved_to("captured", captured_minor=1999))
        positions = [Position(created_at, payment_id) for payment_id, created_at in zip(ids, at, strict=True)]
        assert list(index.on(day, None, "0", "9")) == positions[::-1]
        assert list(index.on(day, None, "0", "9", oldest_first=True)) == positions
        assert list(index.on(day, None, at[1], at[2])) == [positions[2], positions[1]]
        assert list(index.on(day, "authorized", "0", "9")) == [positions[3], positions[1], positions[0]]
        assert list(index.on(day, "captured", "0", "9")) == [positions[2]]
        assert list(index.on("2001-02-01", None, "0", "9")) == []

    def test_payments_are_listed_by_their_reference(self, books: LedgerUnderTest, index: PaymentIndex) -> None:
        reference, days = f"order {new_id()}", ("2001-01-31", "2026-11-23")
        positions = [Position(f"{day}T09:00:00.000Z", new_id()) for day in days]
        for created_at, payment_id in positions:
            books.ledger.record(payment(payment_id, created_at=created_at, merchant_reference=reference))
        books.ledger.record(payment(new_id(), merchant_reference=None))
        assert list(index.with_reference(reference, "0", "9")) == positions[::-1]
        assert list(index.with_reference(reference, "2026", "9")) == positions[1:]
        assert list(index.with_reference(reference[:-1], "0", "9")) == []


class TestEntries:
    def test_entries_of_many_payments_are_read_at_once(self, books: LedgerUnderTest) -> None:
        written: dict[tuple[str, int], PostedEntry] = {}
        for _ in range(2):
            paid, entries = payment(new_id()).post(*[capture_entry("sparkle", 1999, "USD")] * 3)
            books.ledger.record(paid, entries)
            written |= {(posted.payment_id, posted.number): posted for posted in entries}
        absent = [(new_id(), 1) for _ in range(120)]
        first, *others = written
        assert books.ledger.entries([first, *absent, *others, (first[0], 4)]) == written
        assert books.ledger.entries([]) == {}
