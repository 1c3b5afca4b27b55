from dataclasses import replace

import pytest

from functions.reserve.reserve_operation import reserve_operation
from functions.shared.domain.charge import Abilities
from functions.shared.domain.errors import (
    GatewayOutcomeUnknown,
    LedgerConflict,
    LedgerUnavailable,
    PaymentNotFound,
    PaymentUnderWay,
)
from functions.shared.domain.ledger import capture_entry
from functions.shared.domain.operation import OperationRequest, OperationType
from functions.shared.domain.payment import Payment
from functions.shared.ports import Execution, RecordedPayment
from tests.fakes import LEDGER_DOWN, FakeExecutions, FakeGateway, FakeLedger, only
from tests.samples import ABLE, LATER, NOW, REQUEST, STARTED_AT, charge_of, operation_request, payment, refund_request

RUNNING = Execution(True, None, None, REQUEST.to_dict(), STARTED_AT, None)
EXECUTIONS = FakeExecutions()


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger()


def reserve(
    ledger: FakeLedger,
    request: OperationRequest,
    executions: FakeExecutions = EXECUTIONS,
    now: str = LATER,
    gateway: FakeGateway | None = None,
) -> Payment:
    """With a gateway that shows what the ledger has, unless a test changes it."""
    gateway, recorded = gateway or FakeGateway(), ledger.records.get(request.payment_id)
    if recorded:
        gateway.charges.setdefault(request.payment_id, charge_of(recorded.payment))
    return reserve_operation(request, ledger=ledger, executions=executions, gateways=only(gateway), now=now)


def test_a_refund_is_reserved_before_anybody_is_asked(ledger: FakeLedger) -> None:
    ledger.record(payment())
    reserved = reserve(ledger, refund_request(payment(), 500))
    assert ledger.records["pay-1"].payment == reserved
    assert (reserved.operations[0].status, reserved.refundable_minor) == ("processing", 1499)
    assert ledger.records["pay-1"].entries == ()


def test_what_may_not_be_done_is_on_record_as_rejected(ledger: FakeLedger) -> None:
    ledger.record(payment(status="declined"))
    reserve(ledger, refund_request(payment()))
    (operation,) = ledger.records["pay-1"].payment.operations
    assert (operation.status, operation.error) == ("rejected", "invalid_state")


def test_again_it_is_reserved_once(ledger: FakeLedger) -> None:
    ledger.record(payment())
    request = refund_request(payment(), 500)
    assert reserve(ledger, request) == reserve(ledger, request)
    assert len(ledger.records["pay-1"].payment.operations) == 1


def test_one_whose_answer_was_lost_is_reserved_once(ledger: FakeLedger) -> None:
    ledger.record(payment())
    ledger.faults.arm("record", LEDGER_DOWN, done=True)
    request = refund_request(payment())
    with pytest.raises(LedgerUnavailable):
        reserve(ledger, request)
    assert reserve(ledger, request).operations[0].status == "processing"
    assert ledger.records["pay-1"].payment.version == 2


def test_of_two_at_the_same_moment_one_has_to_look_again_and_finds_the_money_reserved(ledger: FakeLedger) -> None:
    first_request, second_request = refund_request(payment()), refund_request(payment())
    ledger.record(payment())

    class Racing(FakeLedger):
        """Another reservation is recorded between the read and the write."""

        def find(self, payment_id: str) -> RecordedPayment | None:
            record = ledger.find(payment_id)
            if len(ledger.records["pay-1"].payment.operations) == 0:
                reserve(ledger, first_request)
            return record

    racing = Racing()
    racing.records = ledger.records
    with pytest.raises(LedgerConflict):
        reserve(racing, second_request)
    assert reserve(racing, second_request).operations[-1].error == "amount_exceeds_captured"
    assert ledger.records["pay-1"].payment.refundable_minor == 0


def test_an_operation_on_a_rejected_payment_finds_none_at_once(ledger: FakeLedger) -> None:
    rejected = FakeExecutions(**{"pay-1": replace(RUNNING, running=False, error="PaymentRejected")})
    request = refund_request(payment())
    with pytest.raises(PaymentNotFound):
        reserve(ledger, request, rejected, now=request.requested_at)
    assert ledger.records == {}


def test_a_payment_that_cannot_be_seen_yet_is_waited_for_and_after_ten_seconds_there_is_none(
    ledger: FakeLedger,
) -> None:
    request = replace(refund_request(payment()), requested_at="2026-11-23T09:00:00.000Z")
    for moment in ("2026-11-23T09:00:00.000Z", "2026-11-23T09:00:10.000Z"):
        with pytest.raises(PaymentUnderWay):
            reserve(ledger, request, now=moment)
    with pytest.raises(PaymentNotFound):
        reserve(ledger, request, now="2026-11-23T09:00:10.001Z")
    assert ledger.records == {}


@pytest.mark.parametrize("running", [True, False])
def test_a_payment_without_an_end_is_waited_for(ledger: FakeLedger, running: bool) -> None:
    executions = FakeExecutions(**{"pay-1": replace(RUNNING, running=running)})
    request = operation_request(payment(), "capture")
    with pytest.raises(PaymentUnderWay):
        reserve(ledger, request, executions)
    ledger.record(payment(status="authorized"))
    assert reserve(ledger, request, executions).operations[0].status == "processing"


def test_what_comes_when_nobody_waits_for_it_any_more_is_not_reserved(ledger: FakeLedger) -> None:
    ledger.record(payment())
    late = reserve(ledger, replace(refund_request(payment()), requested_at=NOW), now="2026-11-23T10:00:02.000Z")
    assert (late.operations[0].status, late.operations[0].error) == ("rejected", "expired")
    assert late.refundable_minor == 1999


class TestWhatWasDoneAtTheGateway:
    """It is adopted first, and then the request is judged by the true amounts."""

    @pytest.fixture
    def gateway(self, ledger: FakeLedger) -> FakeGateway:
        """With a captured and recorded charge of 19.99 USD."""
        gateway = FakeGateway()
        paid = payment()
        ledger.record(*paid.post(capture_entry("sparkle", 1999, "USD")))
        gateway.charges["pay-1"] = charge_of(paid)
        return gateway

    @pytest.mark.parametrize(
        ("at_gateway", "requested", "reserved", "error"),
        [
            (500, 500, 500, None),
            (500, None, 1499, None),
            (500, 1499, 1499, None),
            (500, 1500, 1500, "amount_exceeds_captured"),
            (1999, 500, 500, "amount_exceeds_captured"),
            (1999, None, None, "amount_exceeds_captured"),
        ],
    )
    def test_a_refund(
        self,
        ledger: FakeLedger,
        gateway: FakeGateway,
        at_gateway: int,
        requested: int | None,
        reserved: int | None,
        error: str | None,
    ) -> None:
        gateway.show_refund("pay-1", at_gateway)
        reserve(ledger, refund_request(payment(), requested), gateway=gateway)
        recorded = ledger.records["pay-1"].payment
        adopted, own = recorded.operations
        assert (adopted.source, adopted.amount_minor, adopted.status) == ("gateway", at_gateway, "succeeded")
        assert (own.amount_minor, own.error, own.is_open) == (reserved, error, error is None)
        assert (recorded.refunded_minor, recorded.version) == (at_gateway, 3)

    def test_a_refund_that_failed_can_be_made_again_in_full(self, ledger: FakeLedger, gateway: FakeGateway) -> None:
        gateway.show_refund("pay-1", 300, "succeeded", refund_id="re_1")
        reserve(ledger, refund_request(payment(), 1), gateway=gateway)
        gateway.show_refund("pay-1", 300, "failed", refund_id="re_1")
        reserve(ledger, refund_request(payment()), gateway=gateway)
        assert ledger.records["pay-1"].payment.operations[-1].amount_minor == 1998

    @pytest.mark.parametrize("type", ["capture", "void"])
    def test_a_capture(self, ledger: FakeLedger, type: OperationType) -> None:
        gateway, authorized = FakeGateway(), payment(status="authorized")
        ledger.record(authorized)
        gateway.charges["pay-1"] = charge_of(authorized, status="captured", captured_minor=600)
        reserve(ledger, operation_request(authorized, type), gateway=gateway)
        recorded = ledger.records["pay-1"].payment
        assert (recorded.status, recorded.captured_minor) == ("captured", 600)
        assert [(each.type, each.error) for each in recorded.operations] == [("capture", None), (type, "invalid_state")]
        reserve(ledger, refund_request(authorized), gateway=gateway)
        assert ledger.records["pay-1"].payment.operations[-1].amount_minor == 600

    def test_an_expiry(self, ledger: FakeLedger) -> None:
        gateway, authorized = FakeGateway(), payment(status="authorized")
        ledger.record(authorized)
        gateway.charges["pay-1"] = charge_of(authorized, status="voided", void_reason="expired")
        rejected = reserve(ledger, operation_request(authorized, "capture"), gateway=gateway)
        assert (rejected.status, rejected.error, rejected.operations[-1].error) == (
            "voided",
            "expired",
            "invalid_state",
        )

    def test_while_the_gateway_does_not_show_the_charge_nothing_is_reserved(self, ledger: FakeLedger) -> None:
        ledger.record(payment())
        with pytest.raises(GatewayOutcomeUnknown):
            reserve_operation(
                refund_request(payment()), ledger=ledger, executions=EXECUTIONS, gateways=only(FakeGateway()), now=LATER
            )
        assert ledger.records["pay-1"].payment.operations == ()

    def test_a_payment_that_moved_no_money_is_not_looked_up(self, ledger: FakeLedger, gateway: FakeGateway) -> None:
        declined = payment("pay-2", status="declined")
        ledger.record(declined)
        reserve(ledger, refund_request(declined), gateway=gateway)
        assert gateway.calls == []


@pytest.mark.parametrize(
    ("abilities", "type", "amount_minor", "error"),
    [
        (replace(ABLE, void=False), "void", None, "not_supported_by_gateway"),
        (replace(ABLE, void=False), "capture", 500, None),
        (replace(ABLE, partial_capture=False), "capture", 500, "not_supported_by_gateway"),
        (replace(ABLE, partial_capture=False), "capture", 1999, None),
        (replace(ABLE, partial_capture=False), "capture", None, None),
    ],
)
def test_what_the_gateway_can_t_do_is_rejected(
    ledger: FakeLedger, abilities: Abilities, type: OperationType, amount_minor: int | None, error: str | None
) -> None:
    authorized = payment(status="authorized", captured_minor=0)
    ledger.record(authorized)
    able = FakeGateway(abilities=abilities)
    reserve(ledger, operation_request(authorized, type, amount_minor), gateway=able)
    [operation] = ledger.records["pay-1"].payment.operations
    assert (operation.error, operation.is_open) == (error, error is None)


def test_an_operation_goes_by_the_gateway_that_has_the_payment(ledger: FakeLedger) -> None:
    authorized = payment(status="authorized", captured_minor=0, gateway="twinkle")
    ledger.record(authorized)
    sparkle, twinkle = FakeGateway(abilities=replace(ABLE, void=False)), FakeGateway("twinkle")
    twinkle.charges["pay-1"] = replace(charge_of(authorized), gateway="twinkle")
    request, gateways = operation_request(authorized, "void"), only(sparkle, twinkle)
    reserved = reserve_operation(request, ledger=ledger, executions=EXECUTIONS, gateways=gateways, now=LATER)
    assert (reserved.operations[0].error, sparkle.calls) == (None, [])
