"""Verifies an intact ledger, and ledgers that were tampered with in every way."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from decimal import Decimal
from typing import Any

import pytest

from functions.shared.adapters.table.events import event_item
from functions.shared.adapters.table.items import marshal
from functions.shared.adapters.table.ledger import apart_hash, entry_items
from functions.shared.domain.event import Event, break_found, card_erased, payment_event
from functions.shared.domain.ledger import GENESIS_HASH, PostedEntry, Posting, capture_entry, refund_entry
from functions.shared.domain.payment import Payment
from functions.shared.domain.settlement import Break
from tests.samples import LATER, payment
from tests.unit.tools.books.conftest import KnownBooks, Run
from tools.books import verification as verify
from tools.books.flaws import Flaw, first_flaw

Payments = Callable[..., Run]
Items = dict[str, dict[str, Any]]

CAPTURE, REFUND = capture_entry("sparkle", 1999, "USD"), refund_entry("sparkle", 500, "USD", "op-1")


def items_of(record: Payment, *entries: PostedEntry) -> Items:
    """A payment's items by sort key, as from a scan: without None values, and with Decimal numbers."""
    items = [{"sk": "PAYMENT"} | asdict(record), *(item for posted in entries for item in entry_items(posted))]
    return {item["sk"]: {name: number(value) for name, value in item.items() if value is not None} for item in items}


def number(value: Any) -> Any:
    match value:
        case bool():
            return value
        case int():
            return Decimal(value)
        case list() | tuple():
            return [number(each) for each in value]
        case dict():
            return {name: number(each) for name, each in value.items()}
    return value


@pytest.fixture
def items() -> Items:
    """A captured and refunded payment."""
    return items_of(*paid())


def paid() -> tuple[Payment, PostedEntry, PostedEntry]:
    before, (captured,) = payment().post(CAPTURE)
    after, (refunded,) = before.next_version("2026-11-23T10:00:00.000Z").post(REFUND)
    return after, captured, refunded


def test_an_intact_journal_has_no_flaw(items: Items) -> None:
    assert first_flaw("pay-1", items) is None
    assert first_flaw("pay-1", items_of(payment(status="declined"))) is None


def test_the_record_counts_the_operations_beside_it(items: Items) -> None:
    items["OPERATION#op-1"] = {"sk": "OPERATION#op-1", "operation_id": "op-1"}
    assert first_flaw("pay-1", items) == Flaw("pay-1", "has 1 operation beside its record, which counts 0")
    items["PAYMENT"] |= {"operations_apart": Decimal(1), "apart_hash": apart_hash([items["OPERATION#op-1"]])}
    assert first_flaw("pay-1", items) is None
    items["OPERATION#op-1"] |= {"status": "succeeded"}
    assert first_flaw("pay-1", items) == Flaw("pay-1", "an operation beside its record is not as it was written")
    del items["OPERATION#op-1"]
    assert first_flaw("pay-1", items) == Flaw("pay-1", "has 0 operations beside its record, which counts 1")


def set_(key: str, **changes: Any) -> Callable[[Items], None]:
    return lambda items: items[key].update({name: number(value) for name, value in changes.items()})


def set_amount(amount_minor: Any, *ns: int, key: str = "ENTRY#0001") -> Callable[[Items], None]:
    def change(items: Items) -> None:
        for n in ns:
            items[key]["postings"][n]["amount_minor"] = number(amount_minor)

    return change


def without(*keys: str) -> Callable[[Items], None]:
    def change(items: Items) -> None:
        for key in keys:
            del items[key]

    return change


def swap(items: Items) -> None:
    """Swap the two entries, numbers included."""
    first, second = items["ENTRY#0001"], items["ENTRY#0002"]
    items["ENTRY#0001"] = second | {"sk": "ENTRY#0001", "number": Decimal(1)}
    items["ENTRY#0002"] = first | {"sk": "ENTRY#0002", "number": Decimal(2)}


def swap_as_they_are(items: Items) -> None:
    items["ENTRY#0001"], items["ENTRY#0002"] = items["ENTRY#0002"], items["ENTRY#0001"]


def insert(count_it: bool, follow: bool = True) -> Callable[[Items], None]:
    """Insert a correct third entry."""

    def change(items: Items) -> None:
        _, _, last = paid()
        more = PostedEntry.after(
            last.hash if follow else GENESIS_HASH, CAPTURE, payment_id="pay-1", number=3, posted_at=last.posted_at
        )
        items.update(items_of(payment(), more) | {"PAYMENT": items["PAYMENT"]})
        if count_it:
            items["PAYMENT"] |= {"entry_count": Decimal(3), "journal_hash": more.hash}

    return change


def made_anew(items: Items) -> None:
    """Change the first entry's amount, with matching postings and hash."""
    _, captured, _ = paid()
    entry = replace(captured.entry, postings=tuple(replace(each, amount_minor=1) for each in captured.entry.postings))
    forged = PostedEntry.after(GENESIS_HASH, entry, payment_id="pay-1", number=1, posted_at=captured.posted_at)
    items.update(items_of(payment(), forged) | {"PAYMENT": items["PAYMENT"]})


def elsewhere(items: Items) -> None:
    """An entry to an account that does not exist."""
    entry = replace(
        CAPTURE,
        postings=(Posting("asset:gateway:sparkle", "debit", 1, "USD"), Posting("liability:me", "credit", 1, "USD")),
    )
    record, entries = payment().post(entry)
    items.clear()
    items.update(items_of(record, *entries))


@pytest.mark.parametrize(
    ("tamper", "where", "what"),
    [
        (set_amount(1, 0, 1), "pay-1/1", "is not what its hash was made of"),
        (set_amount(1, 0, 1, key="ENTRY#0002"), "pay-1/2", "is not what its hash was made of"),
        (set_amount(1, 0), "pay-1/1", "Debits and credits must be equal in every currency."),
        (set_amount(-1, 0, 1), "pay-1/1", "A posting's amount must be positive; its direction says the sign."),
        (set_amount(Decimal("1999.5"), 0, 1), "pay-1/1", "can't be read"),
        (set_("ENTRY#0001", kind="refund"), "pay-1/1", "is not what its hash was made of"),
        (set_("ENTRY#0002", source="op-2"), "pay-1/2", "is not what its hash was made of"),
        (set_("ENTRY#0001", posted_at="2026-11-22T09:00:01.000Z"), "pay-1/1", "is not what its hash was made of"),
        (set_("ENTRY#0002", reverses=1), "pay-1/2", "is not what its hash was made of"),
        (set_("ENTRY#0001", hash="0" * 64), "pay-1/1", "is not what its hash was made of"),
        (set_("ENTRY#0002", previous_hash="0" * 64), "pay-1/2", "does not follow the entry before it"),
        (set_("ENTRY#0001", note="settled"), "pay-1/1", "ENTRY#0001: note is settled, and was written as None"),
        (set_("ENTRY#0001", postings="none"), "pay-1/1", "can't be read"),
        (lambda items: items["ENTRY#0001"].pop("kind"), "pay-1/1", "can't be read: KeyError('kind')"),
        (without("ENTRY#0001"), "pay-1/1", "is missing, and its postings are there"),
        (without("ENTRY#0001", "POSTING#0001#1", "POSTING#0001#2"), "pay-1/1", "is missing"),
        (without("ENTRY#0002"), "pay-1/2", "is missing, and its postings are there"),
        (
            without("ENTRY#0002", "POSTING#0002#1", "POSTING#0002#2"),
            "pay-1/2",
            "is missing: the record counts 2",
        ),
        (swap, "pay-1/1", "does not follow the entry before it"),
        (swap_as_they_are, "pay-1/1", "says that it is number 2"),
        (made_anew, "pay-1/2", "does not follow the entry before it"),
        (insert(count_it=False), "pay-1/3", "is not counted: the record counts 2"),
        (insert(count_it=True, follow=False), "pay-1/3", "does not follow the entry before it"),
        (set_("POSTING#0001#1", amount_minor=1), "pay-1/1", "amount_minor is 1, and was written as 1999"),
        (set_("POSTING#0002#2", account="asset:bank"), "pay-1/2", "POSTING#0002#2: account is asset:bank"),
        (set_("POSTING#0001#1", account_day="asset:bank#2026-11-23#00"), "pay-1/1", "POSTING#0001#1: account_day is"),
        (without("POSTING#0001#2"), "pay-1/1", "POSTING#0001#2 is missing"),
        (lambda items: items.update({"POSTING#0001#3": items["POSTING#0001#2"]}), "pay-1/1", "not one of its postings"),
        (lambda items: items.update({"NOTE": {}}), "pay-1", "NOTE is no item of the ledger"),
        (set_("PAYMENT", entry_count=3), "pay-1/3", "is missing: the record counts 3"),
        (set_("PAYMENT", entry_count=1), "pay-1/2", "is not counted: the record counts 1"),
        (set_("PAYMENT", entry_count="two"), "pay-1/2", "is not counted: the record counts two"),
        (set_("PAYMENT", journal_hash="0" * 64), "pay-1/2", "the record's journal_hash is not its hash"),
        (without("PAYMENT"), "pay-1", "its record is missing"),
        (elsewhere, "pay-1/1", "is posted to liability:me, which is not an account"),
    ],
)  # fmt: skip
def test_every_tampering_is_found_and_named(
    items: Items, tamper: Callable[[Items], None], where: str, what: str
) -> None:
    tamper(items)
    flaw = first_flaw("pay-1", items)
    assert flaw is not None
    assert flaw.where == where
    assert what in flaw.what


Tampering = Callable[[Items], object]


@pytest.fixture
def events(items: Items) -> Items:
    """The same payment with its events."""
    before, _ = payment().post(CAPTURE)
    after, *_ = paid()
    payment_events = (payment_event(before, None), payment_event(after, before))
    return items | {item["sk"]: number(item) for item in map(event_item, payment_events)}


def shows(key: str, **changes: Any) -> Tampering:
    """Let an event show its payment like this."""
    return lambda items: items[key]["data"]["payment"].update({name: number(to) for name, to in changes.items()})


def moved_to_version_3(items: Items) -> None:
    """Let the last event be that of another version, its key included."""
    items["EVENT#000003"] = items.pop("EVENT#000002") | {"sk": "EVENT#000003"}
    items["EVENT#000003"]["data"]["version"] = Decimal(3)


def one_more(items: Items) -> None:
    last = number(items["EVENT#000002"])
    moved_to_version_3(items)
    items["EVENT#000002"] = last


def test_each_version_has_its_event(events: Items) -> None:
    assert first_flaw("pay-1", events) is None


def test_versions_of_before_events_were_introduced_have_none(events: Items, items: Items) -> None:
    assert first_flaw("pay-1", items) is None
    del events["EVENT#000001"]
    assert first_flaw("pay-1", events) is None


@pytest.mark.parametrize(
    ("tamper", "what"),
    [
        (without("EVENT#000002"), "its event of version 2 is missing"),
        (moved_to_version_3, "its event of version 2 is missing"),
        (one_more, "has an event of version 3, and its record is of version 2"),
        (shows("EVENT#000002", status="voided"), "its event of version 2 has status voided, and its record captured"),
        (shows("EVENT#000002", captured_minor=1), "its event of version 2 has captured_minor 1, and its record 1999"),
        (shows("EVENT#000002", currency="EUR"), "its event of version 2 has currency EUR, and its record USD"),
        (shows("EVENT#000001", status="declined"), "EVENT#000001 is not as it was written"),
        (shows("EVENT#000001", payment_id="pay-2"), "EVENT#000001 is not as it was written"),
        (set_("EVENT#000001", at="2026-11-22T09:00:00.000Z"), "EVENT#000001 is not as it was written"),
        (set_("EVENT#000001", subject="pay-2"), "EVENT#000001 is not as it was written"),
        (set_("EVENT#000001", type="card.erased"), "EVENT#000001 can't be read: KeyError('token')"),
        (set_("EVENT#000001", type="payment.made_up"), "EVENT#000001 is not as it was written"),
        (set_("EVENT#000001", account_day="asset:bank#2026-11-23#00"), "EVENT#000001 is not as it was written"),
        (set_("EVENT#000001", data="none"), "EVENT#000001 can't be read: TypeError"),
        (lambda items: items["EVENT#000001"].pop("type"), "EVENT#000001 can't be read: KeyError('type')"),
        (lambda items: items["EVENT#000001"]["data"].update(version=2), "EVENT#000001 is not as it was written"),
        (without("PAYMENT"), "its record is missing"),
    ],
)  # fmt: skip
def test_every_tampering_with_an_event_is_found_and_named(events: Items, tamper: Tampering, what: str) -> None:
    tamper(events)
    flaw = first_flaw("pay-1", events)
    assert flaw is not None
    assert flaw.where == "pay-1"
    assert what in flaw.what


BREAK = Break("2026-11-23", "missing_in_ledger", "pay-1", "charge:ch_1", "a payment", "nothing")


@pytest.mark.parametrize("event", [card_erased("tok_1", LATER), break_found(BREAK, LATER)])
@pytest.mark.parametrize("name", ["type", "subject", "at", "sk", "pk", "data", "posted_at"])
def test_an_event_of_no_payment_is_as_it_was_written(event: Event, name: str) -> None:
    item = event_item(event)
    assert verify.flaw_outside_payments(item, "2026-11-24") is None
    changed: Any = {"pk": "EVENTS#tok_2", "sk": "EVENT#1", "data": {}, "type": "payment.captured"}.get(name, "other")
    assert verify.flaw_outside_payments(item | {name: changed}, "2026-11-24")


class TestTheWholeLedger:
    @contextmanager
    def changed(self, books: KnownBooks, key: dict[str, str], **changes: dict[str, Any]) -> Iterator[None]:
        """Replace an item's attributes, or remove the item, within the context."""
        dynamodb, marshalled = books.aws.dynamodb, {name: {"S": value} for name, value in key.items()}
        item: dict[str, Any] = dynamodb.get_item(TableName="ledger", Key=marshalled)["Item"]
        if changes:
            dynamodb.put_item(TableName="ledger", Item=item | changes)
        else:
            dynamodb.delete_item(TableName="ledger", Key=marshalled)
        try:
            yield
        finally:
            dynamodb.put_item(TableName="ledger", Item=item)

    @pytest.fixture(autouse=True)
    def _no_pause(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(verify, "REREAD_PAUSES_SECONDS", (0,))

    def test_an_intact_ledger_is_counted(self, payments: Payments) -> None:
        run = payments("ledger", "verify")
        assert run.status == 0
        summary = "Verified: 3 payments with 7 entries, 0 stored cards, 1 closed day, and 0 anchors."
        assert run.output.endswith(f"{summary}\n")
        assert "from before events" not in run.output

    def test_payments_without_events_are_counted(self, payments: Payments, books: KnownBooks) -> None:
        with self.changed(books, {"pk": "PAYMENT#pay-jpy", "sk": "EVENT#000001"}):
            run = payments("ledger", "verify")
        assert run.status == 0
        assert "1 payment is from before events were introduced." in run.output

    @pytest.mark.parametrize(
        ("key", "flaws"),
        [
            ({"pk": "REQUEST#key-1", "sk": "REQUEST"}, "Verified: 3 payments with 7 entries, 0 stored cards"),
            ({"pk": "CARD#tok_1", "sk": "CARD"}, "Verified: 3 payments with 7 entries, 1 stored card"),
            ({"pk": "CARD#tok_2", "sk": "CARD"}, "1 flaw in 3 payments with 7 entries, 1 stored card"),
        ],
    )
    def test_the_cards_table_has_cards_and_the_requests_that_stored_them(
        self, payments: Payments, books: KnownBooks, key: dict[str, str], flaws: str
    ) -> None:
        dynamodb, marshalled = books.aws.dynamodb, marshal(key)
        item = marshalled | marshal({"token": "tok_1", "expires_at": 2_000_000_000})
        dynamodb.put_item(TableName="cards", Item=item)
        try:
            assert flaws in payments("ledger", "verify").output
        finally:
            dynamodb.delete_item(TableName="cards", Key=marshalled)

    def test_a_flaw_is_named_and_fails(self, payments: Payments, books: KnownBooks) -> None:
        with self.changed(books, {"pk": "PAYMENT#pay-usd", "sk": "ENTRY#0002"}, kind={"S": "capture"}):
            run = payments("ledger", "verify")
        assert run.status == 1
        assert "│ pay-usd/2 │ is not what its hash was made of │" in run.output
        assert "1 flaw in 3 payments with 7 entries" in run.output

    def test_a_closed_day_that_differs_from_its_postings_is_named(self, payments: Payments, books: KnownBooks) -> None:
        totals = {"M": {"asset:bank": {"M": {"USD": {"L": [{"N": "5"}, {"N": "0"}]}}}}}
        with self.changed(books, {"pk": f"CLOSE#{books.first[:4]}", "sk": books.first}, totals=totals):
            run = payments("ledger", "verify")
        assert run.status == 1
        output = " ".join(run.output.split())
        assert f"closed day {books.first}" in output
        assert "asset:gateway:sparkle: its debits were closed as 0 JPY, and its postings add up to 1,234 JPY" in output
        assert "asset:bank: its debits were closed as 0.05 USD, and its postings add up to 0.00 USD" in output
        assert "5 flaws" in output

    def test_a_removed_payment_shows_in_the_closed_day(self, payments: Payments, books: KnownBooks) -> None:
        with ExitStack() as taken_away:
            for key in ("PAYMENT", "ENTRY#0001", "POSTING#0001#1", "POSTING#0001#2", "EVENT#000001"):
                taken_away.enter_context(self.changed(books, {"pk": "PAYMENT#pay-jpy", "sk": key}))
            run = payments("ledger", "verify")
        assert run.status == 1
        assert "2 flaws in 2 payments with 6 entries" in run.output
        assert "its credits were closed as 1,234 JPY, and its postings add up to 0 JPY" in " ".join(run.output.split())

    def test_a_payment_written_during_the_scan_is_read_again(
        self, payments: Payments, books: KnownBooks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks = []

        def torn(payment_id: str, items: Items) -> Flaw | None:
            looks.append(payment_id)
            torn_now = payment_id == "pay-kwd" and looks.count(payment_id) == 1
            return Flaw(payment_id, "half of it") if torn_now else first_flaw(payment_id, items)

        monkeypatch.setattr(verify, "first_flaw", torn)
        assert payments("ledger", "verify").status == 0
        assert looks.count("pay-kwd") == 2
