"""Which gateway calls an operation makes, and what is recorded of the answers."""

from collections.abc import Callable
from typing import Any

import pytest

from functions.shared.domain.charge import Charge, Refund
from functions.shared.domain.errors import (
    GatewayBusy,
    GatewayMismatch,
    GatewayOutcomeUnknown,
    LedgerConflict,
    PaymentNotFound,
)
from functions.shared.domain.ledger import capture_entry, in_doubt_entry, refund_entry, refund_in_doubt_entry
from functions.shared.domain.operation import OperationType
from functions.shared.domain.payment import Payment
from functions.shared.use_cases.perform_operation import Performed, Reserved, perform_operation
from functions.shared.use_cases.settle_operation import outcome_of, settle_operation
from tests.balances import balances
from tests.fakes import FakeGateway, FakeLedger, only
from tests.samples import LATER, card, charge_of, operation_request, order, payment

NO_ANSWER = GatewayOutcomeUnknown("No answer.")
End = Callable[[OperationType], Performed]
TYPES: tuple[OperationType, ...] = ("capture", "void", "refund")
AMOUNTS = {"capture": 1500, "void": 1999, "refund": 500}


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger()


def charged(gateway: FakeGateway, type: OperationType) -> Charge:
    """A charge that allows the operation."""
    ask = gateway.charge if type == "refund" else gateway.authorize
    return ask(order(), card(), "pay-1-charge")


def reserved(charge: Charge, type: OperationType) -> Reserved:
    return Reserved("pay-1", "op-1", type, AMOUNTS[type], "USD", charge.charge_id)


def perform(operation: Reserved, gateway: FakeGateway) -> Performed:
    """Perform the operation that the payment's record has reserved."""
    ledger = FakeLedger()
    paid = payment(charge_id=operation.charge_id, status="captured" if operation.type == "refund" else "authorized")
    ledger.record(paid)
    amount_minor = None if operation.type == "void" else operation.amount_minor
    ledger.record(paid.reserve(operation_request(paid, operation.type, amount_minor, operation.operation_id), LATER))
    return perform_operation(operation, gateways=only(gateway), ledger=ledger)


class TestPerform:
    @pytest.mark.parametrize("type", TYPES)
    def test_what_was_reserved_is_asked_for_once_with_a_key_of_its_own(
        self, gateway: FakeGateway, type: OperationType
    ) -> None:
        operation = reserved(charged(gateway, type), type)
        assert perform(operation, gateway) == Performed(gateway.charges["pay-1"])
        assert gateway.idempotency_keys[1:] == [f"pay-1-{type}-op-1"]
        assert gateway.calls[1:] == [type]

    @pytest.mark.parametrize("type", TYPES)
    def test_again_it_is_the_same(self, gateway: FakeGateway, type: OperationType) -> None:
        operation = reserved(charged(gateway, type), type)
        first, second = (perform(operation, gateway) for _ in range(2))
        assert first == second
        assert sum(refund.amount_minor for refund in gateway.charges["pay-1"].refunds) in (0, 500)

    @pytest.mark.parametrize("type", TYPES)
    def test_where_the_answer_is_lost_a_look_tells_that_it_was_done(
        self, gateway: FakeGateway, type: OperationType
    ) -> None:
        operation = reserved(charged(gateway, type), type)
        gateway.faults.arm(type, NO_ANSWER, done=True)
        assert perform(operation, gateway) == Performed(gateway.charges["pay-1"])
        assert gateway.calls[1:] == [type, "find"]

    @pytest.mark.parametrize("type", TYPES)
    def test_that_it_is_not_there_yet_is_not_the_same_as_never(self, gateway: FakeGateway, type: OperationType) -> None:
        operation = reserved(charged(gateway, type), type)
        gateway.faults.arm(type, NO_ANSWER)
        with pytest.raises(GatewayOutcomeUnknown):
            perform(operation, gateway)
        assert perform(operation, gateway) == Performed(gateway.charges["pay-1"])

    @pytest.mark.parametrize("type", TYPES)
    def test_what_was_done_under_a_key_that_is_forgotten_is_not_done_twice(
        self, gateway: FakeGateway, type: OperationType
    ) -> None:
        operation = reserved(charged(gateway, type), type)
        perform(operation, gateway)
        gateway._answers.clear()
        assert perform(operation, gateway).charge == gateway.charges["pay-1"]
        assert len(gateway.charges["pay-1"].refunds) == (type == "refund")

    @pytest.mark.parametrize("type", TYPES)
    def test_what_the_gateway_refuses_and_has_not_done_is_refused(
        self, gateway: FakeGateway, type: OperationType
    ) -> None:
        charge = charged(gateway, type)
        gateway.reverse(order("pay-1"))
        if type == "void":  # by somebody else
            gateway.charges["pay-1"] = gateway.charge(order("pay-2"), card(), "pay-2-charge")
            charge = gateway.charges["pay-1"]
        performed = perform(reserved(charge, type), gateway)
        assert performed == Performed(gateway.charges["pay-1"], "invalid_state")

    def test_more_than_the_gateway_has_left_is_refused(self, gateway: FakeGateway) -> None:
        charge = charged(gateway, "refund")
        gateway.refund(charge.charge_id, 1900, "USD", "by-hand", "by-hand")
        performed = perform(reserved(charge, "refund"), gateway)
        assert performed == Performed(gateway.charges["pay-1"], "amount_exceeds_captured")

    @pytest.mark.parametrize("error", [GatewayBusy("429"), NO_ANSWER], ids=lambda error: type(error).__name__)
    def test_a_refusal_that_nobody_can_look_into_is_no_answer(self, gateway: FakeGateway, error: Exception) -> None:
        charge = charged(gateway, "refund")
        gateway.reverse(order("pay-1"))
        gateway.faults.arm("find", error)
        with pytest.raises(type(error)):
            perform(reserved(charge, "refund"), gateway)

    @pytest.mark.parametrize("type", ["capture", "void"])
    def test_a_refusal_is_not_believed_while_the_gateway_does_not_show_the_charge(
        self, gateway: FakeGateway, type: OperationType, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        operation = reserved(charged(gateway, type), type)
        perform(operation, gateway)
        gateway._answers.clear()
        with monkeypatch.context() as lagging:
            lagging.setattr(gateway, "find", lambda charge_id: None)
            with pytest.raises(GatewayOutcomeUnknown):
                perform(operation, gateway)
        assert perform(operation, gateway).charge == gateway.charges["pay-1"]

    @pytest.mark.parametrize(
        ("type", "change"),
        [("capture", {"captured_minor": 600}), ("void", {"status": "authorized"}), ("refund", {"refunds": ()})],
    )
    def test_an_answer_that_is_not_as_asked_is_a_mismatch(
        self, gateway: FakeGateway, type: OperationType, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        operation = reserved(charged(gateway, type), type)
        perform(operation, gateway)
        answered = gateway.show("pay-1", **change)
        monkeypatch.setattr(gateway, type, lambda *_: answered)
        with pytest.raises(GatewayMismatch):
            perform(operation, gateway)

    def test_what_somebody_else_captured_meanwhile_is_a_refusal_with_the_charge_as_it_is(
        self, gateway: FakeGateway
    ) -> None:
        charge = charged(gateway, "capture")
        gateway.capture(charge.charge_id, 600, "USD", "by-hand")
        current = gateway.charges["pay-1"]
        assert perform(reserved(charge, "capture"), gateway) == Performed(current, "invalid_state")

    @pytest.mark.parametrize("type", TYPES)
    @pytest.mark.parametrize("status", ["succeeded", "rejected"])
    def test_what_has_ended_is_not_asked_for_again_whatever_the_gateway_has_forgotten(
        self, gateway: FakeGateway, ledger: FakeLedger, type: OperationType, status: str
    ) -> None:
        charge = charged(gateway, type)
        with_reserved(ledger, type)
        settle(ledger, carried_out(type) if status == "succeeded" else refused(type))
        gateway.calls.clear()
        performed = perform_operation(reserved(charge, type), gateways=only(gateway), ledger=ledger)
        assert performed == Performed()
        assert gateway.calls == []
        assert settle(ledger, performed).operations[0].status == status

    def test_what_is_in_doubt_is_asked_for_again(self, gateway: FakeGateway, ledger: FakeLedger) -> None:
        charge = charged(gateway, "refund")
        with_reserved(ledger, "refund")
        settle(ledger, UNKNOWN)
        assert perform_operation(reserved(charge, "refund"), gateways=only(gateway), ledger=ledger).charge

    def test_what_was_never_reserved_is_not_asked_for(self, gateway: FakeGateway, ledger: FakeLedger) -> None:
        charge = charged(gateway, "refund")
        ledger.record(payment())
        assert perform_operation(reserved(charge, "refund"), gateways=only(gateway), ledger=ledger) == Performed()
        assert gateway.charges["pay-1"].refunds == ()


def with_reserved(ledger: FakeLedger, type: OperationType) -> Payment:
    """A payment with the reserved operation `op-1`."""
    paid = payment(status="captured" if type == "refund" else "authorized")
    entries = [capture_entry("sparkle", 1999, "USD")] if type == "refund" else []
    paid, posted = paid.post(*entries)
    ledger.record(paid, posted)
    amount_minor = None if type == "void" else AMOUNTS[type]
    reserved = paid.reserve(operation_request(paid, type, amount_minor, "op-1"), LATER)
    ledger.record(reserved)
    return reserved


def settle(ledger: FakeLedger, performed: Performed) -> Payment:
    return settle_operation("pay-1", "op-1", performed, ledger=ledger, now=LATER)


UNKNOWN = Performed(reason="GatewayOutcomeUnknown")


def carried_out(type: OperationType) -> Performed:
    """Let the gateway carry it out."""
    match type:
        case "capture":
            return Performed(charge_of(AUTHORIZED, status="captured", captured_minor=1500))
        case "void":
            return Performed(charge_of(AUTHORIZED, status="voided"))
    refund = Refund("re_1", "op-1", "succeeded", 500, LATER)
    return Performed(charge_of(payment(), status="partially_refunded", refunds=(refund,)))


def refused(type: OperationType) -> Performed:
    return Performed(charge_of(payment() if type == "refund" else AUTHORIZED), "invalid_state")


AUTHORIZED = payment(status="authorized")
ENDS = pytest.mark.parametrize("end", [carried_out, refused])
MOVEMENTS = {
    "capture": [capture_entry("sparkle", 1500, "USD", "op-1")],
    "void": [],
    "refund": [refund_entry("sparkle", 500, "USD", "op-1")],
}
SUSPENSE = {
    "capture": [in_doubt_entry(1500, "USD", "op-1")],
    "void": [],
    "refund": [refund_in_doubt_entry(500, "USD", "op-1")],
}
ENDED = {"capture": "captured", "void": "voided", "refund": "partially_refunded"}


@pytest.mark.parametrize("type", TYPES)
class TestSettle:
    def test_what_was_done_is_recorded_with_its_entry(self, ledger: FakeLedger, type: OperationType) -> None:
        before = with_reserved(ledger, type)
        settled = settle(ledger, carried_out(type))
        assert (settled.status, settled.operations[0].status) == (ENDED[type], "succeeded")
        assert list(ledger.records["pay-1"].journal[before.entry_count :]) == MOVEMENTS[type]

    def test_what_was_refused_moves_nothing_and_gives_the_amount_free(
        self, ledger: FakeLedger, type: OperationType
    ) -> None:
        before = with_reserved(ledger, type)
        released = settle(ledger, refused(type))
        assert (released.status, released.operations[0].error) == (before.status, "invalid_state")
        assert released.entry_count == before.entry_count
        assert not any(operation.is_open for operation in released.operations)

    def test_what_nobody_knows_is_in_doubt_with_the_money_in_suspense(
        self, ledger: FakeLedger, type: OperationType
    ) -> None:
        before = with_reserved(ledger, type)
        doubtful = settle(ledger, UNKNOWN)
        (operation,) = doubtful.operations
        assert (operation.status, operation.error) == ("in_doubt", "gateway_outcome_unknown")
        assert (doubtful.status, doubtful.in_doubt_since) == (before.status, LATER)
        assert list(ledger.records["pay-1"].journal[before.entry_count :]) == SUSPENSE[type]

    def test_while_nobody_knows_the_doubt_is_recorded_once(self, ledger: FakeLedger, type: OperationType) -> None:
        with_reserved(ledger, type)
        assert settle(ledger, UNKNOWN) == settle(ledger, UNKNOWN)

    @ENDS
    def test_a_doubt_that_is_cleared_leaves_nothing_in_suspense(
        self, ledger: FakeLedger, type: OperationType, end: End
    ) -> None:
        before = with_reserved(ledger, type)
        settle(ledger, UNKNOWN)
        cleared = settle(ledger, end(type))
        journal = ledger.records["pay-1"].journal
        assert cleared.in_doubt_since is None
        assert balances(journal) == balances(
            [*journal[: before.entry_count], *(MOVEMENTS[type] if end is carried_out else [])]
        )

    @ENDS
    def test_an_operation_that_has_ended_stays_as_it_is(
        self, ledger: FakeLedger, type: OperationType, end: End
    ) -> None:
        with_reserved(ledger, type)
        ended = settle(ledger, end(type))
        for again in (end(type), refused(type), UNKNOWN):
            assert settle(ledger, again) == ended
        assert ledger.records["pay-1"].payment == ended

    def test_one_that_the_gateway_has_done_though_it_was_taken_for_refused_is_done(
        self, ledger: FakeLedger, type: OperationType
    ) -> None:
        with_reserved(ledger, type)
        settle(ledger, refused(type))
        settled = settle(ledger, carried_out(type))
        assert settled.status == ENDED[type]
        assert balances(ledger.records["pay-1"].journal) == balances(
            [*([capture_entry("sparkle", 1999, "USD")] if type == "refund" else []), *MOVEMENTS[type]]
        )


class TestWhatElseTheChargeShows:
    def test_it_is_adopted_with_what_was_asked_for(self, ledger: FakeLedger) -> None:
        with_reserved(ledger, "refund")
        refunds = (Refund("re_0", None, "succeeded", 200, LATER), Refund("re_1", "op-1", "succeeded", 500, LATER))
        settled = settle(ledger, Performed(charge_of(payment(), status="partially_refunded", refunds=refunds)))
        assert (settled.refunded_minor, settled.version) == (700, 3)
        assert [each.source for each in settled.operations] == [None, "gateway"]

    def test_what_was_refused_for_it_is_rejected_with_the_numbers_that_are_true(self, ledger: FakeLedger) -> None:
        with_reserved(ledger, "refund")
        refunds = (Refund("re_0", None, "succeeded", 1999, LATER),)
        charge = charge_of(payment(), status="refunded", refunds=refunds)
        settled = settle(ledger, Performed(charge, "amount_exceeds_captured"))
        assert (settled.status, settled.refunded_minor) == ("refunded", 1999)
        assert [each.error for each in settled.operations] == ["amount_exceeds_captured", None]

    def test_a_refund_that_is_pending_is_processing_and_in_no_doubt(self, ledger: FakeLedger) -> None:
        with_reserved(ledger, "refund")
        settle(ledger, UNKNOWN)
        pending = Performed(charge_of(payment(), refunds=(Refund("re_1", "op-1", "pending", 500, LATER),)))
        settled = settle(ledger, pending)
        (operation,) = settled.operations
        assert (operation.status, operation.error, settled.in_doubt_since) == ("processing", None, None)
        assert settled.refundable_minor == 1499
        assert settle(ledger, UNKNOWN) == settle(ledger, pending) == settled

    @pytest.mark.parametrize("doubted", [False, True])
    def test_a_refund_that_meets_a_dispute_is_rejected_whether_it_was_in_doubt_or_not(
        self, gateway: FakeGateway, ledger: FakeLedger, doubted: bool
    ) -> None:
        charge = charged(gateway, "refund")
        paid = payment(charge_id=charge.charge_id)
        ledger.record(*paid.post(capture_entry("sparkle", 1999, "USD")))
        recorded = ledger.records["pay-1"].payment
        ledger.record(recorded.reserve(operation_request(recorded, "refund", 500, "op-1"), LATER))
        if doubted:
            settle(ledger, UNKNOWN)
        gateway.dispute("pay-1")
        performed = perform_operation(reserved(charge, "refund"), gateways=only(gateway), ledger=ledger)
        settled = settle(ledger, performed)
        assert [(each.status, each.error) for each in settled.operations] == [("rejected", "payment_disputed")]
        assert [each.status for each in settled.disputes] == ["open"]
        totals = balances(ledger.records["pay-1"].journal)
        assert totals == {("asset:disputed:sparkle", "USD"): 1999, ("liability:merchant", "USD"): -1999}

    def test_a_charge_that_is_not_the_payments_leaves_the_operation_in_doubt(self, ledger: FakeLedger) -> None:
        with_reserved(ledger, "refund")
        settled = settle(ledger, Performed(charge_of(payment(), amount_minor=2000)))
        assert [(each.status, each.error) for each in settled.operations] == [("in_doubt", "gateway_mismatch")]


def test_nothing_is_settled_that_was_not_reserved(ledger: FakeLedger) -> None:
    with pytest.raises(PaymentNotFound):
        settle(ledger, UNKNOWN)
    ledger.record(payment())
    with pytest.raises(LedgerConflict):
        settle(ledger, UNKNOWN)


def test_the_state_machine_is_told_what_it_needs_to_go_on(ledger: FakeLedger) -> None:
    assert outcome_of(with_reserved(ledger, "refund"), "op-1") == {
        "payment_id": "pay-1",
        "operation_id": "op-1",
        "type": "refund",
        "amount_minor": 500,
        "currency": "USD",
        "charge_id": "ch_1",
        "status": "processing",
        "error": {"Error": None},
    }
