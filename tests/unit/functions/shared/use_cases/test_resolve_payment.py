from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from functions.shared.domain.errors import (
    GatewayOutcomeUnknown,
    GatewayRefused,
    LedgerConflict,
    LedgerUnavailable,
    PaymentNotFound,
    ReversalUnconfirmed,
)
from functions.shared.domain.ledger import capture_entry, in_doubt_entry
from functions.shared.domain.payment import Payment, Status
from functions.shared.ports import Execution
from functions.shared.use_cases.resolve_payment import resolve_payment
from tests.fakes import LEDGER_DOWN, FakeExecutions, FakeGateway, FakeLedger, only
from tests.samples import CHALLENGED_PAN, DECLINED_PAN, LATER, NOW, REQUEST, STARTED_AT, card, charge_of, order, payment

CAPTURE = capture_entry("sparkle", 1999, "USD")
DOUBT = in_doubt_entry(1999, "USD")
NO_ANSWER = GatewayOutcomeUnknown("No answer.")


def ended(error: str | None = None, request: Any = None, *, running: bool = False) -> FakeExecutions:
    return FakeExecutions(**{"pay-1": Execution(running, error, None, request or REQUEST.to_dict(), STARTED_AT, NOW)})


class Books(FakeLedger):
    def balances(self) -> dict[str, int]:
        totals: Counter[str] = Counter()
        for entry in self.records["pay-1"].journal:
            for posting in entry.postings:
                totals[posting.account] += posting.amount_minor * (1 if posting.direction == "debit" else -1)
        return {account: total for account, total in totals.items() if total}


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def ledger() -> Books:
    return Books()


def resolve(gateway: FakeGateway, ledger: FakeLedger, executions: FakeExecutions) -> str:
    status, _ = resolve_payment("pay-1", gateways=only(gateway), ledger=ledger, executions=executions, now=LATER)
    return status


@pytest.mark.parametrize("status", ["declined", "reversed", "stored", "voided"])
def test_an_outcome_that_the_ledger_knows_stands_and_nobody_is_asked(
    gateway: FakeGateway, ledger: Books, status: Status
) -> None:
    ledger.record(payment(status=status))
    assert resolve(gateway, ledger, FakeExecutions()) == status
    assert gateway.calls == []


def test_a_second_charge_that_compensate_could_not_undo_is_undone(gateway: FakeGateway, ledger: Books) -> None:
    paid = payment(charge_id=gateway.charge(order(), card(), "pay-1-charge").charge_id)
    gateway.forget("pay-1")
    second_charge = gateway.charge(order(), card(), "pay-1-charge")
    ledger.record(*paid.post(CAPTURE))
    unfinished = paid.undo_other_charge(second_charge.charge_id, "refund", NOW)
    capture = capture_entry("sparkle", 1999, "USD", second_charge.charge_id)
    ledger.record(
        *replace(unfinished, entry_count=1, journal_hash=ledger.records["pay-1"].entries[0].hash).post(capture)
    )
    result = resolve_payment(
        "pay-1", gateways=only(gateway), ledger=ledger, executions=FakeExecutions(), now=LATER, ask_gateway=False
    )
    assert result[0] == "in_doubt"
    gateway.faults.arm("refund", NO_ANSWER)
    with pytest.raises(ReversalUnconfirmed):
        resolve(gateway, ledger, FakeExecutions())
    assert resolve(gateway, ledger, FakeExecutions()) == "captured"
    assert gateway.charges["pay-1"].status == "refunded"
    assert ledger.balances() == {"asset:gateway:sparkle": 1999, "liability:merchant": -1999}
    assert ledger.records["pay-1"].payment.in_doubt_since is None


@pytest.mark.parametrize("won", [True, False])
def test_a_reversal_of_what_is_disputed_waits_until_the_bank_has_decided(
    gateway: FakeGateway, ledger: Books, won: bool
) -> None:
    gateway.charge(order(), card(), "pay-1-charge")
    gateway.dispute("pay-1")
    ledger.record(*payment(status="in_doubt", reversing=True).post(DOUBT))
    with pytest.raises(ReversalUnconfirmed):
        resolve(gateway, ledger, ended())
    assert ledger.records["pay-1"].payment.status == "in_doubt"
    gateway.dispute("pay-1", won=won)
    assert resolve(gateway, ledger, ended()) == "reversed"
    assert ledger.balances() == {}
    assert gateway.charges["pay-1"].is_undone


def test_what_was_disputed_while_a_payment_was_in_doubt_is_recorded_with_its_charge(
    gateway: FakeGateway, ledger: Books
) -> None:
    gateway.charge(order(), card(), "pay-1-charge")
    gateway.dispute("pay-1", 700)
    ledger.record(*payment(status="in_doubt").post(DOUBT))
    assert resolve(gateway, ledger, ended()) == "captured"
    assert ledger.records["pay-1"].payment.disputed_minor == 700
    assert ledger.balances() == {
        "asset:gateway:sparkle": 1299,
        "asset:disputed:sparkle": 700,
        "liability:merchant": -1999,
    }


def test_a_second_charge_that_was_lost_in_a_dispute_needs_no_refund(gateway: FakeGateway, ledger: Books) -> None:
    paid = payment(charge_id=gateway.charge(order(), card(), "pay-1-charge").charge_id)
    gateway.forget("pay-1")
    second_charge = gateway.charge(order(), card(), "pay-1-charge")
    ledger.record(*paid.post(CAPTURE))
    unfinished = paid.undo_other_charge(second_charge.charge_id, "refund", NOW)
    capture = capture_entry("sparkle", 1999, "USD", second_charge.charge_id)
    ledger.record(
        *replace(unfinished, entry_count=1, journal_hash=ledger.records["pay-1"].entries[0].hash).post(capture)
    )
    gateway.dispute("pay-1")
    with pytest.raises(ReversalUnconfirmed):
        resolve(gateway, ledger, FakeExecutions())
    gateway.dispute("pay-1", won=False)
    assert resolve(gateway, ledger, FakeExecutions()) == "captured"
    assert ledger.balances() == {"asset:gateway:sparkle": 1999, "liability:merchant": -1999}
    assert gateway.charges["pay-1"].refunds == ()


def test_a_running_execution_is_left_alone(gateway: FakeGateway, ledger: Books) -> None:
    assert resolve(gateway, ledger, ended(running=True)) == "processing"
    assert (gateway.calls, ledger.records) == ([], {})


@pytest.mark.parametrize(
    "executions",
    [ended("PaymentRejected"), ended("States.Runtime", {"operation": "store"}), ended(None, {"currency": "USD"})],
    ids=["rejected", "a card that is only stored", "no amount"],
)
def test_what_never_was_to_move_money_is_rejected(
    gateway: FakeGateway, ledger: Books, executions: FakeExecutions
) -> None:
    assert resolve(gateway, ledger, executions) == "rejected"
    assert (gateway.calls, ledger.records) == ([], {})


def test_a_payment_that_nobody_knows_is_an_error(gateway: FakeGateway, ledger: Books) -> None:
    with pytest.raises(PaymentNotFound):
        resolve(gateway, ledger, FakeExecutions())


def test_a_charge_that_was_made_as_asked_before_the_execution_was_stopped_is_captured(
    gateway: FakeGateway, ledger: Books
) -> None:
    charge = gateway.charge(order(), card(), "pay-1-charge")
    assert resolve(gateway, ledger, ended()) == "captured"
    recorded = ledger.records["pay-1"]
    assert (recorded.payment.status, recorded.payment.captured_minor) == ("captured", 1999)
    assert (recorded.payment.charge_id, recorded.payment.card) == (charge.charge_id, None)
    assert (recorded.payment.created_at, recorded.payment.error) == (STARTED_AT, "ExecutionStopped")
    assert recorded.journal == (DOUBT, DOUBT.reverse(1), CAPTURE)
    assert ledger.balances() == {"asset:gateway:sparkle": 1999, "liability:merchant": -1999}
    assert "reverse" not in gateway.calls


def test_a_doubt_is_on_the_books_before_anybody_asks(gateway: FakeGateway, ledger: Books) -> None:
    status = resolve_payment(
        "pay-1", gateways=only(gateway), ledger=ledger, executions=ended(), now=NOW, ask_gateway=False
    )
    assert (status, gateway.calls) == (("in_doubt", "ExecutionStopped"), [])
    assert ledger.balances() == {"suspense:in_doubt": 1999, "liability:merchant": -1999}


def test_an_authorization_that_was_made_as_asked_holds(gateway: FakeGateway, ledger: Books) -> None:
    gateway.authorize(order(), card(), "pay-1-charge")
    assert resolve(gateway, ledger, ended(request=replace(REQUEST, capture=False).to_dict())) == "authorized"
    assert ledger.records["pay-1"].journal == ()


def test_a_decline_that_nobody_recorded_is_declined(gateway: FakeGateway, ledger: Books) -> None:
    gateway.charge(order(), card(DECLINED_PAN), "pay-1-charge")
    assert resolve(gateway, ledger, ended()) == "declined"
    assert ledger.records["pay-1"].payment.decline_code == "insufficient_funds"
    assert ledger.balances() == {}


def test_where_the_gateway_knows_no_charge_it_takes_none_any_more(gateway: FakeGateway, ledger: Books) -> None:
    assert resolve(gateway, ledger, ended()) == "reversed"
    assert ledger.balances() == {}
    with pytest.raises(GatewayRefused):
        gateway.charge(order(), card(), "pay-1-charge")


@pytest.mark.parametrize(
    "change",
    [
        {"amount_minor": 2999, "captured_minor": 2999},
        {"currency": "EUR"},
        {"status": "authorized", "captured_minor": 0},
        {"captured_minor": 999},
    ],
    ids=str,
)
def test_a_charge_that_is_not_what_was_asked_for_is_undone(
    gateway: FakeGateway, ledger: Books, change: dict[str, object]
) -> None:
    gateway.charges["pay-1"] = replace(gateway.charge(order(), card(), "pay-1-charge"), **change)  # type: ignore[arg-type]
    assert resolve(gateway, ledger, ended()) == "reversed"
    assert gateway.charges["pay-1"].status == "voided"
    assert ledger.balances() == {}


def test_once_a_reversal_was_asked_for_a_charge_that_is_found_is_no_capture(
    gateway: FakeGateway, ledger: Books
) -> None:
    gateway.charge(order(), card(), "pay-1-charge")
    ledger.record(*payment(status="in_doubt", reversing=True).post(DOUBT))
    assert resolve(gateway, ledger, ended("PaymentInDoubt")) == "reversed"
    assert gateway.charges["pay-1"].status == "voided"
    assert ledger.balances() == {}


@pytest.mark.parametrize("operation", ["find", "reverse"])
def test_without_evidence_the_payment_stays_in_doubt(gateway: FakeGateway, ledger: Books, operation: str) -> None:
    gateway.faults.arm(operation, NO_ANSWER)
    with pytest.raises((GatewayOutcomeUnknown, ReversalUnconfirmed)):
        resolve(gateway, ledger, ended())
    doubtful = ledger.records["pay-1"]
    assert (doubtful.payment.status, doubtful.journal) == ("in_doubt", (DOUBT,))
    assert doubtful.payment.reversing is (operation == "reverse")
    assert ledger.balances() == {"suspense:in_doubt": 1999, "liability:merchant": -1999}
    assert resolve(gateway, ledger, ended()) == "reversed"
    assert ledger.balances() == {}


def test_the_reversal_is_on_record_before_the_gateway_is_asked_for_it(gateway: FakeGateway, ledger: Books) -> None:
    ledger.faults.arm("record", LEDGER_DOWN)
    with pytest.raises(LedgerUnavailable):
        resolve(gateway, ledger, ended())
    assert "reverse" not in gateway.calls


def test_what_an_orphaned_function_recorded_in_between_stands(gateway: FakeGateway, ledger: Books) -> None:
    class Late(FakeExecutions):
        """The execution was stopped, but its Persist still runs and writes just now."""

        def find(self, payment_id: str) -> Execution | None:
            ledger.record(*payment().post(CAPTURE))
            return super().find(payment_id)

    with pytest.raises(LedgerConflict):
        resolve(gateway, ledger, Late(**ended().executions))
    gateway.charges["pay-1"] = charge_of(payment())
    assert resolve(gateway, ledger, ended()) == "captured"
    assert ledger.records["pay-1"].journal == (CAPTURE,)


def test_a_payments_status_may_be_in_doubt_twice_but_never_go_back() -> None:
    doubtful: Payment = payment(status="in_doubt")
    assert doubtful.moved_to("in_doubt", reversing=True).version == 2
    with pytest.raises(ValueError, match="can't become"):
        payment(status="captured").moved_to("in_doubt")


@pytest.mark.parametrize(
    ("capture", "changes", "status", "at_gateway"),
    [
        (False, {"status": "captured", "captured_minor": 600}, "captured", 600),
        (False, {"status": "voided", "void_reason": "expired"}, "voided", 0),
        (True, {"status": "voided", "captured_minor": 0}, "voided", 0),
    ],
)
def test_what_was_done_to_the_charge_since_is_adopted_and_nothing_is_undone(
    gateway: FakeGateway, ledger: Books, capture: bool, changes: dict[str, Any], status: str, at_gateway: int
) -> None:
    ask = gateway.charge if capture else gateway.authorize
    gateway.charges["pay-1"] = replace(ask(order(), card(), "pay-1-charge"), **changes)
    assert resolve(gateway, ledger, ended(request=replace(REQUEST, capture=capture).to_dict())) == status
    assert "reverse" not in gateway.calls
    assert ledger.balances().get("asset:gateway:sparkle", 0) == at_gateway
    assert "suspense:in_doubt" not in ledger.balances()


def test_a_good_sale_that_was_refunded_in_part_before_anybody_knew_of_it_is_not_undone(
    gateway: FakeGateway, ledger: Books
) -> None:
    gateway.charge(order(), card(), "pay-1-charge")
    gateway.show_refund("pay-1", 200)
    assert resolve(gateway, ledger, ended()) == "partially_refunded"
    recorded = ledger.records["pay-1"].payment
    assert (recorded.captured_minor, recorded.refunded_minor, recorded.version) == (1999, 200, 2)
    assert ledger.balances() == {"asset:gateway:sparkle": 1799, "liability:merchant": -1799}


@pytest.mark.parametrize("ask_gateway", [True, False])
def test_without_a_doubt_what_the_gateway_shows_is_adopted_if_it_is_asked(
    gateway: FakeGateway, ledger: Books, ask_gateway: bool
) -> None:
    charge = gateway.charge(order(), card(), "pay-1-charge")
    ledger.record(*payment(charge_id=charge.charge_id).post(CAPTURE))
    gateway.show_refund("pay-1", 1999)
    for _ in range(2):
        status, _ = resolve_payment(
            "pay-1", gateways=only(gateway), ledger=ledger, executions=ended(), now=LATER, ask_gateway=ask_gateway
        )
        assert status == ("refunded" if ask_gateway else "captured")
    assert ledger.records["pay-1"].payment.version == (2 if ask_gateway else 1)


def test_an_execution_that_was_stopped_while_it_waited_leaves_no_charge_that_can_be_approved(
    gateway: FakeGateway, ledger: Books
) -> None:
    gateway.charge(order(), card(CHALLENGED_PAN), "pay-1-charge")
    assert resolve(gateway, ledger, ended("Stopped")) == "declined"
    assert ledger.records["pay-1"].payment.decline_code == "authentication_expired"
    assert gateway.charges["pay-1"].status == "declined"
    assert ledger.balances() == {}


def test_a_customer_who_approved_before_the_execution_was_stopped_has_paid(gateway: FakeGateway, ledger: Books) -> None:
    gateway.charge(order(), card(CHALLENGED_PAN), "pay-1-charge")
    gateway.answer_challenge("pay-1", approve=True)
    assert resolve(gateway, ledger, ended("Stopped")) == "captured"
    authentication = ledger.records["pay-1"].payment.authentication
    assert authentication
    assert authentication.result == "authenticated"


def test_a_reversal_ends_a_challenge_as_well(gateway: FakeGateway, ledger: Books) -> None:
    gateway.charge(order(), card(CHALLENGED_PAN), "pay-1-charge")
    ledger.record(*payment(status="in_doubt", reversing=True, charge_id=None).post(DOUBT))
    assert resolve(gateway, ledger, ended("Stopped")) == "declined"
    assert gateway.charges["pay-1"].status == "declined"
