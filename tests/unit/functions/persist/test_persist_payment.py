from typing import Any

import pytest

from functions.persist.persist_payment import deny_payment, persist_payment
from functions.shared.domain.charge import Charge, Refund
from functions.shared.domain.errors import LedgerConflict, LedgerUnavailable
from functions.shared.domain.ledger import capture_entry
from functions.shared.domain.payment import Payment, Status
from functions.shared.ports import HeldCard, RecordedPayment, StoredCard
from tests.balances import balances
from tests.fakes import LEDGER_DOWN, FakeHeldCards, FakeLedger, FakeVelocityCounter
from tests.samples import (
    EXPIRES_AT,
    KEPT_UNTIL,
    LATER,
    NETWORK_TRANSACTION_ID,
    NOW,
    STARTED_AT,
    SUMMARY,
    TOKEN,
    charge_of,
    payment,
)

REFUNDED = Refund("re_1", None, "succeeded", 200, NOW)


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger()


def holding(payment_id: str) -> FakeHeldCards:
    """What is held before the payment is recorded."""
    held_cards = FakeHeldCards()
    held_cards.hold(payment_id, HeldCard(b"ciphertext", b"security code"), NOW)
    return held_cards


def persist(
    paid: Payment,
    ledger: FakeLedger,
    *,
    held_cards: FakeHeldCards | None = None,
    charge: Charge | None = None,
    card_on_file: bool = False,
    keep_card_until: str = KEPT_UNTIL,
    counter: FakeVelocityCounter | None = None,
    network_transaction_id: str | None = None,
) -> Payment:
    return persist_payment(
        paid,
        charge or charge_of(paid),
        card_on_file=card_on_file,
        network_transaction_id=network_transaction_id,
        keep_card_until=keep_card_until,
        held_cards=held_cards or holding(paid.payment_id),
        ledger=ledger,
        card_vault=ledger.card_vault,
        velocity_counter=counter or FakeVelocityCounter(),
    )


def test_a_capture_is_recorded_with_its_entry(ledger: FakeLedger) -> None:
    recorded = persist(payment(), ledger)
    expected = RecordedPayment(*payment().post(capture_entry("sparkle", 1999, "USD")))
    assert ledger.records["pay-1"] == expected
    assert recorded == expected.payment


@pytest.mark.parametrize("status", ["authorized", "declined"])
def test_what_moves_no_money_has_no_entry(ledger: FakeLedger, status: Status) -> None:
    recorded = persist(payment(status=status), ledger)
    assert ledger.records["pay-1"] == RecordedPayment(recorded, ())
    assert recorded.status == status
    assert recorded.expires_at == (EXPIRES_AT if status == "authorized" else None)


@pytest.mark.parametrize("status", ["captured", "authorized"])
def test_the_card_is_kept_encrypted(ledger: FakeLedger, status: Status) -> None:
    persist(payment(status=status), ledger)
    assert ledger.card_vault.cards == {TOKEN: StoredCard(SUMMARY, b"ciphertext", KEPT_UNTIL)}


def test_the_card_of_a_declined_payment_is_not_kept_and_has_no_token(ledger: FakeLedger) -> None:
    declined = persist(payment(status="declined"), ledger)
    assert declined.card == SUMMARY.without_token()
    assert ledger.card_vault.cards == {}


def test_a_card_that_nobody_asked_to_keep_is_not_kept(ledger: FakeLedger) -> None:
    persist(payment(card=SUMMARY.without_token()), ledger)
    assert ledger.card_vault.cards == {}


def test_what_the_gateway_declined_is_counted_once_it_is_recorded_and_what_a_rule_declined_is_not(
    ledger: FakeLedger,
) -> None:
    counter = FakeVelocityCounter()
    ledger.faults.arm("record", LEDGER_DOWN)
    with pytest.raises(LedgerUnavailable):
        persist(payment(status="declined", decline_code="do_not_honor"), ledger, counter=counter)
    assert counter.declines == {}
    deny_payment(
        payment(status="declined", decline_code="screened:amount_cap"), held_cards=FakeHeldCards(), ledger=ledger
    )
    persist(payment("pay-2"), ledger, counter=counter)
    assert counter.declines == {}
    persist(payment("pay-3", "declined", decline_code="do_not_honor"), ledger, counter=counter)
    assert list(counter.declines) == [("pay-3", STARTED_AT)]


def test_a_decline_that_could_not_be_counted_is_when_persist_runs_again(ledger: FakeLedger) -> None:
    counter = FakeVelocityCounter()
    counter.faults.arm("count_decline", LEDGER_DOWN)
    declined = payment(status="declined", decline_code="do_not_honor")
    with pytest.raises(LedgerUnavailable):
        persist(declined, ledger, counter=counter)
    persist(declined, ledger, counter=counter)
    assert list(counter.declines) == [("pay-1", STARTED_AT)]


def test_a_lost_answer_and_a_repetition_end_with_one_record_and_one_entry(ledger: FakeLedger) -> None:
    ledger.faults.arm("record", LEDGER_DOWN, done=True)
    with pytest.raises(LedgerUnavailable):
        persist(payment(), ledger)
    persist(payment(updated_at=LATER), ledger)
    assert ledger.records["pay-1"].journal == (capture_entry("sparkle", 1999, "USD"),)


def test_another_payment_under_the_same_id_is_a_conflict(ledger: FakeLedger) -> None:
    persist(payment(), ledger)
    with pytest.raises(LedgerConflict):
        persist(payment(charge_id="ch_2"), ledger)


def test_a_card_that_was_charged_by_its_token_is_kept_for_another_while(ledger: FakeLedger) -> None:
    ledger.card_vault.cards[TOKEN] = StoredCard(SUMMARY, b"as it was stored", KEPT_UNTIL)
    persist(payment(), ledger, card_on_file=True, keep_card_until="2028-01-01T00:00:00.000Z")
    renewed = StoredCard(SUMMARY, b"as it was stored", "2028-01-01T00:00:00.000Z")
    assert ledger.card_vault.cards == {TOKEN: renewed}


def test_a_card_is_stored_with_the_networks_id_of_its_payment(ledger: FakeLedger) -> None:
    persist(payment(), ledger, network_transaction_id=NETWORK_TRANSACTION_ID)
    assert ledger.card_vault.cards[TOKEN].network_transaction_id == NETWORK_TRANSACTION_ID


@pytest.mark.parametrize(
    ("by", "network_id"),
    [
        ({"initiator": "customer"}, NETWORK_TRANSACTION_ID),
        ({"initiator": "merchant", "reason": "recurring"}, None),
    ],
)
def test_the_first_payment_of_the_customers_gives_a_stored_card_its_networks_id_and_none_replaces_it(
    ledger: FakeLedger, by: dict[str, Any], network_id: str | None
) -> None:
    ledger.card_vault.cards[TOKEN] = StoredCard(SUMMARY, b"as it was stored", KEPT_UNTIL)
    for day, network_transaction_id in enumerate((NETWORK_TRANSACTION_ID, "MCC9ABCDE1129"), start=1):
        persist(
            payment(f"pay-{day}", **by),
            ledger,
            card_on_file=True,
            keep_card_until=f"2028-01-0{day}T00:00:00.000Z",
            network_transaction_id=network_transaction_id,
        )
    assert ledger.card_vault.cards[TOKEN].network_transaction_id == network_id


def test_a_card_that_was_erased_while_it_was_charged_stays_erased(ledger: FakeLedger) -> None:
    persist(payment(), ledger, card_on_file=True)
    assert ledger.card_vault.cards == {}


def test_a_card_that_was_erased_before_a_repetition_stays_erased(ledger: FakeLedger) -> None:
    persist(payment(), ledger)
    ledger.card_vault.erase(TOKEN, NOW)
    persist(payment(updated_at=LATER), ledger)
    assert ledger.card_vault.cards == {}


def test_a_payment_that_was_denied_before_its_card_was_encrypted_is_declined(ledger: FakeLedger) -> None:
    denied = payment(status="declined", transaction_id=None, charge_id=None, decline_code="screened:amount_cap")
    deny_payment(denied, held_cards=FakeHeldCards(), ledger=ledger)
    assert ledger.records["pay-1"] == RecordedPayment(denied, ())
    assert ledger.card_vault.cards == {}


def test_once_the_payment_is_recorded_nothing_is_held_and_a_repetition_finds_its_card_stored(
    ledger: FakeLedger,
) -> None:
    held_cards = holding("pay-1")
    held_cards.faults.arm("erase", LEDGER_DOWN, done=True)
    with pytest.raises(LedgerUnavailable):
        persist(payment(), ledger, held_cards=held_cards)
    assert held_cards.cards == {}
    assert persist(payment(), ledger, held_cards=held_cards).card == SUMMARY
    assert ledger.card_vault.cards == {TOKEN: StoredCard(SUMMARY, b"ciphertext", KEPT_UNTIL)}


def test_what_could_not_be_recorded_stays_held(ledger: FakeLedger) -> None:
    held_cards = holding("pay-1")
    ledger.faults.arm("record", LEDGER_DOWN)
    with pytest.raises(LedgerUnavailable):
        persist(payment(), ledger, held_cards=held_cards)
    assert held_cards.cards != {}


def test_a_payment_whose_card_was_erased_before_it_could_be_stored_is_recorded_without_its_token(
    ledger: FakeLedger,
) -> None:
    held_cards = holding("pay-1")
    held_cards.erase("pay-1", NOW)
    recorded = persist(payment(), ledger, held_cards=held_cards)
    assert (recorded.status, recorded.card) == ("captured", SUMMARY.without_token())
    assert ledger.card_vault.cards == {}


def test_what_could_not_be_recorded_keeps_no_card(ledger: FakeLedger) -> None:
    ledger.faults.arm("record", LEDGER_DOWN)
    with pytest.raises(LedgerUnavailable):
        persist(payment(), ledger)
    assert ledger.card_vault.cards == {}


@pytest.mark.parametrize(
    ("status", "changes", "ended"),
    [
        ("authorized", {"status": "captured", "captured_minor": 600}, ("captured", 600, 0)),
        ("authorized", {"status": "voided", "void_reason": "expired"}, ("voided", 0, 0)),
        ("captured", {"status": "partially_refunded", "refunds": (REFUNDED,)}, ("partially_refunded", 1999, 200)),
        ("captured", {"status": "voided", "captured_minor": 0}, ("voided", 0, 0)),
    ],
)
def test_what_was_done_to_the_charge_before_its_answer_came_is_recorded_with_it(
    ledger: FakeLedger, status: Status, changes: dict[str, Any], ended: tuple[str, int, int]
) -> None:
    recorded = persist(payment(status=status), ledger, charge=charge_of(payment(status=status), **changes))
    assert ledger.records["pay-1"].payment == recorded
    assert (recorded.status, recorded.captured_minor, recorded.refunded_minor) == ended
    assert [operation.source for operation in recorded.operations] == ["gateway"]
    assert recorded.version == 1
    totals = balances(ledger.records["pay-1"].journal)
    assert totals.get(("asset:gateway:sparkle", "USD"), 0) == ended[1] - ended[2]
