from dataclasses import replace
from typing import Any

import pytest

from functions.follow_event.follow_event import follow_event
from functions.shared.domain.errors import GatewayMismatch, GatewayOutcomeUnknown, PaymentUnderWay
from functions.shared.domain.gateway_event import GatewayEvent
from functions.shared.domain.ledger import capture_entry, in_doubt_entry
from functions.shared.ports import Execution
from tests.fakes import FakeCustomerWaits, FakeExecutions, FakeGateway, FakeLedger, only
from tests.samples import CHALLENGED_PAN, LATER, NOW, REQUEST, STARTED_AT, WAIT, card, order, payment

MUCH_LATER = "2026-11-23T10:00:00.000Z"


def execution(error: str | None = "States.Timeout", *, running: bool = False, **changes: Any) -> FakeExecutions:
    request = REQUEST.to_dict() | changes
    return FakeExecutions(**{"pay-1": Execution(running, error, None, request, STARTED_AT, None if running else NOW)})


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger()


def event(charge_id: str, **changes: Any) -> GatewayEvent:
    return replace(GatewayEvent("ev_1", "charge.changed", charge_id, NOW, "pay-1"), **changes)


def follow(gateway: FakeGateway, ledger: FakeLedger, event: GatewayEvent, **changes: Any) -> str:
    ports: dict[str, Any] = {"executions": FakeExecutions(), "customer_waits": FakeCustomerWaits(), "now": LATER}
    return follow_event(gateway.name, event, gateways=only(gateway), ledger=ledger, **ports | changes)


def paid(gateway: FakeGateway, ledger: FakeLedger) -> str:
    charge = gateway.charge(order(), card(), "pay-1-charge")
    ledger.record(*payment(charge_id=charge.charge_id).post(capture_entry("sparkle", 1999, "USD")))
    gateway.calls.clear()
    return charge.charge_id


@pytest.mark.parametrize("known_by", ["reference", "charge"])
def test_what_the_gateway_shows_is_recorded(gateway: FakeGateway, ledger: FakeLedger, known_by: str) -> None:
    charge_id = paid(gateway, ledger)
    gateway.refund(charge_id, 500, "USD", "made-at-the-dashboard", "any-key")
    gateway_event = event(charge_id) if known_by == "reference" else event(charge_id, payment_id=None)
    assert follow(gateway, ledger, gateway_event) == "partially_refunded"
    recorded = ledger.records["pay-1"]
    assert follow(gateway, ledger, gateway_event) == "partially_refunded"
    assert ledger.records["pay-1"] == recorded


def test_an_event_is_no_evidence(gateway: FakeGateway, ledger: FakeLedger) -> None:
    charge_id = paid(gateway, ledger)
    assert follow(gateway, ledger, event(charge_id, status="voided", type="charge.voided")) == "captured"
    assert ledger.records["pay-1"].payment.version == 1


def test_nobody_is_asked_for_what_is_recorded(gateway: FakeGateway, ledger: FakeLedger) -> None:
    charge_id = paid(gateway, ledger)
    assert follow(gateway, ledger, event(charge_id, status="captured")) == "captured"
    assert gateway.calls == []


def test_a_running_payment_is_left_alone_and_the_event_kept(gateway: FakeGateway, ledger: FakeLedger) -> None:
    charge = gateway.charge(order(), card(), "pay-1-charge")
    gateway.calls.clear()
    for executions in (execution(running=True), FakeExecutions()):
        with pytest.raises(PaymentUnderWay):
            follow(gateway, ledger, event(charge.charge_id), executions=executions)
    assert (gateway.calls, ledger.records) == ([], {})


def test_compensate_is_not_disturbed(gateway: FakeGateway, ledger: FakeLedger) -> None:
    charge = gateway.charge(order(), card(), "pay-1-charge")
    ledger.record(*payment(status="in_doubt", charge_id=None, reversing=True).post(in_doubt_entry(1999, "USD")))
    with pytest.raises(PaymentUnderWay):
        follow(gateway, ledger, event(charge.charge_id), executions=execution(running=True))
    assert gateway.charges["pay-1"].status == "captured"


def test_a_charge_that_succeeded_late_ends_the_doubt_at_once(gateway: FakeGateway, ledger: FakeLedger) -> None:
    ledger.record(*payment(status="in_doubt", charge_id=None, transaction_id=None).post(in_doubt_entry(1999, "USD")))
    with pytest.raises(GatewayOutcomeUnknown):  # it is not shown yet, and that is no evidence
        follow(gateway, ledger, event("ch_1"), executions=execution())
    unclear = ledger.records["pay-1"].payment
    assert unclear.status == "in_doubt"
    charge = gateway.charge(order(), card(), "pay-1-charge")
    assert follow(gateway, ledger, event(charge.charge_id), executions=execution()) == "captured"
    assert ledger.records["pay-1"].payment.status == "captured"


def test_a_stopped_payment_that_nobody_has_recorded_is_recorded(gateway: FakeGateway, ledger: FakeLedger) -> None:
    charge = gateway.charge(order(), card(), "pay-1-charge")
    assert follow(gateway, ledger, event(charge.charge_id), executions=execution()) == "captured"


def test_a_doubt_is_not_ended_by_another_payment_s_charge(gateway: FakeGateway, ledger: FakeLedger) -> None:
    ledger.record(*payment(status="in_doubt", charge_id=None, transaction_id=None).post(in_doubt_entry(1999, "USD")))
    other = gateway.charge(order("pay-2"), card(), "pay-2-charge")
    with pytest.raises(GatewayMismatch):
        follow(gateway, ledger, event(other.charge_id), executions=execution())
    assert ledger.records["pay-1"].payment.status == "in_doubt"
    assert gateway.charges["pay-2"].status == "captured"


def test_a_charge_that_is_none_of_ours_is_ignored(gateway: FakeGateway, ledger: FakeLedger) -> None:
    assert follow(gateway, ledger, event("ch_1"), now=MUCH_LATER) == "unknown"
    assert ledger.records == {}


class TestACustomerWhoWasAsked:
    @pytest.fixture
    def waits(self, gateway: FakeGateway) -> FakeCustomerWaits:
        charge = gateway.charge(order(), card(CHALLENGED_PAN), "pay-1-charge")
        waits = FakeCustomerWaits()
        waits.begin("pay-1", "AQB4", replace(WAIT, charge_id=charge.charge_id))
        return waits

    def test_has_answered_and_the_execution_goes_on(
        self, gateway: FakeGateway, ledger: FakeLedger, waits: FakeCustomerWaits
    ) -> None:
        gateway.answer_challenge("pay-1", approve=True)
        executions = execution(running=True)
        gateway_event = event("ch_1", status="captured")
        assert follow(gateway, ledger, gateway_event, executions=executions, customer_waits=waits) == "processing"
        assert executions.resumed == ["AQB4"]
        assert ledger.records == {}

    def test_has_not_answered_by_the_gateways_look_and_the_event_is_told_again(
        self, gateway: FakeGateway, ledger: FakeLedger, waits: FakeCustomerWaits
    ) -> None:
        executions = execution(running=True)
        with pytest.raises(PaymentUnderWay):
            follow(gateway, ledger, event("ch_1", status="captured"), executions=executions, customer_waits=waits)
        assert executions.resumed == []

    def test_has_not_answered_before_the_payment_waits(self, gateway: FakeGateway, ledger: FakeLedger) -> None:
        gateway.charge(order(), card(CHALLENGED_PAN), "pay-1-charge")
        gateway.answer_challenge("pay-1", approve=True)
        with pytest.raises(PaymentUnderWay):
            follow(gateway, ledger, event("ch_1", status="captured"), executions=execution(running=True))

    def test_is_nothing_new_to_the_execution(self, gateway: FakeGateway, ledger: FakeLedger) -> None:
        gateway_event = event("ch_1", status="action_required")
        assert follow(gateway, ledger, gateway_event, executions=execution(running=True)) == "action_required"
        assert gateway.calls == []
