from typing import Any

import pytest

from functions.confirm.confirm_charge import confirm_charge
from functions.shared.domain.errors import GatewayMismatch, GatewayOutcomeUnknown
from tests.fakes import FakeCustomerWaits, FakeGateway
from tests.samples import (
    CHALLENGED_AND_DECLINED_PAN,
    CHALLENGED_PAN,
    REQUEST,
    STARTED_AT,
    SUMMARY,
    WAIT,
    card,
    order,
)


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def waits() -> FakeCustomerWaits:
    waits = FakeCustomerWaits()
    waits.begin("pay-1", "AQB4", WAIT)
    return waits


def confirm(gateway: FakeGateway, waits: FakeCustomerWaits, *, charge_id: str | None = None) -> dict[str, Any]:
    return confirm_charge(
        "pay-1",
        REQUEST,
        SUMMARY,
        STARTED_AT,
        charge_id or gateway.charges["pay-1"].charge_id,
        customer_waits=waits,
        gateway=gateway,
    )


def ask(gateway: FakeGateway, pan: str = CHALLENGED_PAN) -> None:
    gateway.charge(order(), card(pan), "key")


@pytest.mark.parametrize(
    ("pan", "approve", "outcome"),
    [
        (CHALLENGED_PAN, True, ("captured", None)),
        (CHALLENGED_PAN, False, ("declined", "authentication_failed")),
        (CHALLENGED_AND_DECLINED_PAN, True, ("declined", "insufficient_funds")),
    ],
)
def test_what_came_of_the_challenge_is_the_gateways_word(
    gateway: FakeGateway, waits: FakeCustomerWaits, pan: str, approve: bool, outcome: tuple[str, str | None]
) -> None:
    ask(gateway, pan)
    gateway.answer_challenge("pay-1", approve=approve)
    answer = confirm(gateway, waits)
    assert (answer["outcome"], answer["decline_code"]) == outcome
    assert answer["shown"]["authentication"]["result"] == ("authenticated" if approve else "failed")
    assert answer["network_transaction_id"] == gateway.charges["pay-1"].network_transaction_id
    assert "cancel_authentication" not in gateway.calls


def test_a_challenge_that_nobody_has_answered_ends(gateway: FakeGateway, waits: FakeCustomerWaits) -> None:
    ask(gateway)
    answer = confirm(gateway, waits)
    assert (answer["outcome"], answer["decline_code"]) == ("declined", "authentication_expired")
    assert gateway.charges["pay-1"].status == "declined"
    assert confirm(gateway, waits) == answer


def test_a_customer_who_was_faster_than_the_end_has_paid(gateway: FakeGateway, waits: FakeCustomerWaits) -> None:
    ask(gateway)
    cancel = gateway.cancel_authentication

    def lose_the_race(charge_id: str) -> Any:
        gateway.answer_challenge("pay-1", approve=True)
        return cancel(charge_id)

    gateway.cancel_authentication = lose_the_race  # type: ignore[method-assign]
    assert confirm(gateway, waits)["outcome"] == "captured"


def test_nobody_waits_any_more_whatever_the_gateway_says(gateway: FakeGateway, waits: FakeCustomerWaits) -> None:
    ask(gateway)
    gateway.faults.arm("find", GatewayOutcomeUnknown("No answer."))
    with pytest.raises(GatewayOutcomeUnknown):
        confirm(gateway, waits)
    assert (waits.find("pay-1"), waits.task_token("pay-1")) == (None, None)


def test_a_charge_that_the_gateway_does_not_show_is_unknown(gateway: FakeGateway, waits: FakeCustomerWaits) -> None:
    with pytest.raises(GatewayOutcomeUnknown):
        confirm(gateway, waits, charge_id="ch_unseen")


def test_another_charge_than_the_one_asked_for_is_a_mismatch(gateway: FakeGateway, waits: FakeCustomerWaits) -> None:
    gateway.charge(order(amount_minor=1), card(), "key")
    with pytest.raises(GatewayMismatch):
        confirm(gateway, waits)


def test_a_network_s_id_that_may_be_the_card_s_number_is_not_passed_on(
    gateway: FakeGateway, waits: FakeCustomerWaits
) -> None:
    ask(gateway)
    gateway.answer_challenge("pay-1", approve=True)
    gateway.show("pay-1", network_transaction_id=f"0{SUMMARY.bin}123456{SUMMARY.last4}")
    assert confirm(gateway, waits)["network_transaction_id"] is None
