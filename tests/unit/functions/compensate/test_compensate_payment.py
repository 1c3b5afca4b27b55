from collections import Counter
from dataclasses import replace

import pytest

from functions.compensate.compensate_payment import ChargeResult, compensate_payment
from functions.shared.domain.charge import REDACTED, Charge, Order, Reversal
from functions.shared.domain.errors import (
    GatewayBusy,
    GatewayMismatch,
    GatewayOutcomeUnknown,
    GatewayRefused,
    LedgerUnavailable,
    ReversalUnconfirmed,
    SecretUnavailable,
)
from functions.shared.domain.ledger import GENESIS_HASH, JournalEntry, capture_entry, in_doubt_entry, refund_entry
from functions.shared.domain.payment import Payment, PaymentRequest, Status
from functions.shared.use_cases.undo_charge import record_doubt, undo_charge
from tests.fakes import LEDGER_DOWN, FakeGateway, FakeLedger, FakeVelocityCounter, Faults, only
from tests.samples import DECLINED_PAN, LATER, NOW, PAN, REQUEST, STARTED_AT, card, order, payment

CAPTURE = capture_entry("sparkle", 1999, "USD")
DOUBT = in_doubt_entry(1999, "USD")
UNCONFIRMED = [
    GatewayOutcomeUnknown("No answer."),
    GatewayBusy("429"),
    GatewayMismatch("A currency that is none."),
    GatewayRefused("401"),
    SecretUnavailable("Secrets Manager: down"),
]


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger()


def compensate(
    gateway: FakeGateway,
    ledger: FakeLedger,
    request: PaymentRequest = REQUEST,
    now: str = LATER,
    charge_result: ChargeResult = ChargeResult("unknown"),  # noqa: B008 - it is frozen
    counter: FakeVelocityCounter | None = None,
) -> Payment:
    doubtful = payment(status="in_doubt", request=request, charge_id=None, error="LedgerUnavailable", updated_at=now)
    counter = counter or FakeVelocityCounter()
    return compensate_payment(
        doubtful, request, charge_result, gateways=only(gateway), ledger=ledger, velocity_counter=counter
    )


def balances(entries: tuple[JournalEntry, ...]) -> Counter[str]:
    totals: Counter[str] = Counter()
    for posting in (posting for entry in entries for posting in entry.postings):
        totals[posting.account] += posting.amount_minor * (1 if posting.direction == "debit" else -1)
    return totals


@pytest.mark.parametrize("status", ["captured", "authorized", "declined", "reversed"])
def test_an_outcome_that_the_ledger_knows_stands_and_the_gateway_is_left_alone(
    gateway: FakeGateway, ledger: FakeLedger, status: Status
) -> None:
    charge = gateway.charge(order(), card(), "pay-1-charge")
    recorded = payment(status=status, charge_id=charge.charge_id)
    ledger.record(recorded)
    gateway.calls.clear()
    assert compensate(gateway, ledger, charge_result=ChargeResult("captured", charge.charge_id)) == recorded
    assert gateway.calls == []
    assert ledger.records["pay-1"].payment == recorded


@pytest.fixture
def second_charge(gateway: FakeGateway, ledger: FakeLedger) -> Charge:
    """A charge made after the gateway had forgotten the one in the ledger."""
    first_charge = gateway.charge(order(), card(), "pay-1-charge")
    ledger.record(*payment(charge_id=first_charge.charge_id).post(CAPTURE))
    gateway.forget("pay-1")
    return gateway.charge(order(), card(), "pay-1-charge")


def test_a_second_charge_is_undone_and_both_its_movements_are_on_the_books(
    gateway: FakeGateway, ledger: FakeLedger, second_charge: Charge
) -> None:
    ended = compensate(gateway, ledger, charge_result=ChargeResult("captured", second_charge.charge_id))
    assert (ended.status, ended.captured_minor, ended.refunded_minor, ended.refundable_minor) == (
        "captured",
        1999,
        0,
        1999,
    )
    assert ended.charge_id != second_charge.charge_id
    assert [(each.type, each.status, each.charge_id) for each in ended.operations] == [
        ("refund", "succeeded", second_charge.charge_id)
    ]
    assert ledger.records["pay-1"].journal == (
        CAPTURE,
        capture_entry("sparkle", 1999, "USD", second_charge.charge_id),
        refund_entry("sparkle", 1999, "USD", second_charge.charge_id),
    )
    assert gateway.charges["pay-1"].status == "refunded"


def test_a_second_hold_is_released(gateway: FakeGateway, ledger: FakeLedger) -> None:
    ledger.record(payment(status="authorized"))
    second_charge = gateway.authorize(order(), card(), "pay-1-charge")
    ended = compensate(gateway, ledger, charge_result=ChargeResult("authorized", second_charge.charge_id))
    assert (ended.status, [each.type for each in ended.operations]) == ("authorized", ["void"])
    assert ended.operations[0].status == "succeeded"
    assert gateway.charges["pay-1"].status == "voided"
    assert ledger.records["pay-1"].journal == ()


def test_a_second_decline_has_nothing_to_undo(gateway: FakeGateway, ledger: FakeLedger) -> None:
    ledger.record(payment())
    second_charge = gateway.charge(order(), card(DECLINED_PAN), "pay-1-charge")
    assert compensate(gateway, ledger, charge_result=ChargeResult("declined", second_charge.charge_id)).operations == ()


def test_again_a_second_charge_is_undone_once(gateway: FakeGateway, ledger: FakeLedger, second_charge: Charge) -> None:
    first, again = (
        compensate(gateway, ledger, charge_result=ChargeResult("captured", second_charge.charge_id)) for _ in range(2)
    )
    assert first == again
    assert [each.status for each in gateway.charges["pay-1"].refunds] == ["succeeded"]


def test_a_second_charge_that_nobody_told_of_is_found_by_reference(
    gateway: FakeGateway, ledger: FakeLedger, second_charge: Charge
) -> None:
    assert compensate(gateway, ledger).operations[0].charge_id == second_charge.charge_id


def test_what_the_gateway_does_not_show_is_not_taken_for_the_recorded_charge(
    gateway: FakeGateway, ledger: FakeLedger
) -> None:
    ledger.record(payment())
    with pytest.raises(ReversalUnconfirmed):
        compensate(gateway, ledger)


@pytest.mark.parametrize("error", UNCONFIRMED, ids=lambda error: type(error).__name__)
def test_a_second_charge_that_is_not_undone_yet_is_in_doubt_until_it_is(
    gateway: FakeGateway, ledger: FakeLedger, second_charge: Charge, error: Exception
) -> None:
    gateway.faults.arm("refund", error)
    gateway.faults.arm("find", error)
    charge_result = ChargeResult("captured", second_charge.charge_id)
    with pytest.raises(ReversalUnconfirmed):
        compensate(gateway, ledger, charge_result=charge_result)
    doubtful = ledger.records["pay-1"].payment
    assert (doubtful.status, doubtful.in_doubt_since) == ("captured", LATER)
    assert doubtful.refundable_minor == 1999
    gateway.faults = Faults()
    assert compensate(gateway, ledger, charge_result=charge_result).in_doubt_since is None
    recorded = ledger.records["pay-1"]
    assert not any(amount for account, amount in balances(recorded.journal).items() if account.startswith("suspense"))
    assert balances(recorded.journal)["asset:gateway:sparkle"] == 1999


def test_a_second_charge_that_the_gateway_will_not_undo_stays_in_doubt(
    gateway: FakeGateway, ledger: FakeLedger, second_charge: Charge
) -> None:
    gateway.refund(second_charge.charge_id, 500, "USD", "by-hand", "by-hand")
    with pytest.raises(ReversalUnconfirmed):
        compensate(gateway, ledger, charge_result=ChargeResult("captured", second_charge.charge_id))
    assert ledger.records["pay-1"].payment.in_doubt_since == LATER


def test_a_captured_charge_is_undone_with_both_movements_on_the_books(gateway: FakeGateway, ledger: FakeLedger) -> None:
    charge = gateway.charge(order(), card(), "pay-1-charge")
    ended = compensate(gateway, ledger)
    assert (ended.status, ended.charge_id, ended.error) == ("reversed", charge.charge_id, "LedgerUnavailable")
    assert (ended.version, ended.entry_count, ended.captured_minor) == (2, 4, 0)
    assert gateway.charges["pay-1"].status == "voided"
    recorded = ledger.records["pay-1"]
    assert recorded.payment == ended
    assert recorded.journal == (DOUBT, DOUBT.reverse(1), CAPTURE, CAPTURE.reverse(3))
    assert not any(balances(recorded.journal).values())


def test_a_held_charge_is_released_and_no_money_was_ever_moved(gateway: FakeGateway, ledger: FakeLedger) -> None:
    request = replace(REQUEST, capture=False)
    gateway.authorize(order(), card(), "pay-1-charge")
    assert compensate(gateway, ledger, request).status == "reversed"
    assert gateway.charges["pay-1"].status == "voided"
    assert ledger.records["pay-1"].journal == ()


def test_a_charge_that_was_declined_is_recorded_as_declined(gateway: FakeGateway, ledger: FakeLedger) -> None:
    charge = gateway.charge(order(), card(DECLINED_PAN), "pay-1-charge")
    ended = compensate(gateway, ledger)
    assert (ended.status, ended.decline_code, ended.charge_id) == ("declined", "insufficient_funds", charge.charge_id)
    assert ledger.records["pay-1"].journal == (DOUBT, DOUBT.reverse(1))


def test_a_decline_that_comes_to_light_is_counted_however_often_it_is_looked_at(
    gateway: FakeGateway, ledger: FakeLedger
) -> None:
    counter = FakeVelocityCounter()
    gateway.charge(order(), card(DECLINED_PAN), "pay-1-charge")
    counter.faults.arm("count_decline", LEDGER_DOWN)
    with pytest.raises(LedgerUnavailable):
        compensate(gateway, ledger, counter=counter)
    for _ in range(2):
        assert compensate(gateway, ledger, counter=counter).status == "declined"
    assert list(counter.declines) == [("pay-1", STARTED_AT)]


@pytest.mark.parametrize(
    "recorded", [payment(), payment(status="reversed"), payment(status="declined", decline_code="screened:amount_cap")]
)
def test_what_the_gateway_did_not_decline_is_counted_as_no_decline(
    gateway: FakeGateway, ledger: FakeLedger, recorded: Payment
) -> None:
    counter = FakeVelocityCounter()
    ledger.record(recorded)
    compensate(gateway, ledger, counter=counter, charge_result=ChargeResult(recorded.status, recorded.charge_id))
    assert counter.declines == {}


def test_a_charge_that_never_was_is_kept_out_for_good(gateway: FakeGateway, ledger: FakeLedger) -> None:
    ended = compensate(gateway, ledger)
    assert (ended.status, ended.charge_id) == ("reversed", None)
    assert ledger.records["pay-1"].journal == (DOUBT, DOUBT.reverse(1))
    with pytest.raises(GatewayRefused):
        gateway.charge(order(), card(), "pay-1-charge")


@pytest.mark.parametrize("operation", ["find", "reverse"])
@pytest.mark.parametrize("error", UNCONFIRMED, ids=lambda error: type(error).__name__)
def test_what_cannot_be_confirmed_is_in_doubt_with_the_money_in_suspense(
    gateway: FakeGateway, ledger: FakeLedger, operation: str, error: Exception
) -> None:
    gateway.charge(order(), card(), "pay-1-charge")
    gateway.faults.arm(operation, error)
    with pytest.raises(ReversalUnconfirmed):
        compensate(gateway, ledger)
    recorded = ledger.records["pay-1"]
    assert (recorded.payment.status, recorded.payment.version, recorded.payment.error) == (
        "in_doubt",
        1,
        "LedgerUnavailable",
    )
    assert recorded.journal == (DOUBT,)


def test_while_it_stays_unconfirmed_the_doubt_is_recorded_once(gateway: FakeGateway, ledger: FakeLedger) -> None:
    gateway.faults.arm("find", UNCONFIRMED[0], times=3)
    for _ in range(3):
        with pytest.raises(ReversalUnconfirmed):
            compensate(gateway, ledger)
    assert ledger.records["pay-1"].payment.version == 1
    assert ledger.records["pay-1"].journal == (DOUBT,)


def test_of_two_that_record_the_doubt_at_once_both_go_on_from_the_entry_that_is_there(
    gateway: FakeGateway, ledger: FakeLedger
) -> None:
    for now in (NOW, LATER):
        doubtful = payment(status="in_doubt", charge_id=None, updated_at=now)
        record = record_doubt(doubtful, REQUEST, ledger=ledger)
    assert record.payment.updated_at == NOW
    undo_charge(record, gateways=only(gateway), ledger=ledger, now=LATER)
    recorded = ledger.records["pay-1"]
    hashes = [GENESIS_HASH, *(posted.hash for posted in recorded.entries)]
    assert [posted.previous_hash for posted in recorded.entries] == hashes[:-1]
    assert recorded.payment.journal_hash == hashes[-1]


@pytest.mark.parametrize("charged", [True, False])
@pytest.mark.parametrize("done", [True, False])
def test_confirmed_by_a_later_attempt_the_doubt_is_cleared(
    gateway: FakeGateway, ledger: FakeLedger, charged: bool, done: bool
) -> None:
    if charged:
        gateway.charge(order(), card(), "pay-1-charge")
    gateway.faults.arm("reverse", UNCONFIRMED[0], done=done)
    with pytest.raises(ReversalUnconfirmed):
        compensate(gateway, ledger)
    ended = compensate(gateway, ledger)
    recorded = ledger.records["pay-1"]
    assert recorded.payment == ended
    assert (ended.status, ended.version) == ("reversed", 2)
    assert recorded.journal[:2] == (DOUBT, DOUBT.reverse(1))
    shows_capture = charged and not done  # after a reversal whose answer was lost, no captured charge can be found
    assert recorded.journal[2:] == ((CAPTURE, CAPTURE.reverse(3)) if shows_capture else ())
    assert not any(balances(recorded.journal).values())


def test_doubt_about_a_decline_is_cleared_as_declined(gateway: FakeGateway, ledger: FakeLedger) -> None:
    gateway.charge(order(), card(DECLINED_PAN), "pay-1-charge")
    gateway.faults.arm("find", UNCONFIRMED[0])
    with pytest.raises(ReversalUnconfirmed):
        compensate(gateway, ledger)
    ended = compensate(gateway, ledger)
    assert (ended.status, ended.decline_code) == ("declined", "insufficient_funds")
    assert not any(balances(ledger.records["pay-1"].journal).values())


def test_an_authorization_in_doubt_has_no_money_to_suspend(gateway: FakeGateway, ledger: FakeLedger) -> None:
    request = replace(REQUEST, capture=False)
    gateway.faults.arm("reverse", UNCONFIRMED[0])
    with pytest.raises(ReversalUnconfirmed):
        compensate(gateway, ledger, request)
    assert ledger.records["pay-1"].payment.status == "in_doubt"
    assert compensate(gateway, ledger, request).status == "reversed"
    assert ledger.records["pay-1"].journal == ()


def test_a_charge_that_lands_between_the_look_and_the_reversal_is_undone_too(
    gateway: FakeGateway, ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_then_land(order: Order) -> None:
        gateway.charge(order, card(), "pay-1-charge")

    monkeypatch.setattr(gateway, "find_by_reference", find_then_land)
    ended = compensate(gateway, ledger)
    assert ended.status == "reversed"
    assert ended.charge_id == gateway.charges["pay-1"].charge_id
    assert gateway.charges["pay-1"].captured_minor == 0
    assert not any(balances(ledger.records["pay-1"].journal).values())


@pytest.mark.parametrize("pan", [PAN, DECLINED_PAN])
@pytest.mark.parametrize("done", [True, False])
def test_when_the_ledger_fails_after_the_reversal_a_later_attempt_ends_the_same(
    gateway: FakeGateway, ledger: FakeLedger, done: bool, pan: str
) -> None:
    gateway.charge(order(), card(pan), "pay-1-charge")
    ledger.faults.arm("record", LEDGER_DOWN, done=done)
    with pytest.raises(LedgerUnavailable):
        compensate(gateway, ledger)
    ended = compensate(gateway, ledger, now="2026-11-23T09:09:00.000Z")
    assert ended.status == ("reversed" if pan == PAN else "declined")
    assert ledger.records["pay-1"].payment == ended
    assert not any(balances(ledger.records["pay-1"].journal).values())


def test_without_the_ledger_nothing_is_asked_of_the_gateway(gateway: FakeGateway, ledger: FakeLedger) -> None:
    ledger.faults.arm("find", LEDGER_DOWN)
    with pytest.raises(LedgerUnavailable):
        compensate(gateway, ledger)
    assert gateway.calls == []


def test_a_settled_charge_is_refunded_and_counts_as_reversed(
    gateway: FakeGateway, ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    refunded = replace(gateway.charge(order(), card(), "pay-1-charge"), status="refunded")
    monkeypatch.setattr(gateway, "reverse", lambda reference: Reversal("refunded", refunded))
    assert compensate(gateway, ledger).status == "reversed"
    assert ledger.records["pay-1"].journal == (DOUBT, DOUBT.reverse(1), CAPTURE, CAPTURE.reverse(3))


def test_the_reversal_is_on_record_before_the_gateway_is_asked_for_it(
    gateway: FakeGateway, ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reverse(order: Order) -> Reversal:
        recorded = ledger.records[order.reference].payment
        assert (recorded.status, recorded.reversing) == ("in_doubt", True)
        return Reversal("tombstoned", None)

    monkeypatch.setattr(gateway, "reverse", reverse)
    assert compensate(gateway, ledger).status == "reversed"


def test_what_the_gateway_really_took_is_what_is_undone_on_the_books(gateway: FakeGateway, ledger: FakeLedger) -> None:
    gateway.charge(replace(order(), amount_minor=2999), card(), "pay-1-charge")
    assert compensate(gateway, ledger).status == "reversed"
    capture = capture_entry("sparkle", 2999, "USD")
    assert ledger.records["pay-1"].journal == (DOUBT, DOUBT.reverse(1), capture, capture.reverse(3))


def test_a_charge_with_a_text_that_is_none_is_undone_and_called_a_mismatch(
    gateway: FakeGateway, ledger: FakeLedger
) -> None:
    gateway.charge(order(), card(), "pay-1-charge")
    gateway.charges["pay-1"] = replace(gateway.charges["pay-1"], charge_id=REDACTED)
    ended = compensate(gateway, ledger)
    assert (ended.status, ended.error, ended.charge_id) == ("reversed", "GatewayMismatch", REDACTED)
    assert not any(balances(ledger.records["pay-1"].journal).values())
