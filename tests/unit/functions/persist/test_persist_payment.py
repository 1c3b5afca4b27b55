import pytest

from functions.persist.persist_payment import persist_payment
from functions.shared.domain.errors import LedgerConflict, LedgerUnavailable
from functions.shared.domain.ledger import capture_entry
from functions.shared.domain.payment import Payment, Status
from functions.shared.ports import RecordedPayment, StoredCard
from tests.fakes import LEDGER_DOWN, FakeCardVault, FakeLedger
from tests.samples import LATER, NOW, STORE, SUMMARY, TOKEN, payment


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger()


@pytest.fixture
def vault() -> FakeCardVault:
    return FakeCardVault()


def persist(paid: Payment, ledger: FakeLedger, vault: FakeCardVault) -> Payment:
    return persist_payment(paid, b"ciphertext", "sparkle", card_on_file=False, ledger=ledger, card_vault=vault)


def persist_on_file(paid: Payment, ledger: FakeLedger, vault: FakeCardVault) -> Payment:
    return persist_payment(paid, b"ciphertext", "sparkle", card_on_file=True, ledger=ledger, card_vault=vault)


def test_a_capture_is_recorded_with_its_entry(ledger: FakeLedger, vault: FakeCardVault) -> None:
    recorded = persist(payment(), ledger, vault)
    expected = RecordedPayment(*payment().post(capture_entry("sparkle", 1999, "USD")))
    assert ledger.records["pay-1"] == expected
    assert recorded == expected.payment


@pytest.mark.parametrize("status", ["authorized", "declined"])
def test_what_moves_no_money_has_no_entry(ledger: FakeLedger, vault: FakeCardVault, status: Status) -> None:
    recorded = persist(payment(status=status), ledger, vault)
    assert ledger.records["pay-1"] == RecordedPayment(recorded, ())
    assert recorded.status == status


@pytest.mark.parametrize("status", ["captured", "authorized"])
def test_the_card_is_kept_encrypted(ledger: FakeLedger, vault: FakeCardVault, status: Status) -> None:
    persist(payment(status=status), ledger, vault)
    assert vault.cards == {TOKEN: StoredCard(SUMMARY, b"ciphertext")}


def test_the_card_of_a_declined_payment_is_not_kept(ledger: FakeLedger, vault: FakeCardVault) -> None:
    persist(payment(status="declined"), ledger, vault)
    assert vault.cards == {}


def test_a_card_is_stored_without_money_and_without_a_gateway(ledger: FakeLedger, vault: FakeCardVault) -> None:
    stored = persist_payment(
        payment(status="stored", request=STORE), b"x", None, card_on_file=False, ledger=ledger, card_vault=vault
    )
    assert ledger.records["pay-1"] == RecordedPayment(stored, ())
    assert vault.summary(TOKEN, NOW) == SUMMARY


def test_a_lost_answer_and_a_repetition_end_with_one_record_and_one_entry(
    ledger: FakeLedger, vault: FakeCardVault
) -> None:
    ledger.faults.arm("record", LEDGER_DOWN, done=True)
    with pytest.raises(LedgerUnavailable):
        persist(payment(), ledger, vault)
    persist(payment(updated_at=LATER), ledger, vault)
    assert ledger.records["pay-1"].journal == (capture_entry("sparkle", 1999, "USD"),)


def test_another_payment_under_the_same_id_is_a_conflict(ledger: FakeLedger, vault: FakeCardVault) -> None:
    persist(payment(), ledger, vault)
    with pytest.raises(LedgerConflict):
        persist(payment(charge_id="ch_2"), ledger, vault)


def test_a_card_that_was_charged_by_its_token_is_kept_for_another_while(
    ledger: FakeLedger, vault: FakeCardVault
) -> None:
    vault.keep(StoredCard(SUMMARY, b"ciphertext"), NOW)
    persist_on_file(payment(updated_at=LATER), ledger, vault)
    assert vault.kept_at == {TOKEN: LATER}


def test_a_card_that_was_erased_while_it_was_charged_stays_erased(ledger: FakeLedger, vault: FakeCardVault) -> None:
    persist_on_file(payment(), ledger, vault)
    assert vault.cards == {}


def test_a_payment_that_was_denied_before_its_card_was_encrypted_is_declined(
    ledger: FakeLedger, vault: FakeCardVault
) -> None:
    denied = payment(status="declined", transaction_id=None, charge_id=None, decline_code="screened:amount_cap")
    persist_payment(denied, None, None, card_on_file=False, ledger=ledger, card_vault=vault)
    assert ledger.records["pay-1"] == RecordedPayment(denied, ())
    assert vault.cards == {}


def test_when_the_card_cannot_be_kept_nothing_is_recorded_yet(ledger: FakeLedger, vault: FakeCardVault) -> None:
    vault.faults.arm("keep", LEDGER_DOWN)
    with pytest.raises(LedgerUnavailable):
        persist(payment(), ledger, vault)
    assert ledger.records == {}


def test_a_late_repetition_does_not_bring_back_an_older_card(ledger: FakeLedger, vault: FakeCardVault) -> None:
    newer = StoredCard(SUMMARY, b"newer")
    vault.keep(newer, LATER)
    persist(payment(), ledger, vault)
    assert vault.cards == {TOKEN: newer}
