from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from functions.shared.domain.charge import Authentication
from functions.shared.domain.errors import LedgerUnavailable, Unavailable
from functions.shared.domain.payment import Payment, PaymentRequest, Status
from functions.shared.ports import Execution, StoredCard
from functions.status import payment_status as status
from tests.fakes import LEDGER_DOWN, FakeCustomerWaits, FakeExecutions, FakeLedger
from tests.samples import KEPT_UNTIL, LATER, NOW, STARTED_AT, SUMMARY, TOKEN, TRANSACTION_ID, WAIT, payment, stored


def payment_status(
    payment_id: str,
    *,
    ledger: FakeLedger,
    executions: FakeExecutions,
    customer_waits: FakeCustomerWaits | None = None,
    sleep: Callable[[float], None] = lambda seconds: None,
) -> dict[str, Any] | None:
    """The answer without a wait."""
    return status.payment_status(
        payment_id,
        ledger=ledger,
        executions=executions,
        customer_waits=customer_waits or FakeCustomerWaits(),
        card_vault=ledger.card_vault,
        now=lambda: NOW,
        sleep=sleep,
    )


RUNNING = Execution(True, None, None, PaymentRequest(1999, "USD").to_dict(), STARTED_AT, None)


def ended(error: str | None = None, cause: str | None = None) -> FakeExecutions:
    return FakeExecutions(pay=replace(RUNNING, running=False, error=error, cause=cause, stopped_at=LATER))


def test_a_recorded_payment_is_shown_as_the_ledger_has_it() -> None:
    ledger = FakeLedger()
    ledger.record(payment("pay"))
    assert payment_status("pay", ledger=ledger, executions=FakeExecutions()) == {
        "payment_id": "pay",
        "status": "captured",
        "amount_minor": 1999,
        "currency": "USD",
        "captured_minor": 1999,
        "refunded_minor": 0,
        "disputed_minor": 0,
        "card": SUMMARY.to_dict(),
        "transaction_id": TRANSACTION_ID,
        "charge_id": "ch_1",
        "gateway": "sparkle",
        "decline_code": None,
        "error": None,
        "next_action": None,
        "action_required_since": None,
        "authentication": None,
        "merchant_reference": "order-1001",
        "metadata": {},
        "initiator": None,
        "reason": None,
        "operations": [],
        "disputes": [],
        "expires_at": None,
        "created_at": STARTED_AT,
        "updated_at": NOW,
    }


def test_whose_card_a_rule_denied_does_not_learn_from_its_fingerprint_which_number_it_was() -> None:
    ledger = FakeLedger()
    ledger.record(payment("denied", "declined", decline_code="screened:lookalike_cards"))
    ledger.record(payment("declined", "declined", decline_code="do_not_honor"))
    bodies = [payment_status(name, ledger=ledger, executions=FakeExecutions()) for name in ("denied", "declined")]
    cards = [
        SUMMARY.without_token().to_dict() | {"fingerprint": fingerprint} for fingerprint in (None, SUMMARY.fingerprint)
    ]
    assert [each and each["card"] for each in bodies] == cards


@pytest.mark.parametrize(
    ("error", "code"),
    [("GatewayOutcomeUnknown", "gateway_outcome_unknown"), ("States.Timeout", "states_timeout"), (None, None)],
)
def test_why_a_payment_was_undone_is_shown_as_a_code(error: str | None, code: str | None) -> None:
    ledger = FakeLedger()
    ledger.record(payment("pay", "reversed", error=error))
    body = payment_status("pay", ledger=ledger, executions=FakeExecutions())
    assert body is not None
    assert (body["status"], body["error"]) == ("reversed", code)


@pytest.mark.parametrize("status", ["declined", "authorized"])
def test_the_ledger_goes_before_the_execution(status: Status) -> None:
    ledger = FakeLedger()
    ledger.record(payment("pay", status))
    body = payment_status("pay", ledger=ledger, executions=FakeExecutions(pay=RUNNING))
    assert body is not None
    assert body["status"] == status


def test_a_key_that_stored_a_card_shows_it_as_stored_and_without_the_card_once_that_is_erased() -> None:
    ledger = FakeLedger()
    ledger.card_vault.keep("pay", StoredCard(SUMMARY, b"ciphertext", KEPT_UNTIL), NOW)
    body = payment_status("pay", ledger=ledger, executions=FakeExecutions())
    assert body is not None
    assert (body["status"], body["card"], body["amount_minor"]) == ("stored", SUMMARY.to_dict(), None)
    assert set(body) == set(payment_status("pay", ledger=FakeLedger(), executions=FakeExecutions(pay=RUNNING)) or {})
    ledger.card_vault.erase(TOKEN, NOW)
    assert payment_status("pay", ledger=ledger, executions=FakeExecutions()) == body | {"card": None}


def test_a_key_that_stored_a_card_and_paid_shows_the_payment() -> None:
    ledger = FakeLedger()
    ledger.card_vault.keep("pay", StoredCard(SUMMARY, b"ciphertext", KEPT_UNTIL), NOW)
    body = payment_status("pay", ledger=ledger, executions=FakeExecutions(pay=RUNNING))
    assert body is not None
    assert body["status"] == "processing"


def test_a_card_that_was_stored_as_a_payment_is_shown_as_ever() -> None:
    ledger = FakeLedger()
    ledger.record(stored("pay"))
    body = payment_status("pay", ledger=ledger, executions=FakeExecutions())
    assert body is not None
    assert (body["status"], body["amount_minor"], body["card"]) == ("stored", None, SUMMARY.to_dict())


def test_a_payment_that_nobody_recorded_yet_is_processing() -> None:
    body = payment_status("pay", ledger=FakeLedger(), executions=FakeExecutions(pay=RUNNING))
    assert body is not None
    assert (body["status"], body["error"], body["card"]) == ("processing", None, None)
    assert (body["amount_minor"], body["currency"]) == (1999, "USD")
    assert (body["created_at"], body["updated_at"]) == (STARTED_AT, STARTED_AT)


def test_who_made_a_payment_with_a_stored_card_is_shown_before_and_after_it_ends() -> None:
    request = PaymentRequest(1999, "USD", card_on_file=True, initiator="merchant", reason="unscheduled")
    ledger = FakeLedger()
    ledger.record(payment("recorded", request=request))
    running = replace(RUNNING, request=request.to_dict() | {"token": TOKEN})
    for payment_id in ("recorded", "running"):
        body = payment_status(payment_id, ledger=ledger, executions=FakeExecutions(running=running))
        assert body is not None
        assert (body["initiator"], body["reason"]) == ("merchant", "unscheduled")


def test_a_rejected_payment_tells_why() -> None:
    body = payment_status("pay", ledger=FakeLedger(), executions=ended("PaymentRejected", "ExpiredCard"))
    assert body is not None
    assert (body["status"], body["error"], body["updated_at"]) == ("rejected", "expired_card", LATER)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("PaymentInDoubt", "payment_in_doubt"),
        ("States.Timeout", "states_timeout"),
        ("States.Runtime", "states_runtime"),
    ],
)
def test_an_execution_that_ended_otherwise_without_a_record_is_in_doubt_and_never_failed(error: str, code: str) -> None:
    body = payment_status("pay", ledger=FakeLedger(), executions=ended(error, "why"))
    assert body is not None
    assert (body["status"], body["error"]) == ("in_doubt", code)


@pytest.mark.parametrize("request_", [{"operation": "store"}, {"currency": "USD"}], ids=["store", "no amount"])
def test_an_execution_that_was_never_to_move_money_is_rejected_however_it_ended(request_: dict[str, str]) -> None:
    stopped = replace(RUNNING, running=False, request=request_, error="States.Runtime", stopped_at=LATER)
    body = payment_status("pay", ledger=FakeLedger(), executions=FakeExecutions(pay=stopped))
    assert body is not None
    assert (body["status"], body["error"]) == ("rejected", "states_runtime")


def test_a_doubt_that_is_being_compensated_is_still_processing_and_after_that_in_doubt() -> None:
    ledger = FakeLedger()
    ledger.record(payment("pay", "in_doubt", error="GatewayOutcomeUnknown", reversing=True))
    body = payment_status("pay", ledger=ledger, executions=FakeExecutions(pay=RUNNING))
    assert body is not None
    assert (body["status"], body["error"], body["card"]) == ("processing", None, SUMMARY.without_token().to_dict())
    body = payment_status("pay", ledger=ledger, executions=ended("PaymentInDoubt"))
    assert body is not None
    assert (body["status"], body["error"]) == ("in_doubt", "gateway_outcome_unknown")


def test_a_payment_that_was_recorded_between_the_two_looks_is_shown_as_recorded() -> None:
    class Late(FakeLedger):
        looks = 0

        def payment(self, payment_id: str) -> Payment | None:
            self.looks += 1
            return payment("pay") if self.looks == 2 else None

    body = payment_status("pay", ledger=Late(), executions=ended())
    assert body is not None
    assert body["status"] == "captured"


def test_a_payment_that_nobody_knows_is_none() -> None:
    assert payment_status("pay", ledger=FakeLedger(), executions=FakeExecutions()) is None


def test_a_payment_that_step_functions_shows_a_moment_late_is_looked_for_again() -> None:
    executions, paused = FakeExecutions(), list[float]()

    def appear_later(seconds: float) -> None:
        paused.append(seconds)
        if sum(paused) > 0.4:
            executions.executions["pay"] = RUNNING

    body = payment_status("pay", ledger=FakeLedger(), executions=executions, sleep=appear_later)
    assert body is not None
    assert (body["status"], round(sum(paused), 6)) == ("processing", 1)


def test_a_payment_that_is_recorded_before_step_functions_shows_it_is_shown_at_once() -> None:
    ledger, paused = FakeLedger(), list[float]()

    def record_meanwhile(seconds: float) -> None:
        if not paused:
            ledger.record(payment("pay"))
        paused.append(seconds)

    body = payment_status("pay", ledger=ledger, executions=FakeExecutions(), sleep=record_meanwhile)
    assert body is not None
    assert (body["status"], len(paused)) == ("captured", 1)


def test_nobody_waits_for_a_payment_that_is_known_and_not_long_for_one_that_is_not() -> None:
    paused: list[float] = []
    ledger, executions = FakeLedger(), FakeExecutions(running=RUNNING)
    ledger.record(payment("recorded"))
    for payment_id in ("recorded", "running"):
        assert payment_status(payment_id, ledger=ledger, executions=executions, sleep=paused.append)
    assert paused == []
    assert payment_status("unknown", ledger=ledger, executions=executions, sleep=paused.append) is None
    assert sum(paused) == pytest.approx(1)


def test_what_cannot_be_read_is_not_called_absent() -> None:
    ledger, executions = FakeLedger(), FakeExecutions()
    executions.error = Unavailable("Step Functions: Throttling")
    with pytest.raises(Unavailable):
        payment_status("pay", ledger=ledger, executions=executions)
    ledger.faults.arm("find", LEDGER_DOWN)
    with pytest.raises(LedgerUnavailable):
        payment_status("pay", ledger=ledger, executions=FakeExecutions())


def waiting() -> FakeCustomerWaits:
    waits = FakeCustomerWaits()
    waits.begin("pay", "AQB4-task-token", WAIT)
    return waits


def test_a_payment_that_waits_says_where_to_send_the_customer_and_never_its_token() -> None:
    body = payment_status("pay", ledger=FakeLedger(), executions=FakeExecutions(pay=RUNNING), customer_waits=waiting())
    assert body
    assert (body["status"], body["amount_minor"], body["error"]) == ("action_required", 1999, None)
    assert body["next_action"] == {"type": "redirect", "url": WAIT.redirect_url}
    assert (body["action_required_since"], body["charge_id"], body["gateway"]) == (NOW, "ch_1", "sparkle")
    assert "AQB4-task-token" not in str(body)


def test_a_payment_that_was_stopped_while_it_waited_needs_nobody_any_more() -> None:
    body = payment_status("pay", ledger=FakeLedger(), executions=ended("Stopped"), customer_waits=waiting())
    assert body
    assert (body["status"], body["next_action"]) == ("in_doubt", None)


def test_a_payment_that_is_recorded_waits_for_nobody() -> None:
    ledger = FakeLedger()
    ledger.record(payment("pay", authentication=Authentication("authenticated", "2.2.0", True)))
    body = payment_status("pay", ledger=ledger, executions=FakeExecutions(), customer_waits=waiting())
    assert body
    assert (body["status"], body["next_action"], body["action_required_since"]) == ("captured", None, None)
    assert body["authentication"] == {"result": "authenticated", "version": "2.2.0", "liability_shift": True}
