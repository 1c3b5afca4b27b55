from datetime import timedelta

import pytest

from functions.await_customer.await_customer import await_customer
from functions.shared.domain.errors import GatewayOutcomeUnknown, KeyServiceUnavailable
from functions.shared.ports import CustomerWait
from tests.fakes import FakeCustomerWaits, FakeGateway
from tests.samples import CHALLENGED_PAN, NOW, PAN, card, order


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


def begin(gateway: FakeGateway, waits: FakeCustomerWaits, charge_id: str, token: str = "AQB4") -> CustomerWait:
    return await_customer(
        "pay-1", charge_id, token, customer_waits=waits, gateway=gateway, now=NOW, timeout=timedelta(minutes=15)
    )


def test_the_gateway_says_where_the_customer_is_to_go(gateway: FakeGateway) -> None:
    waits, charge = FakeCustomerWaits(), gateway.charge(order(), card(CHALLENGED_PAN), "key")
    wait = begin(gateway, waits, charge.charge_id)
    assert waits.find("pay-1") == wait
    assert wait == CustomerWait("sparkle", charge.charge_id, charge.redirect_url or "", NOW, "2026-11-23T09:15:01.000Z")


def test_a_second_attempt_has_the_token_that_counts(gateway: FakeGateway) -> None:
    waits, charge = FakeCustomerWaits(), gateway.charge(order(), card(CHALLENGED_PAN), "key")
    for token in ("first", "second"):
        begin(gateway, waits, charge.charge_id, token)
    assert waits.task_token("pay-1") == "second"


@pytest.mark.parametrize("charge_id", ["ch_unseen", None])
def test_a_gateway_that_does_not_say_where_to_go_is_asked_again(gateway: FakeGateway, charge_id: str | None) -> None:
    charge = gateway.charge(order(), card(PAN), "key")
    with pytest.raises(GatewayOutcomeUnknown):
        begin(gateway, FakeCustomerWaits(), charge_id or charge.charge_id)


def test_without_the_key_no_token_is_kept(gateway: FakeGateway) -> None:
    waits, charge = FakeCustomerWaits(), gateway.charge(order(), card(CHALLENGED_PAN), "key")
    waits.faults.arm("begin", KeyServiceUnavailable("KMS is down."))
    with pytest.raises(KeyServiceUnavailable):
        begin(gateway, waits, charge.charge_id)
    assert waits.task_token("pay-1") is None
