from dataclasses import replace

import pytest

from functions.reserve.reserve_operation import reserve_operation
from functions.resolve.resolve_operation import resolve_operation
from functions.shared.domain.errors import GatewayOutcomeUnknown, PaymentNotFound
from functions.shared.domain.ledger import capture_entry, in_doubt_entry, refund_entry, refund_in_doubt_entry
from functions.shared.ports import Execution, RecordedPayment
from tests.balances import balances
from tests.fakes import FakeExecutions, FakeGateway, FakeLedger, only
from tests.samples import LATER, NOW, card, charge_of, operation_request, order, payment

NO_ANSWER = GatewayOutcomeUnknown("No answer.")
INPUT = {"operation": "refund", "payment_id": "pay-1", "amount_minor": 500}
PAID = {"amount_minor": 1999, "currency": "USD"}
STOPPED = Execution(False, None, None, INPUT, NOW, LATER)
AN_HOUR_LATER = "2026-11-23T10:00:02.000Z"


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def ledger(gateway: FakeGateway) -> FakeLedger:
    """A ledger with a captured payment."""
    ledger = FakeLedger()
    charge = gateway.charge(order(), card(), "pay-1-charge")
    ledger.record(*payment(charge_id=charge.charge_id).post(capture_entry("sparkle", 1999, "USD")))
    return ledger


def reserved(ledger: FakeLedger) -> None:
    paid = ledger.records["pay-1"].payment
    gateway = FakeGateway()
    gateway.charges["pay-1"] = charge_of(paid)
    request = operation_request(paid, "refund", 500, "op-1")
    reserve_operation(request, ledger=ledger, executions=FakeExecutions(), gateways=only(gateway), now=LATER)


def resolve(
    gateway: FakeGateway,
    ledger: FakeLedger,
    execution: Execution | None = STOPPED,
    *,
    ask: bool = True,
    now: str = LATER,
    paid: Execution | None = None,
) -> str:
    payment_id, status = resolve_operation(
        "op-1",
        gateways=only(gateway),
        ledger=ledger,
        executions=FakeExecutions(**{"op-1": execution} if execution else {}),
        payments=FakeExecutions(**{"pay-1": paid} if paid else {}),
        now=now,
        ask_gateway=ask,
    )
    assert payment_id in ("pay-1", "None")
    return status


@pytest.mark.parametrize("done", [True, False])
def test_what_was_reserved_is_asked_for_again_and_done_once(
    gateway: FakeGateway, ledger: FakeLedger, done: bool
) -> None:
    reserved(ledger)
    charge_id = ledger.records["pay-1"].payment.charge_id or ""
    if done:
        gateway.refund(charge_id, 500, "USD", "op-1", "pay-1-refund-op-1")
    assert resolve(gateway, ledger) == "succeeded"
    assert [refund.amount_minor for refund in gateway.charges["pay-1"].refunds] == [500]
    assert ledger.records["pay-1"].payment.refunded_minor == 500
    assert ledger.records["pay-1"].journal[-1] == refund_entry("sparkle", 500, "USD", "op-1")


def test_a_look_records_the_doubt_and_asks_nobody(gateway: FakeGateway, ledger: FakeLedger) -> None:
    reserved(ledger)
    gateway.calls.clear()
    assert resolve(gateway, ledger, ask=False) == "in_doubt"
    assert gateway.calls == []
    assert ledger.records["pay-1"].payment.operations[0].error == "execution_stopped"
    assert ledger.records["pay-1"].journal[-1] == refund_in_doubt_entry(500, "USD", "op-1")


def test_a_doubt_that_is_cleared_leaves_nothing_in_suspense(gateway: FakeGateway, ledger: FakeLedger) -> None:
    reserved(ledger)
    resolve(gateway, ledger, ask=False)
    assert resolve(gateway, ledger) == "succeeded"
    assert balances(ledger.records["pay-1"].journal) == {
        ("asset:gateway:sparkle", "USD"): 1499,
        ("liability:merchant", "USD"): -1499,
    }


def test_what_the_gateway_does_not_answer_stays_in_doubt(gateway: FakeGateway, ledger: FakeLedger) -> None:
    reserved(ledger)
    resolve(gateway, ledger, ask=False)
    gateway.faults.arm("refund", NO_ANSWER)
    with pytest.raises(GatewayOutcomeUnknown):
        resolve(gateway, ledger)
    assert ledger.records["pay-1"].payment.operations[0].status == "in_doubt"


def test_what_was_never_reserved_is_rejected_and_can_not_be_reserved_any_more(
    gateway: FakeGateway, ledger: FakeLedger
) -> None:
    gateway.calls.clear()
    assert resolve(gateway, ledger, ask=False) == "rejected"
    reserved(ledger)
    (operation,) = ledger.records["pay-1"].payment.operations
    assert (operation.status, operation.error) == ("rejected", "execution_stopped")
    assert gateway.calls == []


@pytest.mark.parametrize("status", ["succeeded", "rejected"])
def test_an_end_that_the_ledger_knows_stands_and_nobody_is_asked(
    gateway: FakeGateway, ledger: FakeLedger, status: str
) -> None:
    reserved(ledger)
    recorded = ledger.records["pay-1"].payment
    (operation,) = recorded.operations
    ended = (
        recorded.settle(operation, LATER) if status == "succeeded" else recorded.end(operation, "rejected", "x", LATER)
    )
    ledger.record(ended)
    gateway.calls.clear()
    assert resolve(gateway, ledger) == status
    assert gateway.calls == []


def test_a_running_execution_is_left_alone(gateway: FakeGateway, ledger: FakeLedger) -> None:
    reserved(ledger)
    before = ledger.records["pay-1"]
    assert resolve(gateway, ledger, replace(STOPPED, running=True)) == "processing"
    assert ledger.records["pay-1"] == before


def test_an_operation_on_nothing_is_over_once_no_late_reserve_can_find_a_payment(gateway: FakeGateway) -> None:
    rejected = replace(STOPPED, error="OperationRejected", cause="PaymentNotFound")
    assert resolve(gateway, FakeLedger(), rejected) == "processing"
    assert resolve(gateway, FakeLedger(), rejected, now=AN_HOUR_LATER) == "rejected"


@pytest.mark.parametrize(
    ("paid", "status"),
    [
        (Execution(True, None, None, PAID, NOW, None), "processing"),
        (Execution(False, "PaymentInDoubt", None, PAID, NOW, LATER), "processing"),
        (Execution(False, "PaymentRejected", "ExpiredCard", PAID, NOW, LATER), "rejected"),
    ],
)
def test_an_operation_waits_for_the_record_of_a_payment_that_is_not_rejected_however_long_that_takes(
    gateway: FakeGateway, paid: Execution, status: str
) -> None:
    assert resolve(gateway, FakeLedger(), paid=paid, now=AN_HOUR_LATER) == status


def test_an_input_that_broke_the_contract_was_never_reserved(gateway: FakeGateway, ledger: FakeLedger) -> None:
    execution = replace(
        STOPPED, error="OperationRejected", cause="InvalidInput", request={"payment_id": "pay-1", "operation": "charge"}
    )
    assert resolve(gateway, ledger, execution) == "rejected"
    assert ledger.records["pay-1"].payment.operations == ()


@pytest.mark.parametrize("request_", [{}, {"payment_id": "pay-1"}, {"payment_id": "pay-1", "operation": "charge"}])
def test_an_input_that_nobody_could_have_reserved_is_rejected_however_its_execution_ended(
    gateway: FakeGateway, ledger: FakeLedger, request_: dict[str, str]
) -> None:
    assert resolve(gateway, ledger, replace(STOPPED, request=request_)) == "rejected"
    assert ledger.records["pay-1"].payment.operations == ()


def test_an_operation_that_nobody_knows_is_an_error(gateway: FakeGateway, ledger: FakeLedger) -> None:
    with pytest.raises(PaymentNotFound):
        resolve(gateway, ledger, None)


def test_what_is_pending_is_looked_at_until_it_has_ended_and_not_asked_for_again(
    gateway: FakeGateway, ledger: FakeLedger
) -> None:
    reserved(ledger)
    gateway.refund_status = "pending"
    assert resolve(gateway, ledger) == "pending"
    gateway.calls.clear()
    assert resolve(gateway, ledger, ask=False) == "pending"
    assert gateway.calls == []
    assert resolve(gateway, ledger) == "pending"
    (operation,) = ledger.records["pay-1"].payment.operations
    assert (operation.status, operation.error) == ("processing", None)
    (refund,) = gateway.charges["pay-1"].refunds
    gateway.show_refund("pay-1", 500, "succeeded", "op-1", refund.refund_id)
    assert resolve(gateway, ledger) == "succeeded"
    assert gateway.calls == ["find"] * 2
    assert ledger.records["pay-1"].payment.refunded_minor == 500


def test_what_somebody_did_meanwhile_is_adopted_and_what_does_not_fit_any_more_is_rejected(
    gateway: FakeGateway, ledger: FakeLedger
) -> None:
    reserved(ledger)
    resolve(gateway, ledger, ask=False)
    gateway.show_refund("pay-1", 1999)
    assert resolve(gateway, ledger) == "rejected"
    recorded = ledger.records["pay-1"]
    assert (recorded.payment.status, recorded.payment.refunded_minor) == ("refunded", 1999)
    assert [each.error for each in recorded.payment.operations] == ["amount_exceeds_captured", None]
    assert balances(recorded.journal) == {}


def test_a_capture_that_was_made_there_in_part_ends_our_doubt(gateway: FakeGateway) -> None:
    ledger, authorized = FakeLedger(), payment(status="authorized")
    requested = authorized.reserve(operation_request(authorized, "capture", None, "op-1"), LATER)
    doubtful = requested.end(requested.operations[0], "in_doubt", "gateway_mismatch", LATER)
    ledger.records["pay-1"] = RecordedPayment(*doubtful.post(in_doubt_entry(1999, "USD", "op-1")))
    gateway.charges["pay-1"] = charge_of(authorized, status="captured", captured_minor=600)
    assert resolve(gateway, ledger) == "rejected"
    recorded = ledger.records["pay-1"]
    assert (recorded.payment.status, recorded.payment.captured_minor) == ("captured", 600)
    assert balances(recorded.journal)["asset:gateway:sparkle", "USD"] == 600
