"""What the gateway is asked for an operation, and what is recorded of its answer."""

import pytest

from functions.shared.domain.charge import Charge
from functions.shared.domain.errors import (
    GatewayBusy,
    GatewayMismatch,
    GatewayOutcomeUnknown,
    LedgerConflict,
    PaymentNotFound,
)
from functions.shared.domain.ledger import (
    balances,
    capture_entry,
    in_doubt_entry,
    refund_entry,
    refund_in_doubt_entry,
)
from functions.shared.domain.operation import OperationType
from functions.shared.domain.payment import Payment
from functions.shared.operations import Performed, Reserved, outcome_of, perform_operation, settle_operation
from tests.fakes import FakeGateway, FakeLedger
from tests.samples import LATER, card, operation_request, order, payment

NO_ANSWER = GatewayOutcomeUnknown("No answer.")
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


def perform(asked: Reserved, gateway: FakeGateway) -> Performed:
    """Perform it as the record of its payment has it: reserved, and open."""
    ledger = FakeLedger()
    first = payment(charge_id=asked.charge_id, status="captured" if asked.type == "refund" else "authorized")
    ledger.record(first)
    amount_minor = None if asked.type == "void" else asked.amount_minor
    ledger.record(first.reserve(operation_request(first, asked.type, amount_minor, asked.operation_id), LATER))
    return perform_operation(asked, gateway=gateway, ledger=ledger)


class TestPerform:
    @pytest.mark.parametrize("type", TYPES)
    def test_what_was_reserved_is_asked_for_once_with_a_key_of_its_own(
        self, gateway: FakeGateway, type: OperationType
    ) -> None:
        asked = reserved(charged(gateway, type), type)
        assert perform(asked, gateway) == Performed("succeeded", "sparkle")
        assert gateway.idempotency_keys[1:] == [f"pay-1-{type}-op-1"]
        assert gateway.calls[1:] == [type]

    @pytest.mark.parametrize("type", TYPES)
    def test_again_it_is_the_same(self, gateway: FakeGateway, type: OperationType) -> None:
        asked = reserved(charged(gateway, type), type)
        first, second = (perform(asked, gateway) for _ in range(2))
        assert first == second
        assert sum(refund.amount_minor for refund in gateway.refunds.get(asked.charge_id, [])) in (0, 500)

    @pytest.mark.parametrize("type", TYPES)
    def test_where_the_answer_is_lost_a_look_tells_that_it_was_done(
        self, gateway: FakeGateway, type: OperationType
    ) -> None:
        asked = reserved(charged(gateway, type), type)
        gateway.faults.arm(type, NO_ANSWER, done=True)
        assert perform(asked, gateway).outcome == "succeeded"
        assert gateway.calls[1:] == [type, "find"]

    @pytest.mark.parametrize("type", TYPES)
    def test_that_it_is_not_there_yet_is_not_the_same_as_never(self, gateway: FakeGateway, type: OperationType) -> None:
        asked = reserved(charged(gateway, type), type)
        gateway.faults.arm(type, NO_ANSWER)
        with pytest.raises(GatewayOutcomeUnknown):
            perform(asked, gateway)
        assert perform(asked, gateway).outcome == "succeeded"

    @pytest.mark.parametrize("type", TYPES)
    def test_what_was_done_under_a_key_that_is_forgotten_is_not_done_twice(
        self, gateway: FakeGateway, type: OperationType
    ) -> None:
        asked = reserved(charged(gateway, type), type)
        perform(asked, gateway)
        gateway._answers.clear()
        assert perform(asked, gateway).outcome == "succeeded"
        assert len(gateway.refunds.get(asked.charge_id, [])) == (type == "refund")

    @pytest.mark.parametrize("type", TYPES)
    def test_what_the_gateway_refuses_and_has_not_done_is_refused(
        self, gateway: FakeGateway, type: OperationType
    ) -> None:
        charge = charged(gateway, type)
        gateway.reverse("pay-1")
        if type == "void":  # by somebody else
            gateway.charges["pay-1"] = gateway.charge(order("pay-2"), card(), "pay-2-charge")
            charge = gateway.charges["pay-1"]
        performed = perform(reserved(charge, type), gateway)
        assert performed == Performed("refused", reason="invalid_state")

    def test_more_than_the_gateway_has_left_is_refused(self, gateway: FakeGateway) -> None:
        charge = charged(gateway, "refund")
        gateway.refund(charge.charge_id, 1900, "USD", "by-hand", "by-hand")
        performed = perform(reserved(charge, "refund"), gateway)
        assert performed == Performed("refused", reason="amount_exceeds_captured")

    @pytest.mark.parametrize("error", [GatewayBusy("429"), NO_ANSWER], ids=lambda error: type(error).__name__)
    def test_a_refusal_that_nobody_can_look_into_is_no_answer(self, gateway: FakeGateway, error: Exception) -> None:
        charge = charged(gateway, "refund")
        gateway.reverse("pay-1")
        gateway.faults.arm("find", error)
        with pytest.raises(type(error)):
            perform(reserved(charge, "refund"), gateway)

    @pytest.mark.parametrize("type", ["capture", "void"])
    def test_a_refusal_is_not_believed_while_the_gateway_does_not_show_the_charge(
        self, gateway: FakeGateway, type: OperationType, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = reserved(charged(gateway, type), type)
        perform(asked, gateway)
        gateway._answers.clear()
        with monkeypatch.context() as lagging:
            lagging.setattr(gateway, "find_by_reference", lambda reference: None)
            with pytest.raises(GatewayOutcomeUnknown):
                perform(asked, gateway)
        assert perform(asked, gateway).outcome == "succeeded"

    def test_another_amount_than_asked_is_a_mismatch(self, gateway: FakeGateway) -> None:
        charge = charged(gateway, "capture")
        gateway.capture(charge.charge_id, 1999, "USD", "by-hand")
        with pytest.raises(GatewayMismatch):
            perform(reserved(charge, "capture"), gateway)

    @pytest.mark.parametrize("type", TYPES)
    @pytest.mark.parametrize("status", ["succeeded", "rejected"])
    def test_what_has_ended_is_not_asked_for_again_whatever_the_gateway_has_forgotten(
        self, gateway: FakeGateway, ledger: FakeLedger, type: OperationType, status: str
    ) -> None:
        charge = charged(gateway, type)
        asked(ledger, type)
        settle(ledger, DONE if status == "succeeded" else REFUSED)
        gateway.calls.clear()
        performed = perform_operation(reserved(charge, type), gateway=gateway, ledger=ledger)
        assert performed == Performed("recorded")
        assert gateway.calls == []
        assert settle(ledger, performed).operations[0].status == status

    def test_what_is_in_doubt_is_asked_for_again(self, gateway: FakeGateway, ledger: FakeLedger) -> None:
        charge = charged(gateway, "refund")
        asked(ledger, "refund")
        settle(ledger, UNKNOWN)
        assert perform_operation(reserved(charge, "refund"), gateway=gateway, ledger=ledger).outcome == "succeeded"

    def test_what_was_never_reserved_is_not_asked_for(self, gateway: FakeGateway, ledger: FakeLedger) -> None:
        charge = charged(gateway, "refund")
        ledger.record(payment())
        assert perform_operation(reserved(charge, "refund"), gateway=gateway, ledger=ledger) == Performed("recorded")
        assert gateway.refunds == {}


def asked(ledger: FakeLedger, type: OperationType) -> Payment:
    """A payment whose operation `op-1` is reserved."""
    first = payment(status="captured" if type == "refund" else "authorized")
    entries = [capture_entry("sparkle", 1999, "USD")] if type == "refund" else []
    first, posted = first.post(*entries)
    ledger.record(first, posted)
    amount_minor = None if type == "void" else AMOUNTS[type]
    reserved = first.reserve(operation_request(first, type, amount_minor, "op-1"), LATER)
    ledger.record(reserved)
    return reserved


def settle(ledger: FakeLedger, performed: Performed) -> Payment:
    return settle_operation("pay-1", "op-1", performed, ledger=ledger, now=LATER)


DONE = Performed("succeeded", "sparkle")
REFUSED = Performed("refused", reason="invalid_state")
UNKNOWN = Performed("unknown", reason="GatewayOutcomeUnknown")

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
        before = asked(ledger, type)
        settled = settle(ledger, DONE)
        assert (settled.status, settled.operations[0].status) == (ENDED[type], "succeeded")
        assert list(ledger.records["pay-1"].journal[before.entry_count :]) == MOVEMENTS[type]

    def test_what_was_refused_moves_nothing_and_gives_the_amount_free(
        self, ledger: FakeLedger, type: OperationType
    ) -> None:
        before = asked(ledger, type)
        released = settle(ledger, REFUSED)
        assert (released.status, released.operations[0].error) == (before.status, "invalid_state")
        assert released.entry_count == before.entry_count
        assert not any(operation.is_open for operation in released.operations)

    def test_what_nobody_knows_is_in_doubt_with_the_money_in_suspense(
        self, ledger: FakeLedger, type: OperationType
    ) -> None:
        before = asked(ledger, type)
        doubtful = settle(ledger, UNKNOWN)
        (operation,) = doubtful.operations
        assert (operation.status, operation.error) == ("in_doubt", "gateway_outcome_unknown")
        assert (doubtful.status, doubtful.in_doubt_since) == (before.status, LATER)
        assert list(ledger.records["pay-1"].journal[before.entry_count :]) == SUSPENSE[type]

    def test_while_nobody_knows_the_doubt_is_recorded_once(self, ledger: FakeLedger, type: OperationType) -> None:
        asked(ledger, type)
        assert settle(ledger, UNKNOWN) == settle(ledger, UNKNOWN)

    @pytest.mark.parametrize("performed", [DONE, REFUSED], ids=lambda performed: performed.outcome)
    def test_a_doubt_that_is_cleared_leaves_nothing_in_suspense(
        self, ledger: FakeLedger, type: OperationType, performed: Performed
    ) -> None:
        before = asked(ledger, type)
        settle(ledger, UNKNOWN)
        cleared = settle(ledger, performed)
        journal = ledger.records["pay-1"].journal
        assert cleared.in_doubt_since is None
        assert balances(journal) == balances(
            [*journal[: before.entry_count], *(MOVEMENTS[type] if performed is DONE else [])]
        )

    @pytest.mark.parametrize("first", [DONE, REFUSED], ids=lambda performed: performed.outcome)
    @pytest.mark.parametrize("second", [DONE, REFUSED, UNKNOWN], ids=lambda performed: performed.outcome)
    def test_an_operation_that_has_ended_stays_as_it_is(
        self, ledger: FakeLedger, type: OperationType, first: Performed, second: Performed
    ) -> None:
        asked(ledger, type)
        ended = settle(ledger, first)
        assert settle(ledger, second) == ended
        assert ledger.records["pay-1"].payment == ended


def test_nothing_is_settled_that_was_not_reserved(ledger: FakeLedger) -> None:
    with pytest.raises(PaymentNotFound):
        settle(ledger, DONE)
    ledger.record(payment())
    with pytest.raises(LedgerConflict):
        settle(ledger, DONE)


def test_the_state_machine_is_told_what_it_needs_to_go_on(ledger: FakeLedger) -> None:
    assert outcome_of(asked(ledger, "refund"), "op-1") == {
        "payment_id": "pay-1",
        "operation_id": "op-1",
        "type": "refund",
        "amount_minor": 500,
        "currency": "USD",
        "charge_id": "ch_1",
        "status": "processing",
        "error": {"Error": None},
    }
