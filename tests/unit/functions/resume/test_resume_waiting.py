from dataclasses import replace
from itertools import count

import pytest

from functions.resume.resume_waiting import Swept, resume_waiting
from functions.shared.domain.errors import GatewayBusy, PaymentError
from functions.shared.use_cases.resume_payment import resume_payment
from tests.fakes import FakeCustomerWaits, FakeExecutions, FakeGateway, only
from tests.samples import CHALLENGED_PAN, WAIT, card, order


class Waiting:
    """Payments that wait for their customers."""

    def __init__(self, *payment_ids: str) -> None:
        self.gateway, self.waits, self.executions = FakeGateway(), FakeCustomerWaits(), FakeExecutions()
        self.failed: list[str] = []
        for payment_id in payment_ids:
            charge = self.gateway.charge(order(payment_id), card(CHALLENGED_PAN), f"{payment_id}-charge")
            self.waits.begin(payment_id, f"token of {payment_id}", replace(WAIT, charge_id=charge.charge_id))

    def resume(self, payment_id: str) -> bool:
        return resume_payment(
            payment_id, customer_waits=self.waits, gateways=only(self.gateway), executions=self.executions
        )

    def sweep(self, looks: int = 99) -> Swept:
        looks_made = count()

        def failed(payment_id: str, error: PaymentError) -> None:
            self.failed.append(payment_id)

        return resume_waiting(
            customer_waits=self.waits,
            gateways=only(self.gateway),
            executions=self.executions,
            has_time=lambda: next(looks_made) < looks,
            failed=failed,
        )


@pytest.mark.parametrize("approve", [True, False])
def test_a_payment_goes_on_once_the_gateway_says_that_the_customer_has_answered(approve: bool) -> None:
    waiting = Waiting("pay-1")
    assert not waiting.resume("pay-1")
    waiting.gateway.answer_challenge("pay-1", approve=approve)
    assert waiting.resume("pay-1")
    assert waiting.executions.resumed == ["token of pay-1"]


def test_a_payment_that_does_not_wait_is_not_resumed_and_the_gateway_not_asked() -> None:
    waiting = Waiting()
    assert not waiting.resume("pay-1")
    assert (waiting.executions.resumed, waiting.gateway.calls) == ([], [])


def test_a_charge_that_the_gateway_does_not_show_resumes_nothing() -> None:
    waiting = Waiting("pay-1")
    del waiting.gateway.charges["pay-1"]
    assert not waiting.resume("pay-1")


def test_of_several_payments_those_go_on_whose_customers_have_answered() -> None:
    waiting = Waiting("pay-1", "pay-2", "pay-3")
    for payment_id in ("pay-1", "pay-3"):
        waiting.gateway.answer_challenge(payment_id, approve=True)
    assert waiting.sweep() == Swept(waiting=3, resumed=2)
    assert sorted(waiting.executions.resumed) == ["token of pay-1", "token of pay-3"]


def test_what_fails_for_one_payment_stops_no_other() -> None:
    waiting = Waiting("pay-1", "pay-2")
    waiting.gateway.answer_challenge("pay-2", approve=True)
    waiting.gateway.faults.arm("find", GatewayBusy("Try again."))
    assert waiting.sweep() == Swept(waiting=2, resumed=1, failed=1)
    assert waiting.failed == ["pay-1"]


def test_what_there_is_no_time_for_is_for_the_next_run() -> None:
    waiting = Waiting("pay-1", "pay-2")
    assert waiting.sweep(looks=1).waiting == 1
