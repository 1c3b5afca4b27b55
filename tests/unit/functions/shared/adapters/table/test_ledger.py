"""The ledger's items in DynamoDB. test_ports.py tests its behaviour."""

from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from functions.shared.adapters.kms import KmsMac
from functions.shared.adapters.table import keys
from functions.shared.adapters.table import ledger as ledger_adapter
from functions.shared.adapters.table.cards import DynamoDbCardVault
from functions.shared.adapters.table.items import unmarshal, write_transaction
from functions.shared.adapters.table.keys import ACCOUNT_SHARDS
from functions.shared.adapters.table.ledger import DynamoDbLedger, sealed
from functions.shared.domain import payment as domain
from functions.shared.domain.adoption import MAX_STEPS
from functions.shared.domain.charge import Refund
from functions.shared.domain.dispute import Dispute
from functions.shared.domain.errors import KeyServiceUnavailable, KeyUnusable, LedgerConflict, LedgerUnavailable
from functions.shared.domain.ledger import GENESIS_HASH, capture_entry, in_doubt_entry
from functions.shared.domain.payment import Payment
from functions.shared.domain.seal import digest
from functions.shared.ports import RecordedPayment, StoredCard
from functions.shared.use_cases.adopt_charge import record_movements
from tests.aws_facts import facts
from tests.mocked_aws import CARDS_TABLE, TABLE, MockedAws, new_id
from tests.samples import FINGERPRINT, KEPT_UNTIL, LATER, NOW, SUMMARY, charge_of, payment, refund_request

CAPTURE = capture_entry("sparkle", 1999, "USD")


def items(aws: MockedAws, pk: str) -> dict[str, dict[str, Any]]:
    """The items with a partition key, by sort key, in DynamoDB's format."""
    answer = aws.dynamodb.query(
        TableName=CARDS_TABLE if pk.startswith("CARD#") else TABLE,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": pk}},
    )
    return {item["sk"]["S"]: item for item in answer["Items"]}


def card_vault(aws: MockedAws) -> DynamoDbCardVault:
    return DynamoDbCardVault(aws.dynamodb, CARDS_TABLE, TABLE)


def test_a_capture_is_a_payment_an_entry_and_two_postings(aws: MockedAws) -> None:
    paid, entries = payment(new_id()).post(CAPTURE)
    aws.ledger().record(paid, entries)
    written = items(aws, f"PAYMENT#{paid.payment_id}")
    assert list(written) == ["ENTRY#0001", "EVENT#000001", "PAYMENT", "POSTING#0001#1", "POSTING#0001#2"]
    assert written["PAYMENT"]["amount_minor"] == {"N": "1999"}
    assert written["PAYMENT"]["status"] == {"S": "captured"}
    assert written["ENTRY#0001"]["kind"] == {"S": "capture"}
    assert written["ENTRY#0001"]["previous_hash"] == {"S": GENESIS_HASH}
    assert written["ENTRY#0001"]["hash"] == written["PAYMENT"]["journal_hash"]
    debit, credit = written["POSTING#0001#1"], written["POSTING#0001#2"]
    assert (debit["account"]["S"], debit["direction"]["S"]) == ("asset:gateway:sparkle", "debit")
    assert (credit["account"]["S"], credit["direction"]["S"]) == ("liability:merchant", "credit")
    assert debit["amount_minor"] == credit["amount_minor"] == {"N": "1999"}


def test_a_payment_and_its_card_are_one_transaction_over_two_tables(aws: MockedAws) -> None:
    assert facts("transactions")["over_tables"]
    paid, entries = payment(new_id()).post(CAPTURE)
    requests: list[Any] = []
    aws.dynamodb.meta.events.register(
        "provide-client-params.dynamodb.TransactWriteItems", lambda params, **_: requests.append(params)
    )
    card = StoredCard(replace(SUMMARY, token=f"tok_{new_id()}"), b"ciphertext", KEPT_UNTIL)
    aws.ledger().record(paid, entries, card)
    [transaction] = requests
    tables = [write["Put"]["TableName"] for write in transaction["TransactItems"]]
    assert tables == [TABLE] * 5 + [CARDS_TABLE]
    assert len(tables) <= facts("transactions")["actions_at_most"]


def test_a_record_is_sealed_by_a_mac_over_all_of_it(aws: MockedAws) -> None:
    paid, entries = payment(new_id()).post(CAPTURE)
    aws.ledger(lambda: NOW).record(paid, entries)
    record = unmarshal(items(aws, f"PAYMENT#{paid.payment_id}")["PAYMENT"])
    mac, without = b64decode(record["mac"]), {name: value for name, value in record.items() if name != "mac"}
    check = KmsMac(aws.kms, aws.books_key_id).verify
    assert check(digest("record", without), mac)
    for name in without:
        assert not check(digest("record", without | {name: "another"}), mac), name
    assert (record["written_at"], record["written_shard"][:10]) == (NOW, NOW[:10])


def test_only_a_payment_with_disputes_lists_them(aws: MockedAws) -> None:
    paid = payment(new_id())
    dispute = Dispute("dp_1", "open", 1999, "fraudulent", NOW)
    disputed = paid.with_dispute(dispute, LATER)
    for version in (paid, disputed):
        aws.ledger().record(version)
        record = items(aws, f"PAYMENT#{paid.payment_id}")["PAYMENT"]
        assert ("disputes" in record, "open_shard" in record) == (version == disputed, version == disputed)
        assert aws.ledger().payment(paid.payment_id) == version
    ended = disputed.with_dispute(replace(dispute, status="lost", ended_at=LATER), LATER)
    aws.ledger().record(ended)
    assert "open_shard" not in items(aws, f"PAYMENT#{paid.payment_id}")["PAYMENT"]
    assert aws.ledger().payment(paid.payment_id) == ended


@pytest.mark.parametrize("error", [KeyServiceUnavailable("KMS: down"), KeyUnusable("KMS: disabled")], ids=repr)
def test_a_record_that_kms_does_not_seal_is_not_written(aws: MockedAws, error: Exception) -> None:
    def fail(message: bytes) -> bytes:
        raise error

    def seal(record: dict[str, Any]) -> dict[str, Any]:
        return sealed(record, SimpleNamespace(mac=fail), NOW)

    unsealed = payment(new_id())
    with pytest.raises(LedgerUnavailable):
        DynamoDbLedger(aws.dynamodb, TABLE, seal).record(unsealed)
    assert items(aws, f"PAYMENT#{unsealed.payment_id}") == {}


def crowded(operations: int) -> list[Payment]:
    """The versions of a payment with this many partial refunds."""
    versions = [payment(new_id(), amount_minor=10**6, captured_minor=10**6)]
    for _ in range(operations):
        versions.append(versions[-1].reserve(refund_request(versions[-1], 1), LATER))
        versions.append(versions[-1].settle(versions[-1].operations[-1], LATER))
    return versions


def recorded_in(
    aws: MockedAws, monkeypatch: pytest.MonkeyPatch, operations: int
) -> tuple[DynamoDbLedger, list[Payment]]:
    """A ledger whose records have room for three operations, and the versions of such a payment."""
    monkeypatch.setattr(domain, "MAX_OPERATIONS_IN_RECORD", 3)
    ledger, versions = aws.ledger(), crowded(operations)
    for previous, version in zip([None, *versions], versions, strict=False):
        ledger.record(version, previous=previous)
    return ledger, versions


def test_a_record_does_not_grow_with_its_operations_and_none_of_them_is_lost(
    aws: MockedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, versions = recorded_in(aws, monkeypatch, 8)
    last = versions[-1]
    written = items(aws, f"PAYMENT#{last.payment_id}")
    assert len(written["PAYMENT"]["operations"]["L"]) == 3
    assert [key for key in written if key.startswith("OPERATION#")] == sorted(
        f"OPERATION#{each.operation_id}" for each in last.operations[:5]
    )
    assert [key for key in written if key.startswith("EVENT#")] == [f"EVENT#{n:06}" for n in range(1, last.version + 1)]
    recorded = ledger.find(last.payment_id)
    assert recorded is not None
    assert ledger.payment(last.payment_id) == recorded.payment == last
    ledger.record(last, previous=versions[-2])  # again, as after a lost answer


def test_an_operation_that_is_kept_apart_may_change_with_its_payment(
    aws: MockedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, versions = recorded_in(aws, monkeypatch, 5)
    failed = versions[-1].fail_refund(versions[-1].operations[0], LATER)
    ledger.record(failed, previous=versions[-1])
    assert ledger.payment(failed.payment_id) == failed
    with pytest.raises(LedgerConflict):
        ledger.record(versions[-1].fail_refund(versions[-1].operations[1], LATER), previous=versions[-1])
    assert ledger.payment(failed.payment_id) == failed


def test_of_many_movements_that_one_look_shows_none_is_lost_however_many_operations_there_are(
    aws: MockedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, versions = recorded_in(aws, monkeypatch, 3)
    [before] = filter(None, [ledger.find(versions[-1].payment_id)])
    refunds = tuple(Refund(f"re_{n}", None, "succeeded", 1, LATER) for n in range(2 * MAX_STEPS + 1))
    sent = [Refund(each.operation_id, each.operation_id, "succeeded", 1, LATER) for each in before.payment.operations]
    charge = charge_of(before.payment, status="partially_refunded", refunds=(*sent, *refunds))
    sizes = list[int]()

    def write(client: Any, writes: Sequence[Any]) -> None:
        sizes.append(len(writes))
        write_transaction(client, writes)

    monkeypatch.setattr(ledger_adapter, "write_transaction", write)
    after = record_movements(before, charge, ledger=ledger, now=LATER)
    assert after.payment.refunded_minor == len(sent) + len(refunds)
    assert len(sizes) == after.payment.version - before.payment.version == 3
    assert max(sizes) <= facts("transactions")["actions_at_most"]
    assert ledger.find(before.payment.payment_id) == after


@pytest.mark.parametrize("earlier", ["ENTRY#", "OPERATION#", "PAYMENT"])
def test_a_payment_that_was_read_while_it_was_written_is_not_believed(
    aws: MockedAws, monkeypatch: pytest.MonkeyPatch, earlier: str
) -> None:
    """A query may see some items after a transaction, and others before it."""
    monkeypatch.setattr(domain, "MAX_OPERATIONS_IN_RECORD", 3)
    ledger = aws.ledger()
    first, posted = payment(new_id(), amount_minor=10**6, captured_minor=10**6).post(CAPTURE)
    record = RecordedPayment(first, posted)
    ledger.record(first, posted)

    def items_of_payment() -> list[dict[str, Any]]:
        return list(items(aws, f"PAYMENT#{first.payment_id}").values())

    for _ in range(5):
        seen = items_of_payment()
        record = refunded(ledger, record)
    mixed = [each for each in seen if each["sk"]["S"].startswith(earlier)]
    mixed += [each for each in items_of_payment() if not each["sk"]["S"].startswith((earlier, "POSTING#"))]
    torn = reading(mixed)
    with pytest.raises(LedgerUnavailable, match="read while it was written"):
        torn.find(first.payment_id)
    mixed[:] = [each for each in items_of_payment() if not each["sk"]["S"].startswith("POSTING#")]
    assert torn.find(first.payment_id) == record


def test_the_first_write_of_a_payment_is_not_believed_without_its_record(aws: MockedAws) -> None:
    ledger = aws.ledger()
    ledger.record(*payment(payment_id := new_id()).post(CAPTURE))
    without_record = [item for key, item in items(aws, f"PAYMENT#{payment_id}").items() if key < "PAYMENT"]
    assert without_record
    torn = reading(without_record)
    for read in (torn.find, torn.payment):
        with pytest.raises(LedgerUnavailable, match="read while it was written"):
            read(payment_id)


def reading(seen: list[dict[str, Any]]) -> DynamoDbLedger:
    """A ledger that sees these items in every query."""
    pages = SimpleNamespace(paginate=lambda **_: [{"Items": sorted(seen, key=lambda each: each["sk"]["S"])}])
    return DynamoDbLedger(SimpleNamespace(get_paginator=lambda _: pages), TABLE)  # type: ignore[arg-type]


def refunded(ledger: DynamoDbLedger, before: RecordedPayment) -> RecordedPayment:
    """Record one more refund, seen at the gateway."""
    refunds = tuple(Refund(f"re_{n}", None, "succeeded", 1, LATER) for n in range(len(before.payment.operations) + 1))
    charge = charge_of(before.payment, status="partially_refunded", refunds=refunds)
    return record_movements(before, charge, ledger=ledger, now=LATER)


def test_an_operation_is_stored_without_what_it_has_by_default(aws: MockedAws) -> None:
    *_, last = crowded(1)
    for version in [payment(last.payment_id, amount_minor=10**6, captured_minor=10**6), *crowded(0)]:
        aws.ledger().record(version)
    aws.ledger().record(replace(last, version=2))
    (stored,) = items(aws, f"PAYMENT#{last.payment_id}")["PAYMENT"]["operations"]["L"]
    # A function of the previous version reads only these fields.
    assert set(stored["M"]) == {
        "operation_id",
        "type",
        "amount_minor",
        "status",
        "error",
        "created_at",
        "updated_at",
    }


def test_an_accounts_postings_of_a_day_are_found_by_the_index(aws: MockedAws) -> None:
    paid, entries = payment(new_id()).post(CAPTURE)
    aws.ledger().record(paid, entries)
    postings = []
    for shard in range(ACCOUNT_SHARDS):
        answer = aws.dynamodb.query(
            TableName=TABLE,
            IndexName="by_account",
            KeyConditionExpression="account_day = :key",
            ExpressionAttributeValues={":key": {"S": f"liability:merchant#{NOW[:10]}#{shard:02}"}},
        )
        postings += [item for item in answer["Items"] if item["pk"]["S"] == f"PAYMENT#{paid.payment_id}"]
    assert [(item["sk"]["S"], item["posted_at"]["S"]) for item in postings] == [("POSTING#0001#2", NOW)]


def test_many_doubts_are_counted_only_so_far_but_the_oldest_is_found(
    aws: MockedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_adapter, "MAX_DOUBTS_COUNTED", 1)
    monkeypatch.setattr(keys, "DOUBT_SHARDS", 16)
    ledger = aws.ledger()
    for day in range(1, 29):
        ledger.record(payment(new_id(), "in_doubt", updated_at=f"2002-02-{29 - day:02}T00:00:00.000Z"))
    doubts = ledger.doubts()
    assert 1 < doubts.count <= 16
    assert doubts.oldest_since == "2002-02-01T00:00:00.000Z"


def test_entries_are_appended_and_never_changed(aws: MockedAws) -> None:
    ledger = aws.ledger()
    doubt = in_doubt_entry(1999, "USD")
    doubtful, entries = payment(new_id(), "in_doubt").post(doubt)
    ledger.record(doubtful, entries)
    before = items(aws, f"PAYMENT#{doubtful.payment_id}")
    ledger.record(*doubtful.moved_to("reversed", updated_at=LATER).post(doubt.reverse(1)))
    after = items(aws, f"PAYMENT#{doubtful.payment_id}")
    assert set(after) - set(before) == {"ENTRY#0002", "EVENT#000002", "POSTING#0002#1", "POSTING#0002#2"}
    assert {sk for sk in before if before[sk] != after[sk]} == {"PAYMENT"}


def test_entries_stay_in_order_beyond_the_ninth(aws: MockedAws) -> None:
    ledger = aws.ledger()
    entries = [capture_entry("sparkle", amount, "USD") for amount in range(1, 13)]
    paid, posted = payment(new_id()).post(*entries)
    ledger.record(paid, posted)
    recorded = ledger.find(paid.payment_id)
    assert recorded is not None
    assert recorded.entries == posted
    assert recorded.journal == tuple(entries)


def test_a_stored_card_is_its_summary_and_its_ciphertext_and_nothing_more(aws: MockedAws) -> None:
    token = f"tok_{new_id()}"
    summary = replace(SUMMARY, token=token)
    aws.ledger().record(payment(new_id(), card=summary), (), StoredCard(summary, b"\x00ciphertext", KEPT_UNTIL))
    assert items(aws, f"CARD#{token}") == {
        "CARD": {
            "pk": {"S": f"CARD#{token}"},
            "sk": {"S": "CARD"},
            "token": {"S": token},
            "fingerprint": {"S": FINGERPRINT},
            "brand": {"S": "visa"},
            "bin": {"S": "424242"},
            "last4": {"S": "4242"},
            "expiry": {"S": "12/44"},
            "ciphertext": {"B": b"\x00ciphertext"},
            # 400 days after 2026-11-23T09:00:01Z
            "expires_at": {"N": "1829984401"},
        }
    }


@pytest.mark.parametrize(
    "code", ["ProvisionedThroughputExceededException", "AccessDeniedException", "InternalServerError"]
)
def test_whatever_dynamodb_refuses_is_tried_again_and_its_text_left_behind(aws: MockedAws, code: str) -> None:
    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "tok_secret in arn:aws:dynamodb"}}, "Query")

    aws.dynamodb.meta.events.register_first("before-call.dynamodb", refuse)
    try:
        calls: list[Callable[[], object]] = [
            lambda: aws.ledger().record(payment(new_id())),
            lambda: aws.ledger().payment("pay-1"),
            lambda: aws.ledger().find("pay-1"),
            lambda: aws.ledger().doubts(),
            lambda: card_vault(aws).renew("tok_secret", KEPT_UNTIL),
            lambda: card_vault(aws).find("tok_secret", NOW),
            lambda: card_vault(aws).summary("tok_secret", NOW),
            lambda: card_vault(aws).erase("tok_secret", NOW),
        ]
        for call in calls:
            with pytest.raises(LedgerUnavailable, match=f"^DynamoDB: {code}$"):
                call()
    finally:
        aws.dynamodb.meta.events.unregister("before-call.dynamodb", refuse)


def test_another_transaction_on_the_item_is_no_conflict(aws: MockedAws) -> None:
    def cancel(**_: object) -> None:
        raise aws.dynamodb.exceptions.TransactionCanceledException(
            {
                "Error": {"Code": "TransactionCanceledException", "Message": ""},
                "CancellationReasons": [{"Code": "TransactionConflict"}, {"Code": "None"}],
            },
            "TransactWriteItems",
        )

    event = "before-call.dynamodb.TransactWriteItems"
    aws.dynamodb.meta.events.register(event, cancel)
    try:
        with pytest.raises(LedgerUnavailable):
            aws.ledger().record(payment(new_id()))
    finally:
        aws.dynamodb.meta.events.unregister(event, cancel)


class Contested:
    """A client whose first transactions conflict with others on the same item."""

    def __init__(self, client: Any, conflicts: int) -> None:
        self.exceptions = client.exceptions
        self.transactions = 0
        self._client = client
        self._conflicts = conflicts

    def transact_write_items(self, **request: Any) -> Any:
        self.transactions += 1
        if self.transactions <= self._conflicts:
            conflict = facts("transaction_conflicts")
            answer = {"Error": conflict["error"], "CancellationReasons": conflict["reasons"]}
            raise self.exceptions.TransactionCanceledException(answer, "TransactWriteItems")
        return self._client.transact_write_items(**request)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


@pytest.mark.parametrize("conflicts", [1, 3])
def test_a_transaction_that_meets_another_is_written_a_moment_later(aws: MockedAws, conflicts: int) -> None:
    ledger = replace(aws, dynamodb=(client := Contested(aws.dynamodb, conflicts))).ledger()  # type: ignore[arg-type]
    paid, entries = payment(new_id()).post(CAPTURE)
    ledger.record(paid, entries)
    assert (ledger.payment(paid.payment_id), client.transactions) == (paid, conflicts + 1)


def test_a_transaction_that_meets_others_again_and_again_is_left_to_the_state_machine(aws: MockedAws) -> None:
    ledger = replace(aws, dynamodb=(client := Contested(aws.dynamodb, 9))).ledger()  # type: ignore[arg-type]
    with pytest.raises(LedgerUnavailable, match="TransactionCanceledException"):
        ledger.record(payment(new_id()))
    assert client.transactions == 4
